"""Robust accuracy of a data set: the share of predictions that stay correct under changes up to a radius.

`run` is the whole command. `summary` turns the measurements into numbers; `report`, `figure` and `words` show them as
JSON, as a curve and on the terminal.
"""
