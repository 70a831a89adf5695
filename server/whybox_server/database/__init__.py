"""The tables of Whybox in SQLite or PostgreSQL, one layer for all that is kept."""
