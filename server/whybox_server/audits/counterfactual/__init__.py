"""Counterfactual checks: what becomes of the answers without the regions in which boxes show a flagged attribute."""
