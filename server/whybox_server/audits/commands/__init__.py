"""The commands that measure data sets."""
