"""Options, each declared once: how it is read, what it may be, what it is where it is left open, and what it means."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from google.protobuf.message import Message

from whybox import v1
from whybox.v1.errors import InvalidRequestError
from whybox_server.validation.checks import check_distinct, quoted
from whybox_server.validation.kinds import CLASS, Kind

SubjectT = TypeVar("SubjectT", v1.Model, v1.Method)
Given = Mapping[str, Any]
"""Values by the name of their option; one of a repeatable option is a tuple."""


@dataclass(frozen=True)
class Option(Generic[SubjectT]):
    """One option of a part.

    Attributes:
        name: Its name over REST: in a query, a form and JSON.
        kind: What one value is.
        description: For people.
        field: The field of the part's message that holds it; empty where that has the same name.
        repeatable: Whether it may be given several times (in JSON: as an array); its field is a repeated one.
        narrow: The kind as far as the model, or the method, narrows it; None where they do not.
        ranged: The kind with the range that the model sets, for messages about a value that cannot be read; None where
            `kind` has the range.
        default: What the model, or the method, fills in where the option is left open; None where it stays open.
        taken: Whether the model, or the method, takes the option at all.
    """

    name: str
    kind: Kind
    description: str
    field: str = ""
    repeatable: bool = False
    narrow: Callable[[SubjectT], Kind] | None = None
    ranged: Callable[[v1.Model], Kind] | None = None
    default: Callable[[SubjectT], Any] | None = None
    taken: Callable[[SubjectT], bool] = lambda _: True

    @property
    def field_name(self) -> str:
        """The field of the part's message that holds it."""
        return self.field or self.name

    def read(self, value: object, model: v1.Model | None) -> Any:
        """One value as it came over REST.

        Args:
            value: Text, or a scalar of JSON.
            model: The model that is asked; None where no model is.

        Raises:
            ValueError: Says what would be right, in the model's range.
        """
        try:
            return self.kind.read(value)
        except ValueError:
            if self.ranged is not None and model is not None:
                self.ranged(model).read(value)
            raise

    def write(self, message: Message, value: Any) -> None:
        """Puts a value, as `kind` reads it (of a repeatable option a tuple), into the part's message."""
        if self.kind is CLASS:
            write_class(message, self.name, value)
        elif self.repeatable:
            getattr(message, self.field_name).extend(value)
        else:
            setattr(message, self.field_name, value)

    def fill(self, message: Message, subject: SubjectT, place: str) -> None:
        """Fills in the default, or checks what was given.

        Raises:
            InvalidRequestError: The value is not of its kind, or the subject does not take the option.
        """
        given = _is_given(message, self.field_name)
        if not self.taken(subject):
            if given:
                message_ = f"{subject.name} takes no {self.field_name}; leave it out"
                raise InvalidRequestError(message_, field=f"{place}.{self.field_name}")
            return
        if not given:
            if self.default is None:
                return
            self.write(message, self.default(subject))
        kind = self.kind if self.narrow is None else self.narrow(subject)
        value = getattr(message, self.field_name)
        for one in value if self.repeatable else [value]:
            check_kind(f"{place}.{self.field_name}", one, kind)
        if self.repeatable:
            check_distinct(f"{place}.{self.field_name}", value)


class PartOptions:
    """What a request may ask of one part, and what that means for a model; one subclass for each part.

    Attributes:
        part: Name of the field of `AnalyzeRequest`.
        options: What can be asked over REST, in the order in which it is described.
    """

    part: ClassVar[str]
    options: ClassVar[Sequence[Option[Any]]]

    def write(self, request: v1.AnalyzeRequest, given: Given) -> None:
        """Asks for the part, with the options that were given over REST.

        Raises:
            InvalidRequestError: They ask for more than a request may.
        """
        message = getattr(request, self.part)
        message.SetInParent()
        write_options(message, self.options, given)

    def fill(self, request: v1.AnalyzeRequest, model: v1.Model) -> None:
        """Checks the part's options and fills in their defaults.

        Args:
            request: It asks for the part.
            model: The model that it names.

        Raises:
            InvalidRequestError: Names the field and what would be right.
        """
        for option in self.options:
            option.fill(getattr(request, self.part), model, self.part)

    def check_possible(self, request: v1.AnalyzeRequest, model: v1.Model, others: Collection[v1.Model]) -> None:
        """Checks what is no fault of the request, so that this part of the answer fails alone.

        Args:
            request: With every default filled in.
            model: The model that is asked.
            others: The other served models.

        Raises:
            FailedPreconditionError: The model, or this server, cannot do it; says what can be done instead.
        """


def write_options(message: Message, options: Iterable[Option[Any]], given: Given) -> None:
    """Puts the values that were given into a part's message."""
    for option in options:
        if option.name in given:
            option.write(message, given[option.name])


def write_class(message: Message, name: str, value: int | str) -> None:
    """A class by its index, or by its name in the field beside it."""
    field = f"{name.removesuffix('_class')}_label" if isinstance(value, str) else name
    setattr(message, field, value)


def check_kind(field: str, value: object, kind: Kind) -> None:
    """Raises InvalidRequestError, which names the field, unless the value is of the kind."""
    try:
        kind.read(value)
    except ValueError as error:
        shown = quoted(value) if isinstance(value, str) else value
        raise InvalidRequestError(f"{field} is {shown}; it {error}", field=field) from None


def _is_given(message: Message, field: str) -> bool:
    """Whether a field with presence is set, or one without holds more than nothing."""
    descriptor = message.DESCRIPTOR.fields_by_name[field]
    return message.HasField(field) if descriptor.has_presence else bool(getattr(message, field))
