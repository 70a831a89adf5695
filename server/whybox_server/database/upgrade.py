"""The version of the tables."""

from sqlalchemy.ext.asyncio import AsyncEngine


async def upgrade(engine: AsyncEngine) -> None:
    """Makes the tables, or brings them to this version; several processes may do so at once.

    Raises:
        DatabaseError: The database cannot be reached, or is of a newer or unknown version; nothing in it is changed.
    """
    raise NotImplementedError


async def check(engine: AsyncEngine) -> None:
    """Makes sure that the tables are of this version, and changes nothing.

    Raises:
        DatabaseError: The database cannot be reached, or is of another version.
    """
    raise NotImplementedError
