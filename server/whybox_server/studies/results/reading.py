"""From the answers in a database and the protocol to columns: what counts, and how."""

from collections import Counter

import numpy as np

from whybox_server.studies.protocol import Answer, Protocol
from whybox_server.studies.results.compute import Design
from whybox_server.studies.results.votes import CANNOT_JUDGE, CORRECT, ERROR, MAYBE, NO, YES, Questions, Votes
from whybox_server.studies.state import RawVotes

_VALUES = {Answer.YES: YES, Answer.MAYBE: MAYBE, Answer.NO: NO, Answer.CANNOT_JUDGE: CANNOT_JUDGE}
_STRATA = {"error": ERROR, "correct": CORRECT}


def columns(raw: RawVotes) -> tuple[Votes, Design]:
    """The votes of a study, and how they count by its protocol.

    An item that stands for several cells gives its answers to each. People with too many wrong gold answers are named
    in the design, and still in the votes: `compute` leaves them out.

    Args:
        raw: The answers; practice never counts.
    """
    protocol = raw.study.protocol
    cells = tuple(cell.name for cell in protocol.cells)
    asked = [
        (place, picture, number, cells.index(name))
        for place, picture in enumerate(protocol.pictures)
        for number, item in enumerate(picture.items)
        for name in item.cells
    ]
    rows = {(picture.id, cells[cell]): row for row, (_, picture, _, cell) in enumerate(asked)}
    most_items = max(len(picture.items) for picture in protocol.pictures)
    questions = Questions(
        picture=np.array([place for place, *_ in asked], np.int64),
        cell=np.array([cell for *_, cell in asked], np.int64),
        stratum=np.array([_STRATA[picture.stratum] for _, picture, *_ in asked], np.int8),
        weight=np.array([1 / picture.inclusion_probability for _, picture, *_ in asked]),
        names=tuple(f"{picture.source}/{cells[cell]}" for _, picture, _, cell in asked),
        cells=cells,
        item=np.array([place * most_items + number for place, _, number, _ in asked], np.int64),
    )
    people = {name: place for place, name in enumerate(dict.fromkeys(vote.annotator_id for vote in raw.items))}
    given = [(rows[vote.picture_id, name], vote) for vote in raw.items for name in vote.cells]
    votes = Votes(
        question=np.array([row for row, _ in given], np.int64),
        annotator=np.array([people[vote.annotator_id] for _, vote in given], np.int64),
        value=np.array([_VALUES[vote.answer] for _, vote in given], np.int8),
        questions=questions,
        milliseconds=np.array([np.nan if vote.milliseconds is None else vote.milliseconds for _, vote in given]),
    )
    return votes, _design(raw, protocol, people)


def _design(raw: RawVotes, protocol: Protocol, people: dict[str, int]) -> Design:
    strata = {picture.stratum for picture in protocol.pictures}
    right = {known.id: known.right for known in protocol.gold}
    wrong = Counter(vote.annotator_id for vote in raw.gold if vote.answer != right[vote.picture_id])
    return Design(
        errors=protocol.source.errors,
        correct=protocol.source.correct,
        # Weights speak for the pictures that were not drawn, unless none of their kind was.
        unasked_errors=0 if "error" in strata else protocol.source.errors,
        unasked_correct=0 if "correct" in strata else protocol.source.correct,
        maybe=protocol.policy.maybe,
        ties=protocol.policy.ties,
        contrasts=protocol.policy.contrasts,
        gold_failures=np.array([wrong[name] for name in people], np.int64) if protocol.gold else None,
        gold_failures_allowed=protocol.policy.gold_failures_allowed,
        fastest_ms=protocol.policy.fastest_ms,
    )
