"""A study, how far it is, and whom it invites."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Study:
    """A study that was opened; `str` tells it in a line.

    Attributes:
        id: Its id. A pilot's ends in "-pilot", a preview's in "-preview".
        title: Its title, as people read it.
        kind: "main", "pilot" or "preview". Answers of the last two never count.
        state: "open" while it takes answers, else "closed".
        digest: SHA-256 of its protocol, which never changes after the study opened.
        model: Name of the model whose answers people judge.
        version: Version of that model.
        data: The data set that the pictures come from.
        pictures: Number of pictures that are asked about.
        opened_at: In UTC.
        closed_at: In UTC; None while it is open.
        close_reason: Why it was closed; empty while it is open.
    """

    id: str
    title: str
    kind: str
    state: str
    digest: str
    model: str
    version: str
    data: str
    pictures: int
    opened_at: datetime
    closed_at: datetime | None
    close_reason: str

    def __str__(self) -> str:
        kind = "" if self.kind == "main" else f", a {self.kind}"
        opened = f"opened on {self.opened_at:%Y-%m-%d}"
        closed = "" if self.closed_at is None else f", closed on {self.closed_at:%Y-%m-%d}: {self.close_reason}"
        about = f"{self.pictures} pictures of {self.data}, answers of {self.model} {self.version}"
        return f"study {self.id}{kind}: {about}; {opened}{closed}"


@dataclass(frozen=True)
class StudyCell:
    """How far one cell is; an item that stands for several cells counts in each.

    Attributes:
        name: What people see beside the picture, which picture, and which label is asked about, for example
            "feature/adversarial/model".
        needed: Number of answers that its items need.
        answered: Number of answers that they have.
        leased: Number of questions about them that people see at present.
    """

    name: str
    needed: int
    answered: int
    leased: int

    def __str__(self) -> str:
        leased = f", {self.leased} being asked" if self.leased else ""
        return f"{self.name}: {self.answered} of {self.needed} answers{leased}"


@dataclass(frozen=True)
class StudyStatus:
    """How far a study is; `str` tells it in a few lines.

    Attributes:
        study: The study.
        annotators: Number of people by state: "invited" before consent, "active" after it, "finished", "withdrawn".
        answers: Number of answers about items, without practice and gold.
        cannot_judge: Number of those that say that the picture cannot be judged.
        cells: The cells, in the order of the protocol.
        gold_answers: Number of answers about gold pictures, whose right answer is known.
        gold_failures: Number of those that are wrong.
        excluded: Number of people with more wrong gold answers than the protocol allows.
        full: Whether every item has its answers.
    """

    study: Study
    annotators: Mapping[str, int]
    answers: int
    cannot_judge: int
    cells: tuple[StudyCell, ...]
    gold_answers: int
    gold_failures: int
    excluded: int
    full: bool

    @property
    def people(self) -> str:
        """Who takes part, for example "3 invited, 10 active"."""
        return (
            ", ".join(f"{self.annotators[state]} {state}" for state in _STATES if self.annotators.get(state)) or "none"
        )

    def __str__(self) -> str:
        lines = [
            str(self.study),
            f"people: {self.people}",
            f"answers: {self.answers}, of which {self.cannot_judge} say that the picture cannot be judged",
        ]
        if self.gold_answers:
            lines.append(f"gold: {self.gold_failures} of {self.gold_answers} wrong; {self.excluded} people excluded")
        lines += map(str, self.cells)
        if self.full:
            lines.append("every item has its answers")
        return "\n".join(lines)


_STATES = ("invited", "active", "finished", "withdrawn")


@dataclass(frozen=True)
class Invitations:
    """Links for people; `str` has one a line.

    Attributes:
        links: A link for each person. It is a key to the answers of one person: give each person another one.
        expires: From when on they let nobody in, in UTC.
    """

    links: tuple[str, ...] = field(repr=False)
    expires: datetime

    def __str__(self) -> str:
        return "\n".join(self.links)
