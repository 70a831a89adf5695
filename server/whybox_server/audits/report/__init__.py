"""The report of an audit: what the statistics find in a data set, as files and in words.

`run` is the whole command, `predictions` feeds it with a table instead of a model, and `compare` sets two audits side
by side.
"""
