"""What a person is asked: leases on items, practice first, gold among the items."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from whybox_server.database.tables import AnnotatorRow, AssignmentRow, EventRow, ItemRow
from whybox_server.studies.assignment import Candidate, Plan
from whybox_server.studies.collecting.rows import note
from whybox_server.studies.protocol import Answer, KnownPicture
from whybox_server.studies.state import Question, QuestionKind, Wait


async def kept(session: AsyncSession, plan: Plan, annotator: AnnotatorRow, now: datetime) -> Question | None:
    """What is kept for the person for at least half a lease more; None if a lease is needed. Nothing is written."""
    rows = await session.scalars(
        select(AssignmentRow).where(AssignmentRow.annotator_id == annotator.id, AssignmentRow.state == "leased")
    )
    row = _first(rows.all())
    return _question(plan, row) if row and row.lease_until - now >= _length(plan) / 2 else None


async def needed(
    session: AsyncSession, annotator: AnnotatorRow, now: datetime, key: str = ""
) -> tuple[list[AssignmentRow], AssignmentRow | None, str]:
    """What an answer and the next question need to know, by one statement: the study is locked meanwhile.

    Args:
        session: In a transaction.
        annotator: The person.
        now: The time.
        key: Idempotency key of an answer; "" for none.

    Returns:
        The assignments of the person, and those of others whose leases ran out; the assignment that was answered with
        the key, and the answer; None and "" if there is none.
    """
    mine = AssignmentRow.annotator_id == annotator.id
    expired = (
        (AssignmentRow.study_id == annotator.study_id)
        & (AssignmentRow.state == "leased")
        & (AssignmentRow.lease_until < now)
    )
    found = await session.execute(
        select(AssignmentRow, EventRow.answer)
        .outerjoin(
            EventRow,
            (EventRow.annotator_id == annotator.id)
            & (EventRow.key == key)
            & (EventRow.what == "answer")
            & (EventRow.annotator_id == AssignmentRow.annotator_id)
            & (EventRow.picture_id == AssignmentRow.picture_id),
        )
        .where(mine | expired)
    )
    rows, before, answer = [], None, ""
    for row, given in found:
        rows.append(row)
        if given is not None:
            before, answer = row, given
    return rows, before, answer


async def ask(
    session: AsyncSession, plan: Plan, annotator: AnnotatorRow, rows: Sequence[AssignmentRow], now: datetime
) -> Question | Wait | None:
    """What the person is asked now, leased anew; None if nothing can come any more. The study is locked.

    Args:
        session: In a transaction.
        plan: Of the study.
        annotator: The person.
        rows: See `needed`.
        now: The time.
    """
    # All rows are written at once, when the transaction ends.
    with session.no_autoflush:
        for each in rows:
            if each.state == "leased" and each.lease_until < now:
                await release(session, each, "expiry", now)
        mine = [each for each in rows if each.annotator_id == annotator.id]
        row = _first([each for each in mine if each.state == "leased"])
        if row is None:
            row = await _next(session, plan, annotator, mine)
            if row is not None:
                note(session, row.study_id, "lease", now, annotator_id=annotator.id, picture_id=row.picture_id)
    # What was released is no lease of others any more.
    return lease(plan, row, now) if row else await _wait(session, plan, annotator, mine)


def lease(plan: Plan, row: AssignmentRow, now: datetime) -> Question:
    """Keeps an item for the person from now on."""
    row.state = "leased"
    row.lease_until = now + _length(plan)
    return _question(plan, row)


def known_picture(plan: Plan, row: AssignmentRow) -> KnownPicture | None:
    """The practice or gold picture of an assignment; None for an item."""
    return {"practice": plan.practice, "gold": plan.gold}.get(row.kind, {}).get(row.picture_id)


async def release(session: AsyncSession, row: AssignmentRow, what: str, now: datetime) -> None:
    """Gives back the item of an assignment, which was leased.

    Args:
        session: In a transaction.
        row: The assignment.
        what: Happened: "expiry" or "pause".
        now: When.
    """
    row.state = "released"
    await count(session, row, taken=-1)
    note(session, row.study_id, what, now, annotator_id=row.annotator_id, picture_id=row.picture_id)


async def count(session: AsyncSession, row: AssignmentRow, *, taken: int, unjudged: int = 0) -> bool:
    """Changes how many votes and leases the item of an assignment has; practice and gold have no quota.

    Args:
        session: In a transaction.
        row: The assignment.
        taken: Votes and leases that it has more.
        unjudged: Answers that it has more and that are no vote.

    Returns:
        Whether the item has room. Nothing is changed if it has none.
    """
    if row.item is None:
        return True
    now_taken, now_unjudged = ItemRow.taken + taken, ItemRow.unjudged + unjudged
    changed = await session.execute(
        update(ItemRow)
        .where(
            ItemRow.study_id == row.study_id,
            ItemRow.picture_id == row.picture_id,
            ItemRow.item == row.item,
            now_taken <= ItemRow.quota,
            now_taken + now_unjudged <= 2 * ItemRow.quota,
        )
        .values(taken=now_taken, unjudged=now_unjudged)
        .execution_options(synchronize_session=False)
        .returning(ItemRow.taken)
    )
    return changed.first() is not None


async def forget_answer(session: AsyncSession, row: AssignmentRow, *, leased: bool) -> bool:
    """Counts the item of an assignment without its answer.

    Args:
        session: In a transaction.
        row: The assignment, answered.
        leased: Whether the place stays with the person.

    Returns:
        Whether the item has room for that: another person may have got the place of an answer that was no vote.
    """
    held = 1 if leased else 0
    if row.answer == Answer.CANNOT_JUDGE:
        return await count(session, row, taken=held, unjudged=-1)
    return await count(session, row, taken=held - 1)


def _length(plan: Plan) -> timedelta:
    return timedelta(seconds=plan.protocol.policy.lease_seconds)


def _first(leased: Sequence[AssignmentRow]) -> AssignmentRow | None:
    """Two are leased after an undo: the one to answer again, and the one that followed it."""
    return min(leased, key=lambda row: (row.kind != "practice", row.position), default=None)


def _question(plan: Plan, row: AssignmentRow) -> Question:
    kind = cast("QuestionKind", row.kind)
    known = known_picture(plan, row)
    return Question(
        kind=kind,
        picture_id=row.picture_id,
        item=known.item if known else plan.pictures[row.picture_id].items[row.item or 0],
        known=known,
        lease_until=row.lease_until,
        position=row.position,
        total=len(plan.practice) if kind == "practice" else plan.total,
    )


async def _next(
    session: AsyncSession, plan: Plan, annotator: AnnotatorRow, rows: Sequence[AssignmentRow]
) -> AssignmentRow | None:
    """A new assignment, or one that was released."""
    by_picture = {row.picture_id: row for row in rows}
    answered = {row.picture_id for row in rows if row.state == "answered"}

    def assigned(picture_id: str, kind: QuestionKind, item: int | None, position: int) -> AssignmentRow:
        row = by_picture.get(picture_id)
        if row is None:
            row = AssignmentRow(
                study_id=annotator.study_id, annotator_id=annotator.id, picture_id=picture_id, kind=kind, item=item
            )
            session.add(row)
        row.position = position
        return row

    for place, picture_id in enumerate(plan.practice, start=1):
        if picture_id not in answered:
            return assigned(picture_id, "practice", None, place)
    position = 1 + sum(row.state == "answered" and row.kind != "practice" for row in rows)
    ordinal = annotator.ordinal or 0
    if position > plan.total:
        return None
    if (gold := plan.gold_at(ordinal, position)) and gold.id not in answered:
        return assigned(gold.id, "gold", None, position)
    if (found := await _item(session, plan, annotator.study_id, ordinal, position, rows)) is None:
        return None
    row = assigned(found.picture_id, "item", found.item, position)
    await count(session, row, taken=1)
    return row


async def _item(
    session: AsyncSession, plan: Plan, study_id: str, ordinal: int, position: int, rows: Sequence[AssignmentRow]
) -> Candidate | None:
    """The item that the person is asked about next; None if none has room that the person may see."""
    sums = await session.execute(
        select(ItemRow.cell, func.sum(ItemRow.taken)).where(ItemRow.study_id == study_id).group_by(ItemRow.cell)
    )
    taken = [0] * len(plan.cells)
    for cell, number in sums:
        taken[cell] = int(number)
    # A picture stays in the arm in which the person saw it.
    seen_in = {row.picture_id: row for row in rows if row.kind == "item"}
    seen = [0] * len(plan.cells)
    for row in seen_in.values():
        seen[plan.cell_of(plan.pictures[row.picture_id].items[row.item or 0])] += 1
    for cell in plan.cells_by_urgency(ordinal, position, taken, seen):
        items = await session.execute(
            select(ItemRow.picture_id, ItemRow.item, ItemRow.taken).where(
                ItemRow.study_id == study_id,
                ItemRow.cell == cell,
                ItemRow.taken < ItemRow.quota,
                ItemRow.taken + ItemRow.unjudged < 2 * ItemRow.quota,
            )
        )
        candidates = [Candidate._make(each) for each in items]
        fresh = [each for each in candidates if each.picture_id not in seen_in]
        again = [
            each
            for each in candidates
            if (before := seen_in.get(each.picture_id)) and before.state == "released" and before.item == each.item
        ]
        # What the person saw before and did not answer comes first.
        if again or fresh:
            return plan.picture(ordinal, again or fresh)
    return None


async def _wait(
    session: AsyncSession, plan: Plan, annotator: AnnotatorRow, rows: Sequence[AssignmentRow]
) -> Wait | None:
    """Until an item comes back that others are asked about and that the person may be; None if there is none."""
    if sum(row.state == "answered" and row.kind != "practice" for row in rows) >= plan.total:
        return None
    seen_in = {row.picture_id: row for row in rows}
    others = await session.execute(
        select(AssignmentRow.picture_id, AssignmentRow.item, AssignmentRow.lease_until)
        .where(
            AssignmentRow.study_id == annotator.study_id,
            AssignmentRow.state == "leased",
            AssignmentRow.kind == "item",
        )
        .order_by(AssignmentRow.lease_until)
    )
    for picture_id, item, until in others:
        before = seen_in.get(picture_id)
        if before is None or (before.state == "released" and before.item == item):
            return Wait(until)
    return None
