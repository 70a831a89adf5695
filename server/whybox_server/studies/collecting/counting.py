"""How far a study is, and all its answers."""

from collections import Counter
from datetime import datetime
from typing import cast

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from whybox_server.database.tables import AnnotatorRow, AssignmentRow
from whybox_server.studies.assignment import Plan
from whybox_server.studies.protocol import Answer
from whybox_server.studies.state import AnnotatorState, CellStatus, RawVote, RawVotes, Status, Study


async def count(session: AsyncSession, plan: Plan, study: Study, now: datetime) -> Status:
    """See `StudyStore.status`."""
    people = await session.execute(
        select(AnnotatorRow.state, func.count()).where(AnnotatorRow.study_id == study.id).group_by(AnnotatorRow.state)
    )
    states: Counter[str] = Counter(dict(people.all()))
    votes, unjudged, leased = await _by_item(session, study.id, now)
    quota = plan.protocol.policy.annotators_per_cell
    needed = quota * len(plan.pictures)
    answered, asked = _by_cell(plan, votes), _by_cell(plan, leased)
    gold = await session.execute(
        select(AssignmentRow.annotator_id, AssignmentRow.picture_id, AssignmentRow.answer).where(
            AssignmentRow.study_id == study.id, AssignmentRow.kind == "gold", AssignmentRow.state == "answered"
        )
    )
    gold_answers = gold.all()
    failures = Counter(who for who, picture_id, answer in gold_answers if answer != plan.gold[picture_id].right)
    return Status(
        study_id=study.id,
        kind=study.kind,
        state=study.state,
        close_reason=study.close_reason,
        annotators={state: states[state] for state in _STATES},
        answers=votes.total() + unjudged.total(),
        cannot_judge=unjudged.total(),
        cells={name: CellStatus(needed, answered[name], asked[name]) for name in plan.cells},
        gold_answers=len(gold_answers),
        gold_failures=failures.total(),
        excluded=sum(number > plan.protocol.policy.gold_failures_allowed for number in failures.values()),
        full=all(
            votes[item] >= quota or votes[item] + unjudged[item] >= 2 * quota
            for item in (
                (picture.id, index) for picture in plan.pictures.values() for index in range(len(picture.items))
            )
        ),
    )


_STATES: tuple[AnnotatorState, ...] = ("invited", "active", "finished", "withdrawn")


_Items = Counter[tuple[str, int]]


async def _by_item(session: AsyncSession, study_id: str, now: datetime) -> tuple[_Items, _Items, _Items]:
    """Votes, answers that are none, and leases, by picture and index of the item."""
    row = AssignmentRow
    found = await session.execute(
        select(row.picture_id, row.item, row.answer, func.count())
        .where(
            row.study_id == study_id,
            row.kind == "item",
            (row.state == "answered") | ((row.state == "leased") & (row.lease_until >= now)),
        )
        .group_by(row.picture_id, row.item, row.answer)
    )
    votes, unjudged, leased = _Items(), _Items(), _Items()
    for picture_id, item, answer, number in found:
        counts = leased if answer is None else unjudged if answer == Answer.CANNOT_JUDGE else votes
        counts[picture_id, item or 0] += number
    return votes, unjudged, leased


def _by_cell(plan: Plan, items: _Items) -> Counter[str]:
    """By name of the cell; an item counts for each that it stands for."""
    cells: Counter[str] = Counter()
    for (picture_id, item), number in items.items():
        for name in plan.pictures[picture_id].items[item].cells:
            cells[name] += number
    return cells


async def collect(session: AsyncSession, plan: Plan, study: Study) -> RawVotes:
    """See `StudyStore.votes`."""
    found = await session.execute(
        select(
            AssignmentRow.kind,
            AssignmentRow.annotator_id,
            AssignmentRow.picture_id,
            AssignmentRow.item,
            AssignmentRow.answer,
            AssignmentRow.milliseconds,
            AssignmentRow.answered_at,
        )
        .where(AssignmentRow.study_id == study.id, AssignmentRow.state == "answered")
        .order_by(AssignmentRow.answered_at, AssignmentRow.id)
    )
    votes: dict[str, list[RawVote]] = {"item": [], "gold": [], "practice": []}
    for kind, annotator_id, picture_id, item, answer, milliseconds, at in found:
        # A row that is answered has an answer and its time: the table sees to it.
        cells = (kind,) if item is None else plan.pictures[picture_id].items[item].cells
        votes[kind].append(
            RawVote(annotator_id, picture_id, cells, Answer(str(answer)), milliseconds, cast("datetime", at))
        )
    return RawVotes(study, tuple(votes["item"]), tuple(votes["gold"]), tuple(votes["practice"]))
