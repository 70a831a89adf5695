"""Studies: their status from messages, their results from the file that the server answers."""

import json
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

from google.protobuf.timestamp_pb2 import Timestamp

from whybox import results, v1
from whybox._messages.fields import malformed, many, plain

_ValueT = TypeVar("_ValueT")

_LAYOUT = 1


def read_study(message: v1.Study) -> results.Study:
    """The value of one study."""
    return results.Study(
        **plain(message),
        opened_at=_moment(message.opened_at),
        closed_at=_moment(message.closed_at) if message.HasField("closed_at") else None,
    )


def read_status(message: v1.StudyStatus) -> results.StudyStatus:
    """The value of the status of a study."""
    cells = many(message.cells, results.StudyCell)
    return results.StudyStatus(**plain(message), study=read_study(message.study), cells=cells)


def read_invitations(message: v1.InviteAnnotatorsResponse) -> results.Invitations:
    """The value of invitations."""
    return results.Invitations(**plain(message), expires=_moment(message.expires))


def read_results(content: bytes) -> results.StudyResults:
    """The value of results.json.

    Raises:
        InternalError: The file cannot be read, or has a form that this client does not know.
    """
    try:
        text = content.decode()
        given = json.loads(text)
        layout = given["layout"]
    except (ValueError, LookupError, TypeError) as error:
        raise malformed(f"is no results.json ({error})") from error
    if layout != _LAYOUT:
        raise malformed(
            f"has a results.json of layout {layout}, and this client reads {_LAYOUT}; install another whybox"
        )
    return _value(results.StudyResults, given | {"json": text}, "results.json")


def _value(kind: type[_ValueT], given: Any, place: str) -> _ValueT:
    """The value of a dataclass from an object of JSON, which may have fields that are not known here."""
    if not isinstance(given, dict):
        raise malformed(f"has a results.json that cannot be read: {place} is no object")
    hints = get_type_hints(kind)
    values = {}
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name not in given:
            raise malformed(f"has a results.json that cannot be read: {place} has no {field.name}")
        values[field.name] = _read(hints[field.name], given[field.name], f"{place}.{field.name}")
    return kind(**values)


def _read(hint: Any, given: Any, place: str) -> Any:
    """A value of a field: a dataclass, a tuple of values, a scalar, or one of these or None."""
    choices = get_args(hint)
    if NoneType in choices:
        [wanted] = (choice for choice in choices if choice is not NoneType)
        return None if given is None else _read(wanted, given, place)
    if choices:
        if not isinstance(given, list):
            raise malformed(f"has a results.json that cannot be read: {place} is no list")
        return tuple(_read(choices[0], each, f"{place}[{index}]") for index, each in enumerate(given))
    if is_dataclass(hint):
        return _value(hint, given, place)  # type: ignore[arg-type]
    if hint is float and isinstance(given, int) and not isinstance(given, bool):
        return float(given)
    if type(given) is not hint:
        raise malformed(f"has a results.json that cannot be read: {place} is no {hint.__name__}")
    return given


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(UTC)
