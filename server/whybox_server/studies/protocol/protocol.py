"""The protocol of a study: all that is fixed before the first person answers.

    Protocol
    ├── wording          what people read, and in which language
    ├── model, data      what is studied
    ├── cells            which versions of a picture are shown, with which label and which explanation
    ├── pictures         what was drawn from the data set, and how probable it was to be drawn
    │   └── items        one for each cell: the files that people see
    ├── practice, gold   pictures whose right answer is known
    └── policy           ties, exclusions, contrasts

A protocol is frozen and has a digest once its study opens. Results name the digest.
"""

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from whybox_server.studies.protocol.frozen import Frozen
from whybox_server.studies.protocol.wording import Wording


class Answer(StrEnum):
    """What a person says about one item."""

    YES = "yes"
    NO = "no"
    MAYBE = "maybe"
    CANNOT_JUDGE = "cannot_judge"
    """The picture cannot be seen or judged. It is an answer, but no vote."""


Arm = Literal["none", "feature", "example"]
"""What is shown beside a picture: nothing, where the model looked, or the nearest pictures of the reference bank."""

Version = Literal["clean", "adversarial"]
"""The picture itself, or the smallest change found of it that the model answers wrongly."""

Asked = Literal["model", "given", "foil"]
"""Whose label is asked about: the model's, the data set's, or that of a class which is neither."""


class Cell(Frozen):
    """One way to show a picture.

    Attributes:
        arm: What is shown beside it.
        version: Which version of the picture is shown.
        asked: Whose label is asked about.
    """

    arm: Arm
    version: Version
    asked: Asked = "model"

    @property
    def name(self) -> str:
        """Such as "feature/clean/model"."""
        return f"{self.arm}/{self.version}/{self.asked}"


class Label(Frozen):
    """A class.

    Attributes:
        index: Its index, from 0.
        text: Its label, as people read it.
    """

    index: Annotated[int, Field(ge=0)]
    text: str


class File(Frozen):
    """A file below the folder of the study.

    Attributes:
        path: With "/".
        sha256: Digest of its bytes, in hexadecimal digits.
        width: In pixels.
        height: In pixels.
    """

    path: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]


class Example(Frozen):
    """A picture of the reference bank.

    Attributes:
        file: Its thumbnail.
        label: Its class; people see it only if the protocol says so.
    """

    file: File
    label: Label


class Item(Frozen):
    """A picture in a cell: what one question shows.

    Attributes:
        cells: Names of the cells that it stands for. Cells whose items would be the same are one item.
        label: What is asked about.
        picture: What is asked about it.
        explanation: Where the model looked; None outside of the arm `feature`.
        examples: The nearest pictures of the bank; empty outside of the arm `example`.
    """

    cells: Annotated[tuple[str, ...], Field(min_length=1)]
    label: Label
    picture: File
    explanation: File | None = None
    examples: tuple[Example, ...] = ()

    def files(self) -> tuple[File, ...]:
        """Every file that it shows."""
        explanation = (self.explanation,) if self.explanation else ()
        return (self.picture, *explanation, *(example.file for example in self.examples))


class Picture(Frozen):
    """A picture of the data set; its twin is the same picture.

    Attributes:
        id: Its name in the study, which says nothing about the label.
        source: Its path below the folder of the data set.
        stratum: Whether the model's answer is the data set's.
        inclusion_probability: How probable it was to be drawn from its stratum, above 0 and up to 1.
        given: The data set's label.
        predicted: The model's answer for the clean picture.
        items: What people may see of it; every cell of the protocol stands in one of them.
    """

    id: Annotated[str, Field(pattern="^[a-z0-9-]{1,64}$")]
    source: str
    stratum: Literal["error", "correct"]
    inclusion_probability: Annotated[float, Field(gt=0, le=1)]
    given: Label
    predicted: Label
    items: Annotated[tuple[Item, ...], Field(min_length=1)]


class KnownPicture(Frozen):
    """A picture whose right answer is known: for practice, or among the others as gold.

    Attributes:
        id: Its name in the study.
        item: What is shown; its cells are ("practice",) or ("gold",).
        right: The right answer.
        why: What people are told after a practice answer; "" for gold.
    """

    id: Annotated[str, Field(pattern="^[a-z0-9-]{1,64}$")]
    item: Item
    right: Answer
    why: str = ""


