"""The connection to SQLite or PostgreSQL."""

from sqlalchemy.ext.asyncio import AsyncEngine


def create_engine(url: str) -> AsyncEngine:
    """An engine for `sqlite:///path` or `postgresql://user:password@host:port/name`; nothing is connected yet.

    Raises:
        DatabaseError: The URL is of neither kind.
    """
    raise NotImplementedError
