"""Rows of the tables, found, locked and told."""

import re
from datetime import datetime
from typing import cast

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from whybox_server.database.tables import AnnotatorRow, EventRow, StudyRow
from whybox_server.studies.errors import AnnotatorNotFoundError, NoConsentError, StudyClosedError, StudyNotFoundError
from whybox_server.studies.state import Annotator, AnnotatorState

NOBODY = "there is nobody of this name in the study; come in by the invitation"

_STUDY = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
_ANNOTATOR = re.compile(r"[A-Za-z0-9_-]{22}")


async def find_study(session: AsyncSession, study_id: str, *, lock: bool = False) -> StudyRow:
    """The row of a study.

    Args:
        session: In a transaction.
        study_id: Its name.
        lock: Whether others who change the study wait until this transaction ends. SQLite has one writer anyway.

    Raises:
        StudyNotFoundError: There is none of this name.
    """
    row = None
    if _STUDY.fullmatch(study_id):
        query = select(StudyRow).where(StudyRow.id == study_id)
        row = await session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise StudyNotFoundError(
            f"there is no study {study_id!r}; `whybox-server study list` names those that there are"
        )
    return row


async def find_row(session: AsyncSession, annotator_id: str) -> AnnotatorRow:
    """The row of a person.

    Raises:
        AnnotatorNotFoundError: There is nobody of this name.
    """
    row = await session.get(AnnotatorRow, annotator_id) if _ANNOTATOR.fullmatch(annotator_id) else None
    if row is None:
        raise AnnotatorNotFoundError(NOBODY)
    return row


async def find_annotator(
    session: AsyncSession, annotator_id: str, *, lock: bool = False
) -> tuple[StudyRow, AnnotatorRow]:
    """A person who has not withdrawn, and the study.

    Args:
        session: In a transaction.
        annotator_id: The person.
        lock: Whether others who change the study wait until this transaction ends.

    Raises:
        AnnotatorNotFoundError: There is nobody of this name, or the person withdrew.
    """
    query = (
        # The study stands first, so it is locked first, as everywhere. What is read is as it is once both are locked.
        select(StudyRow, AnnotatorRow)
        .join_from(StudyRow, AnnotatorRow, AnnotatorRow.study_id == StudyRow.id)
        .where(AnnotatorRow.id == annotator_id)
    )
    found = None
    if _ANNOTATOR.fullmatch(annotator_id):
        found = (await session.execute(query.with_for_update() if lock else query)).one_or_none()
    if found is None:
        raise AnnotatorNotFoundError(NOBODY)
    study, row = found
    if row.state == "withdrawn":
        raise AnnotatorNotFoundError("the person withdrew from the study, and all answers were deleted")
    return study, row


def require_open(study: StudyRow) -> None:
    """Makes sure that a study takes answers.

    Raises:
        StudyClosedError: It takes none.
    """
    if study.state == "closed":
        raise StudyClosedError(f"study {study.id} is closed and takes no more answers: {study.close_reason}")


def require_consent(annotator: AnnotatorRow) -> None:
    """Makes sure that a person agreed to take part.

    Raises:
        NoConsentError: The person did not.
    """
    if annotator.consented_at is None:
        raise NoConsentError("the person has not agreed to take part; ask for consent first")


def told(row: AnnotatorRow) -> Annotator:
    """A person as the store tells of it."""
    return Annotator(
        id=row.id,
        study_id=row.study_id,
        state=cast("AnnotatorState", row.state),
        consented=row.consented_at is not None,
        practised=row.practised,
        external=row.external is not None,
    )


def note(
    session: AsyncSession,
    study_id: str,
    what: str,
    at: datetime,
    *,
    annotator_id: str | None = None,
    picture_id: str | None = None,
    answer: str | None = None,
    key: str | None = None,
    text: str = "",
) -> None:
    """Adds to what happened."""
    session.add(
        EventRow(
            study_id=study_id,
            annotator_id=annotator_id,
            at=at,
            what=what,
            picture_id=picture_id,
            answer=answer,
            key=key,
            note=text,
        )
    )
