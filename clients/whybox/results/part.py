"""What all parts of an answer have in common."""

from dataclasses import dataclass, field

from whybox.v1.errors import WhyboxError


@dataclass(frozen=True, eq=False)
class Part:
    """A part of an answer.

    Attributes:
        error: Why the part is missing, or None for a part that was computed.
    """

    error: WhyboxError | None = field(default=None, kw_only=True)
