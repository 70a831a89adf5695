"""What is wrong with the entries of a YAML file, in words for people."""

from collections.abc import Iterator
from types import UnionType
from typing import Any, Union, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails


def in_words(mistake: ErrorDetails, entries: Any, spec: type[BaseModel]) -> str:
    """One of pydantic's complaints: the dotted name of the entry, and what would be right.

    Args:
        mistake: From pydantic.
        entries: What was validated.
        spec: The model that it was validated against; the descriptions of its fields say what a value must be.
    """
    names = [str(name) for name in mistake["loc"]]
    entry = ".".join(names)
    first = spec.model_fields.get(entry.partition(".")[0])
    if first is not None and get_origin(first.annotation) in (Union, UnionType):
        # An entry of several forms: pydantic names the form after the entry, and reports what each of them lacks.
        if mistake["type"] == "value_error":
            names = [names[0], *names[2:]]
            entry = ".".join(names)
        elif names[0] in entries:
            return f"{names[0]}: {entries[names[0]]!r} must be {first.description}"
    if mistake["type"] == "missing":
        return f"{entry} is missing"
    if mistake["type"] in ("extra_forbidden", "invalid_key"):
        *_, section = _sections(names[:-1], spec)
        return f"{entry} is not a known entry; the entries here are {', '.join(section.model_fields)}"
    if mistake["type"] == "model_type":
        return f"{entry or 'the spec'} must be a mapping"
    if mistake["type"] == "value_error":
        return f"{entry}: {mistake['msg'].removeprefix('Value error, ')}"
    # A wrong item is reported with the whole list: the position alone says little.
    names = [name for name in mistake["loc"] if isinstance(name, str)]
    *_, section = _sections(names[:-1], spec)
    value = entries
    for name in names:
        value = value[name]
    return f"{'.'.join(names)}: {value!r} must be {section.model_fields[names[-1]].description}"


def _sections(names: list[str], spec: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model of the whole spec, and of each section on the way to the innermost."""
    section: Any = spec
    yield section
    for name in names:
        section = section.model_fields[name].annotation
        yield section
