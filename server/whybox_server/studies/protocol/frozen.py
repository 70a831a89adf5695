"""What all parts of a protocol are."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A part of a protocol: it never changes, and has no fields but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")
