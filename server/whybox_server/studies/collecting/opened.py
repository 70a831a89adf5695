"""Studies that were opened: written once, read often."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Literal, cast

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from whybox_server.database.tables import ItemRow, StudyRow
from whybox_server.studies.assignment import Plan
from whybox_server.studies.collecting.rows import note
from whybox_server.studies.invitations import new_secret
from whybox_server.studies.protocol import Protocol, canonical
from whybox_server.studies.state import Kind, Study


class Plans:
    """The plans of studies. A protocol never changes once its study is open, so each is read once."""

    def __init__(self) -> None:
        self._plans: dict[str, Plan] = {}
        self._reading = asyncio.Lock()

    async def of(self, session: AsyncSession, study_id: str) -> Plan:
        """The plan of a study that there is."""
        if study_id not in self._plans:
            async with self._reading:
                if study_id not in self._plans:
                    text = (await session.scalars(select(StudyRow.protocol).where(StudyRow.id == study_id))).one()
                    self._plans[study_id] = Plan(Protocol.model_validate_json(text))
        return self._plans[study_id]


def study_of(row: StudyRow, plan: Plan) -> Study:
    """A study as the store tells of it."""
    return Study(
        id=row.id,
        protocol=plan.protocol,
        digest=row.digest,
        folder=Path(row.folder),
        kind=cast("Kind", row.kind),
        state=cast("Literal['open', 'closed']", row.state),
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        close_reason=row.close_reason,
    )


async def add_study(
    session: AsyncSession, plan: Plan, study_id: str, folder: Path, kind: Kind, now: datetime
) -> StudyRow:
    """Writes a new study and its items."""
    protocol = plan.protocol
    row = StudyRow(
        id=study_id,
        kind=kind,
        state="open",
        protocol=canonical(protocol.model_dump(mode="json")),
        digest=protocol.digest,
        folder=str(folder),
        secret=new_secret(),
        opened_at=now,
        close_reason="",
    )
    session.add(row)
    await session.flush()
    items = [
        {
            "study_id": study_id,
            "picture_id": picture.id,
            "item": index,
            "cell": plan.cell_of(item),
            "quota": protocol.policy.annotators_per_cell,
            "taken": 0,
            "unjudged": 0,
        }
        for picture in protocol.pictures
        for index, item in enumerate(picture.items)
    ]
    await session.execute(insert(ItemRow), items)
    note(session, study_id, "open", now, text=protocol.digest)
    return row
