"""What the store tells of a study and of the people in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from whybox_server.studies.protocol import Answer, Item, KnownPicture, Protocol

Kind = Literal["main", "pilot", "preview"]
"""Answers of a pilot and of a preview never count for the main study: they are studies of their own."""

AnnotatorState = Literal["invited", "active", "finished", "withdrawn"]
QuestionKind = Literal["practice", "item", "gold"]


@dataclass(frozen=True)
class Study:
    """A study that was opened.

    Attributes:
        id: Its name: the protocol's, followed by "-pilot" or "-preview" for these kinds.
        protocol: All that was fixed before.
        digest: Of the protocol.
        folder: With the files that people see.
        kind: What its answers are for.
        state: Whether it takes answers.
        opened_at: In UTC.
        closed_at: In UTC; None while it is open.
        close_reason: Why it was closed; "" while it is open.
    """

    id: str
    protocol: Protocol
    digest: str
    folder: Path
    kind: Kind
    state: Literal["open", "closed"]
    opened_at: datetime
    closed_at: datetime | None
    close_reason: str


@dataclass(frozen=True)
class Annotator:
    """A person in a study.

    Attributes:
        id: Random; 22 characters that a URL may hold. It stands beside the answers in exports, so it opens no door:
            people come in by a signed token.
        study_id: The study.
        state: "invited" before consent, "active" after it, "finished" without a question left, "withdrawn".
        consented: Whether the person agreed to take part.
        practised: Number of practice pictures answered.
        external: Whether the person came by the id of a crowd platform.
    """

    id: str
    study_id: str
    state: AnnotatorState
    consented: bool
    practised: int
    external: bool


@dataclass(frozen=True)
class Question:
    """What one page asks.

    Attributes:
        kind: "practice", "item" or "gold". People must not see the difference of the last two.
        picture_id: Of the picture.
        item: What is shown and asked about.
        known: With the right answer; None for an item.
        lease_until: How long the item is kept for this person, in UTC.
        position: From 1; practice is counted by itself, gold among the items.
        total: Of practice pictures, or of items and gold.
    """

    kind: QuestionKind
    picture_id: str
    item: Item
    known: KnownPicture | None
    lease_until: datetime
    position: int
    total: int


@dataclass(frozen=True)
class Wait:
    """Nothing can be asked now, and something may come back.

    Attributes:
        until: When the first of the leases that others hold ends, in UTC.
    """

    until: datetime


@dataclass(frozen=True)
class Accepted:
    """An answer that is stored.

    Attributes:
        kind: What was answered.
        picture_id: Of the picture.
        answer: The answer.
        known: What a person is told after a practice answer; None for items and for gold.
    """

    kind: QuestionKind
    picture_id: str
    answer: Answer
    known: KnownPicture | None


@dataclass(frozen=True)
class CellStatus:
    """How far a cell is; an item that stands for several cells counts in each.

    Attributes:
        needed: Votes that its items need.
        answered: Votes that they have.
        leased: Questions about them that people see at present.
    """

    needed: int
    answered: int
    leased: int


@dataclass(frozen=True)
class Status:
    """How far a study is.

    Attributes:
        study_id: The study.
        kind: Of the study.
        state: Whether it takes answers.
        close_reason: Why it was closed; "" while it is open.
        annotators: Number of people in each state.
        answers: Answers about items, without practice and gold.
        cannot_judge: Those among them that say that the picture cannot be judged.
        cells: By name of the cell, in the order of the protocol.
        gold_answers: Answers about gold pictures.
        gold_failures: Wrong ones among them.
        excluded: People with more wrong gold answers than the protocol allows.
        full: Whether every item has its votes, or twice as many answers as it needs votes.
    """

    study_id: str
    kind: Kind
    state: Literal["open", "closed"]
    close_reason: str
    annotators: Mapping[AnnotatorState, int]
    answers: int
    cannot_judge: int
    cells: Mapping[str, CellStatus]
    gold_answers: int
    gold_failures: int
    excluded: int
    full: bool


@dataclass(frozen=True)
class RawVote:
    """One answer.

    Attributes:
        annotator_id: The person.
        picture_id: The picture.
        cells: Those of the item; ("practice",) or ("gold",) for a known picture.
        answer: The answer.
        milliseconds: From the question to the answer; None where unknown.
        at: When it was stored, in UTC.
    """

    annotator_id: str
    picture_id: str
    cells: tuple[str, ...]
    answer: Answer
    milliseconds: int | None
    at: datetime


@dataclass(frozen=True)
class RawVotes:
    """All answers of a study, each in the order in which they came.

    Attributes:
        study: The study.
        items: Answers about items: the votes.
        gold: Answers about gold pictures.
        practice: Answers about practice pictures.
    """

    study: Study
    items: tuple[RawVote, ...]
    gold: tuple[RawVote, ...]
    practice: tuple[RawVote, ...]
