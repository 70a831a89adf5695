"""The statistics of an audit: which annotated pictures are attacked, mistaken or over-trusted more than others.

Pure functions over arrays; `find.find` is the entry.
"""
