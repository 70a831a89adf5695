"""The actions of the REST interface: one for each part of an answer, and `analyze` for all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whybox_server.gateway.parts import PARTS, Part
from whybox_server.validation.kinds import PICTURE
from whybox_server.validation.operations import ASYNC
from whybox_server.validation.options import Option
from whybox_server.validation.request import COMMON


@dataclass(frozen=True)
class Action:
    """What `POST /v1/models/{model}:{name}` asks for.

    Attributes:
        name: The action.
        summary: For people.
        parts: The parts that it asks for.
    """

    name: str
    summary: str
    parts: Sequence[Part]

    @property
    def options(self) -> list[Option[Any]]:
        """The options that it takes as text, in the order in which they are described."""
        asynchronous = (ASYNC,) if self.name == ANALYZE else ()
        return [*COMMON, *asynchronous, *(option for option in self._of_parts if option.kind is not PICTURE)]

    @property
    def pictures(self) -> list[Option[Any]]:
        """The options that it takes as pictures, beside the picture that is asked about."""
        return [option for option in self._of_parts if option.kind is PICTURE]

    @property
    def is_streamed(self) -> bool:
        """Whether it can answer part by part, or while its part grows."""
        return len(self.parts) > 1 or self.parts[0].costly

    @property
    def _of_parts(self) -> list[Option[Any]]:
        return [option for part in self.parts for option in part.options.options]


ANALYZE = "analyze"

ACTIONS: Mapping[str, Action] = {
    action.name: action
    for action in (
        *(Action(part.action, part.summary, [part]) for part in PARTS.values()),
        Action(ANALYZE, "Everything at once", [*PARTS.values()]),
    )
}

PICTURE_FILES = ("image", *dict.fromkeys(option.name for action in ACTIONS.values() for option in action.pictures))
"""The fields of a form or of JSON that hold encoded pictures: the picture itself, then those that are options."""
