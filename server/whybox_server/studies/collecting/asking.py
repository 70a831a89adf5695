"""What a person is asked: leases on items, practice first, gold among the items."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from whybox_server.database.tables import AnnotatorRow, AssignmentRow, ItemRow
from whybox_server.studies.assignment import Candidate, Plan
from whybox_server.studies.collecting.rows import note
from whybox_server.studies.protocol import KnownPicture
from whybox_server.studies.state import Question, QuestionKind


async def ask(session: AsyncSession, plan: Plan, annotator: AnnotatorRow, now: datetime) -> Question | None:
    """What the person is asked now, leased anew; None if nothing is left. The study is locked."""
    await release_expired(session, annotator.study_id, now)
    rows = await _assignments(session, annotator.id)
    leased = [row for row in rows if row.state == "leased"]
    # Two are leased after an undo: the one to answer again, and the one that followed it.
    row = min(leased, key=lambda row: (row.kind != "practice", row.position), default=None)
    if row is None:
        row = await _next(session, plan, annotator, rows)
    if row is None:
        return None
    if row not in leased:
        note(session, row.study_id, "lease", now, annotator_id=annotator.id, picture_id=row.picture_id)
    return lease(plan, row, now)


def lease(plan: Plan, row: AssignmentRow, now: datetime) -> Question:
    """Keeps an item for the person from now on."""
    row.state = "leased"
    row.lease_until = now + timedelta(seconds=plan.protocol.policy.lease_seconds)
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


def known_picture(plan: Plan, row: AssignmentRow) -> KnownPicture | None:
    """The practice or gold picture of an assignment; None for an item."""
    return {"practice": plan.practice, "gold": plan.gold}.get(row.kind, {}).get(row.picture_id)


async def release_expired(session: AsyncSession, study_id: str, now: datetime) -> None:
    """Gives back the items of all whose leases ran out."""
    expired = await session.scalars(
        select(AssignmentRow).where(
            AssignmentRow.study_id == study_id, AssignmentRow.state == "leased", AssignmentRow.lease_until < now
        )
    )
    for row in expired.all():
        await release(session, row)
        note(session, study_id, "expiry", now, annotator_id=row.annotator_id, picture_id=row.picture_id)


async def release(session: AsyncSession, row: AssignmentRow) -> None:
    """Gives back the item of an assignment, which was leased."""
    row.state = "released"
    await take(session, row.study_id, row.picture_id, row.item, -1)


async def take(session: AsyncSession, study_id: str, picture_id: str, item: int | None, number: int) -> bool:
    """Changes by 1 or -1 how many answers an item has or waits for; practice and gold have no quota.

    Returns:
        Whether the item had room.
    """
    if item is None:
        return True
    changed = await session.execute(
        update(ItemRow)
        .where(
            ItemRow.study_id == study_id,
            ItemRow.picture_id == picture_id,
            ItemRow.item == item,
            ItemRow.taken + number <= ItemRow.quota,
        )
        .values(taken=ItemRow.taken + number)
        .returning(ItemRow.taken)
    )
    return changed.first() is not None


async def _assignments(session: AsyncSession, annotator_id: str) -> Sequence[AssignmentRow]:
    return (await session.scalars(select(AssignmentRow).where(AssignmentRow.annotator_id == annotator_id))).all()


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
    await take(session, annotator.study_id, found.picture_id, found.item, +1)
    return assigned(found.picture_id, "item", found.item, position)


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
                ItemRow.study_id == study_id, ItemRow.cell == cell, ItemRow.taken < ItemRow.quota
            )
        )
        candidates = [Candidate(*each) for each in items]
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
