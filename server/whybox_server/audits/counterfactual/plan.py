"""Which pictures lose which regions, for which flags."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from whybox_server.audits.counterfactual.regions import random_regions, region_of, seen_part
from whybox_server.audits.criticism.columns import Column as Tested
from whybox_server.audits.criticism.findings import Findings, Flag
from whybox_server.audits.criticism.options import FLOOR
from whybox_server.audits.criticism.pictures import Measurements, Pictures
from whybox_server.audits.criticism.verdicts import FLAGGED
from whybox_server.audits.data.boxes import Box, parse_boxes
from whybox_server.audits.data.columns import BOX
from whybox_server.audits.data.dataset import DataSet, Labelled
from whybox_server.audits.passes.changed import Changed
from whybox_server.audits.passes.run import Pass

Removal = Literal["blur", "fill"]

ONLY_FLAGGED = "only flagged findings are checked"
"""Why most findings are not checked: each check takes hundreds of attacks."""


@dataclass(frozen=True)
class CheckOptions:
    """How flags are checked.

    Attributes:
        removal: How a region is removed: "blur" or "fill".
        norm: The norm of the distances, which decides the flags.
        seed: Seed of the pictures and of the random regions.
        pictures: At most this number of pictures are changed for a class and a value.
        regions: Random regions in each picture.
    """

    removal: Removal
    norm: str
    seed: int
    pictures: int = 50
    regions: int = 5


class Topic(NamedTuple):
    """What flags of all kinds may be about: the pictures of a class with a value."""

    class_index: int
    attribute: str
    value: str

    @classmethod
    def of(cls, flag: Flag) -> "Topic":
        """The topic of a flag."""
        return cls(flag.class_index, flag.attribute, flag.value)


@dataclass(frozen=True)
class Planned:
    """One picture to be changed.

    Attributes:
        file: The picture.
        box: Without its boxes.
        random: Without each of the random regions; at least one.
        overlapping: Whether random regions overlap the boxes.
    """

    file: str
    box: Changed
    random: tuple[Changed, ...]
    overlapping: bool


@dataclass(frozen=True)
class Plan:
    """The pictures of a topic, or why there are none; see `CounterfactualCheck` of the contract.

    Attributes:
        reason: Why nothing is checked; "" if something is.
        pictures: Those to be changed.
        outside: Number of those with boxes outside the model's view.
        without_room: Number of those without room for a random region.
    """

    reason: str = ""
    pictures: tuple[Planned, ...] = ()
    outside: int = 0
    without_room: int = 0


@dataclass
class _Sorted:
    """The pictures of a topic by what becomes of them."""

    planned: list[Planned] = field(default_factory=list)
    outside: int = 0
    without_room: int = 0


def plans(findings: Findings, pictures: Pictures, done: Pass | None, options: CheckOptions) -> dict[Topic, Plan]:
    """The plan for each topic of the flags.

    Args:
        findings: The findings.
        pictures: The pictures that count.
        done: The pass that measured them; None for a table of predictions.
        options: How flags are checked.
    """
    if done is None:
        return dict.fromkeys(map(Topic.of, findings.flags), Plan("a table of predictions has no pictures"))
    made: dict[Topic, Plan] = {}
    wanted: dict[Topic, str] = {}
    flagged = {Topic.of(flag) for flag in findings.flags if flag.state == FLAGGED}
    for topic in dict.fromkeys(map(Topic.of, findings.flags)):
        column, reason = _box_column(topic.attribute, done.data, findings.columns)
        if column is not None and topic not in flagged:
            column, reason = None, ONLY_FLAGGED
        if column is None:
            made[topic] = Plan(reason)
        else:
            wanted[topic] = column
    having = {topic: _having(topic, pictures.of_class(topic.class_index)) for topic in wanted}
    boxes = _boxes(done.data, [(having[topic], column) for topic, column in wanted.items()])
    return made | {topic: _plan(topic, having[topic], boxes[column], done, options) for topic, column in wanted.items()}


def _box_column(attribute: str, data: DataSet, tested: Sequence[Tested]) -> tuple[str | None, str]:
    """The column that holds the boxes of an attribute; without one, why there is none."""
    own_columns = {column.name for column in data.columns}
    if attribute not in own_columns:
        return None, f"{attribute} is no column of the table, so that no box can show it"
    names = [column.name for column in data.columns if column.role == BOX]
    own = f"{attribute}_{BOX}"
    if own in names:
        return own, ""
    missing = f"the table has no column {own}"
    if BOX not in names:
        return None, missing
    number = sum(column.tested and column.name in own_columns for column in tested)
    return (BOX, "") if number == 1 else (None, f"{missing}, and {BOX} may belong to any of {number} attributes")


def _having(topic: Topic, part: Measurements) -> tuple[str, ...]:
    """The pictures of a topic, of near-duplicates the first."""
    rows = np.flatnonzero(part.attributes[topic.attribute] == topic.value)
    _, first = np.unique(part.groups[rows], return_index=True)
    return tuple(part.files[row] for row in rows[np.sort(first)])


def _boxes(data: DataSet, wanted: Sequence[tuple[Iterable[str], str]]) -> dict[str, dict[str, tuple[Box, ...]]]:
    """By column and file: the boxes of the pictures that have any."""
    places = {column.name: place for place, column in enumerate(data.columns)}
    files: dict[str, set[str]] = {}
    for some, column in wanted:
        files.setdefault(column, set()).update(some)
    found: dict[str, dict[str, tuple[Box, ...]]] = {column: {} for column in files}
    for row in data.rows() if files else ():
        for column, those in files.items():
            if row.file in those and (boxes := parse_boxes(row.cells[places[column]])):
                found[column][row.file] = boxes
    return found


def _plan(
    topic: Topic, files: Sequence[str], boxes: Mapping[str, tuple[Box, ...]], done: Pass, options: CheckOptions
) -> Plan:
    sorted_ = _Sorted()
    for file in files:
        if file in boxes:
            _sort(sorted_, Labelled(file, topic.class_index), boxes[file], done, options)
    drawn = sorted(sorted_.planned, key=lambda picture: _digest(options.seed, picture.file))[: options.pictures]
    reason = ""
    if len(drawn) < FLOOR:
        reason = (
            f"of {len(files)} pictures with the value, {len(drawn)} have a box in the model's view and room for a"
            f" random region; at least {FLOOR} are needed"
        )
    return Plan(reason, () if reason else tuple(drawn), sorted_.outside, sorted_.without_room)


def _sort(sorted_: _Sorted, picture: Labelled, boxes: Sequence[Box], done: Pass, options: CheckOptions) -> None:
    looks = done.journal[picture.file].covariates
    width, height = (int(looks[name]) for name in ("width", "height"))
    seen = seen_part(width, height, None if done.asked.view else done.model.preprocessing)
    region = region_of(boxes, seen)
    if not region:
        sorted_.outside += 1
        return
    # Each picture has its own randomness, so that it does not depend on the others.
    generator = np.random.default_rng(int.from_bytes(_digest(options.seed, picture.file), "big"))
    random = random_regions(region, seen, options.regions, generator)
    if not random.regions:
        sorted_.without_room += 1
        return
    box, *others = (
        Changed(picture.file, picture.label, each, seen, options.removal, options.norm)
        for each in (region, *random.regions)
    )
    sorted_.planned.append(Planned(picture.file, box, tuple(others), random.overlapping))


def _digest(seed: int, file: str) -> bytes:
    return hashlib.sha256(f"{seed}:{file}".encode()).digest()
