"""A packed model in memory, and what it is built from."""
