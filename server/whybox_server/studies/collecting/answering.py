"""What a person says, takes back, gives back, or wants deleted."""

import re
from datetime import datetime
from typing import cast

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from whybox_server.database.tables import AnnotatorRow, AssignmentRow, EventRow, StudyRow
from whybox_server.studies.assignment import Plan
from whybox_server.studies.collecting.asking import count, forget_answer, known_picture, lease, needed, release
from whybox_server.studies.collecting.rows import note, require_consent, require_open
from whybox_server.studies.errors import AnswerError, LeaseExpiredError
from whybox_server.studies.protocol import Answer
from whybox_server.studies.state import Accepted, Question, QuestionKind

_KEY = re.compile(r"[!-~]{1,200}")
_LONGEST_MS = 2**31 - 1


async def store_answer(
    session: AsyncSession,
    plan: Plan,
    study: StudyRow,
    annotator: AnnotatorRow,
    picture_id: str,
    answer: Answer,
    milliseconds: int | None,
    key: str,
    now: datetime,
) -> tuple[Accepted, list[AssignmentRow]]:
    """See `StudyStore.answer`. The study is locked.

    Returns:
        What is stored, and what the next question needs to know; see `needed`.
    """
    if not _KEY.fullmatch(key):
        raise AnswerError(
            "the key of an answer is 1 to 200 printable ASCII characters without spaces; load the page again"
        )
    rows, before, answered = await needed(session, annotator, now, key)
    if before:
        return _accepted(plan, before, Answer(answered)), rows
    row = next((row for row in rows if (row.annotator_id, row.picture_id) == (annotator.id, picture_id)), None)
    if row is None:
        raise AnswerError("the person was not asked about this picture; load the page again")
    require_open(study)
    require_consent(annotator)
    if answer not in (offered := (*plan.protocol.policy.answers, Answer.CANNOT_JUDGE)):
        raise AnswerError(f"{answer} is not offered; answer one of {', '.join(offered)}")
    if milliseconds is not None and not 0 <= milliseconds <= _LONGEST_MS:
        raise AnswerError(f"milliseconds: {milliseconds} is not from 0 to {_LONGEST_MS}; load the page again")
    if row.state == "answered":
        raise AnswerError(f"picture {picture_id} has its answer already; undo it to change it")
    # A lease that ran out keeps its place until another person takes it.
    if row.state == "released" and not await count(session, row, taken=1):
        raise LeaseExpiredError(f"the time for picture {picture_id} has passed, and others answered; take the next one")
    if answer == Answer.CANNOT_JUDGE:
        # No vote: the place is another person's.
        await count(session, row, taken=-1, unjudged=1)
    row.state, row.answer, row.milliseconds, row.answered_at = "answered", answer.value, milliseconds, now
    annotator.last_answered = row.picture_id
    if row.kind == "practice":
        annotator.practised += 1
        annotator.last_answered = None
    note(
        session,
        study.id,
        "answer",
        now,
        annotator_id=annotator.id,
        picture_id=row.picture_id,
        answer=answer.value,
        key=key,
    )
    return _accepted(plan, row, answer), rows


async def take_back(session: AsyncSession, plan: Plan, annotator: AnnotatorRow, now: datetime) -> Question | None:
    """See `StudyStore.undo`. The study is locked."""
    if annotator.last_answered is None:
        return None
    last = (AssignmentRow.annotator_id == annotator.id) & (AssignmentRow.picture_id == annotator.last_answered)
    row = (await session.scalars(select(AssignmentRow).where(last))).one()
    if not await forget_answer(session, row, leased=True):
        raise LeaseExpiredError(f"others were asked about picture {row.picture_id} in the meantime; take the next one")
    note(session, row.study_id, "undo", now, annotator_id=annotator.id, picture_id=row.picture_id, answer=row.answer)
    row.answer = row.milliseconds = row.answered_at = None
    annotator.last_answered = None
    annotator.state = "active"
    return lease(plan, row, now)


async def give_back(session: AsyncSession, annotator: AnnotatorRow, now: datetime) -> None:
    """See `StudyStore.pause`. The study is locked."""
    leased = await session.scalars(
        select(AssignmentRow).where(AssignmentRow.annotator_id == annotator.id, AssignmentRow.state == "leased")
    )
    for row in leased.all():
        await release(session, row, "pause", now)


async def forget(session: AsyncSession, annotator: AnnotatorRow, now: datetime) -> None:
    """See `StudyStore.withdraw`. A name without answers stays, so that the invitation lets nobody in again."""
    rows = await session.scalars(select(AssignmentRow).where(AssignmentRow.annotator_id == annotator.id))
    for row in rows.all():
        if row.state == "answered":
            await forget_answer(session, row, leased=False)
        elif row.state == "leased":
            await count(session, row, taken=-1)
    await session.execute(delete(AssignmentRow).where(AssignmentRow.annotator_id == annotator.id))
    await session.execute(delete(EventRow).where(EventRow.annotator_id == annotator.id))
    annotator.state = "withdrawn"
    annotator.external = annotator.consented_at = annotator.last_answered = None
    annotator.practised = 0
    note(session, annotator.study_id, "withdrawal", now)


def _accepted(plan: Plan, row: AssignmentRow, answer: Answer) -> Accepted:
    return Accepted(
        kind=cast("QuestionKind", row.kind),
        picture_id=row.picture_id,
        answer=answer,
        known=known_picture(plan, row) if row.kind == "practice" else None,
    )
