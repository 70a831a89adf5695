"""What can go wrong with a database."""


class DatabaseError(Exception):
    """The database cannot be reached or used; the message says why and what to do, and holds no password."""