class Policy(Frozen):
    """How answers are collected and counted.

    Attributes:
        answers: What people may choose beside "cannot judge".
        annotators_per_cell: Distinct people who vote about each item, at least 5. "Cannot judge" is no vote: another
            person is asked instead, until twice as many people have answered.
        pictures_per_annotator: The most pictures that one person is asked about, practice and gold apart.
        gold_per_annotator: Gold pictures among them, at seeded places.
        gold_failures_allowed: A person with more wrong gold answers is excluded from the results.
        ties: What a tied majority counts as.
        maybe: What "maybe" counts as in the primary result.
        fastest_ms: Answers faster than this are marked, and not dropped.
        lease_seconds: How long an item is kept for the person who sees it.
        show_example_labels: Whether people see the labels of examples.
        contrasts: Pairs of cells whose difference is registered; the first minus the second.
    """

    answers: tuple[Answer, ...] = (Answer.YES, Answer.NO)
    annotators_per_cell: Annotated[int, Field(ge=5)] = 5
    pictures_per_annotator: Annotated[int, Field(ge=1)] = 60
    gold_per_annotator: Annotated[int, Field(ge=0)] = 0
    gold_failures_allowed: Annotated[int, Field(ge=0)] = 1
    ties: Literal["rejected", "accepted"] = "rejected"
    maybe: Literal["rejected", "accepted"] = "accepted"
    fastest_ms: Annotated[int, Field(ge=0)] = 300
    lease_seconds: Annotated[int, Field(ge=10)] = 600
    show_example_labels: bool = False
    contrasts: tuple[tuple[str, str], ...] = ()


class Platform(Frozen):
    """The platform that sends people by an address with their id in it; without `parameter` only invitations let in.

    Attributes:
        parameter: Name of the id in the address, such as "PROLIFIC_PID", "workerId" or "participant".
        return_address: Where people go at the end; "{code}" stands for the completion code of the person. "" shows the
            code alone.
    """

    parameter: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{0,64}$")] = ""
    return_address: Annotated[str, Field(pattern="^(https://[^\\s]+)?$")] = ""


class Source(Frozen):
    """What is studied.

    Attributes:
        model: Name of the model.
        version: Its version.
        digest: Digest of its archive.
        data: Name of the data set.
        errors: Number of its pictures with a wrong answer.
        correct: Number of its pictures with a right answer.
        explanation: Method of the arm `feature`, with its options; "" without this arm.
        bank: Id of the audit behind the arm `example`; "" without this arm.
        attack: Attack, norm and budget behind the adversarial versions; "" without them.
    """

    model: str
    version: str
    digest: str
    data: str
    errors: Annotated[int, Field(ge=0)]
    correct: Annotated[int, Field(ge=0)]
    explanation: str = ""
    bank: str = ""
    attack: str = ""


class Protocol(Frozen):
    """All that is fixed before the first person answers.

    Attributes:
        id: Name of the study: lower-case letters, digits and hyphens.
        layout: Version of this description.
        seed: Of the draw, of the order of pictures, and of the arms.
        wording: What people read.
        policy: How answers are collected and counted.
        platform: Who sends people, beside invitations.
        source: What is studied.
        cells: The cells, in the order of the Latin square.
        pictures: The pictures.
        practice: Pictures that everybody answers first.
        gold: Pictures among the others whose answer is known.
    """

    id: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,62}$")]
    layout: Literal[1] = 1
    seed: Annotated[int, Field(ge=0)] = 0
    wording: Wording = Wording()
    policy: Policy = Policy()
    platform: Platform = Platform()
    source: Source
    cells: Annotated[tuple[Cell, ...], Field(min_length=1)]
    pictures: Annotated[tuple[Picture, ...], Field(min_length=1)]
    practice: tuple[KnownPicture, ...] = ()
    gold: tuple[KnownPicture, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the protocol in canonical JSON, in hexadecimal digits."""
        return hashlib.sha256(canonical(self.model_dump(mode="json")).encode()).hexdigest()

    def files(self) -> Mapping[str, File]:
        """Every file that people may see, by its path."""
        items = [item for picture in self.pictures for item in picture.items]
        items += [known.item for known in (*self.practice, *self.gold)]
        return {file.path: file for item in items for file in item.files()}


def canonical(value: object) -> str:
    """JSON with sorted keys and without spaces, so that equal values are equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
