"""The steps of the history, the oldest first."""
