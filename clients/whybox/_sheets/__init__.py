"""Whole analyses on one picture."""
