"""Calibration: pictures of a table of their own, from which prediction sets get their thresholds and their coverage."""
