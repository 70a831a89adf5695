"""What people answer, kept in a database: the one door to the tables of studies."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from whybox_server.database.engine import reading, writing
from whybox_server.database.tables import AnnotatorRow, AssignmentRow, StudyRow
from whybox_server.studies.assignment import Plan
from whybox_server.studies.collecting.answering import forget, give_back, store_answer, take_back
from whybox_server.studies.collecting.asking import ask, kept, needed
from whybox_server.studies.collecting.counting import collect, count
from whybox_server.studies.collecting.folders import check_folder
from whybox_server.studies.collecting.opened import Plans, add_study, study_of
from whybox_server.studies.collecting.rows import (
    NOBODY,
    find_annotator,
    find_row,
    find_study,
    note,
    require_consent,
    require_open,
    told,
)
from whybox_server.studies.errors import (
    AnnotatorNotFoundError,
    InvitationError,
    StudyChangedError,
    StudyClosedError,
    StudyError,
    UnfinishedError,
)
from whybox_server.studies.invitations import Signer, new_name
from whybox_server.studies.protocol import Answer, Protocol
from whybox_server.studies.state import Accepted, Annotator, Kind, Question, RawVotes, Status, Study, Wait

_EXTERNAL_VALID = timedelta(days=30)
"""How long people of a crowd platform can come back by a link; by the id they can as long as the study is there."""
_LONGEST_EXTERNAL = 200
_REPLACEMENT = "\ufffd"
"""What stands for bytes that are no text: names that differ in such bytes alone would be one person."""


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class StudyStore:
    """The studies of a database. What one call changes is one short transaction.

    Args:
        engine: See `whybox_server.database.engine.create_engine`; its tables are of this version.
        clock: Tells the time in UTC.
    """

    def __init__(self, engine: AsyncEngine, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine, self._clock = engine, clock
        self._plans = Plans()
        self._checked: set[str] = set()
        self._checking = asyncio.Lock()

    async def open(self, protocol: Protocol, folder: Path, kind: Kind = "main") -> Study:
        """Freezes the protocol and begins to take answers; a study that is open already stays as it is.

        Raises:
            StudyChangedError: The folder is not that of the protocol, or the study opened with another protocol.
            StudyClosedError: The study is closed.
        """
        plan = Plan(protocol)
        study_id = protocol.id if kind == "main" else f"{protocol.id}-{kind}"
        folder = await asyncio.to_thread(check_folder, folder, study_id, protocol.digest)
        try:
            return await self._open(plan, study_id, folder, kind)
        except IntegrityError:
            # Another process wrote the same study after this one looked for it.
            return await self._open(plan, study_id, folder, kind)

    async def _open(self, plan: Plan, study_id: str, folder: Path, kind: Kind) -> Study:
        digest = plan.protocol.digest
        async with writing(self._engine) as session:
            row = await session.get(StudyRow, study_id, with_for_update=True)
            if row is None:
                row = await add_study(session, plan, study_id, folder, kind, self._clock())
            if (row.digest, row.kind) != (digest, kind):
                raise StudyChangedError(
                    f"study {study_id} opened as {row.kind} with the digest {row.digest}, and this is {kind} with"
                    f" {digest}; create a study of another name"
                )
            require_open(row)
            row.folder = str(folder)
        self._checked.add(study_id)
        return study_of(row, plan)

    async def studies(self) -> list[Study]:
        """All studies, the newest first. Their folders are not checked."""
        async with reading(self._engine) as session:
            rows = await session.scalars(select(StudyRow).order_by(StudyRow.opened_at.desc(), StudyRow.id))
            return [study_of(row, await self._plans.of(session, row.id)) for row in rows.all()]

    async def study(self, study_id: str, *, checked: bool = True) -> Study:
        """A study.

        Args:
            study_id: Its name.
            checked: Whether its files must be those with which it opened. They are read once for each store; results
                need none of them.

        Raises:
            StudyNotFoundError: There is none of this name.
            StudyChangedError: A file is missing, or differs.
        """
        async with reading(self._engine) as session:
            study = study_of(await find_study(session, study_id), await self._plans.of(session, study_id))
        if checked and study_id not in self._checked:
            # One at a time: all who come after a server began would read all files.
            async with self._checking:
                if study_id not in self._checked:
                    await asyncio.to_thread(check_folder, study.folder, study_id, study.digest)
                    self._checked.add(study_id)
        return study

    async def invite(self, study_id: str, number: int, valid: timedelta) -> list[str]:
        """Adds people and returns the token of each, which lets in until `valid` has passed.

        Raises:
            StudyClosedError: The study is closed.
        """
        if number < 1 or valid <= timedelta(0):
            raise StudyError(f"{number} invitations for {valid}: invite at least one person, for longer than no time")
        until = self._clock() + valid
        async with writing(self._engine) as session:
            study = await find_study(session, study_id, lock=True)
            require_open(study)
            rows = [_new_annotator(study_id, until) for _ in range(number)]
            session.add_all(rows)
            await session.flush()
            for row in rows:
                note(session, study_id, "invitation", self._clock(), annotator_id=row.id)
            signer = Signer(study.secret, study_id)
            return [signer.invitation(row.id, until) for row in rows]

    async def enter(self, study_id: str, token: str) -> Annotator:
        """The person whom a token lets in, however often.

        Raises:
            InvitationError: The token is forged, expired, or of another study, or its person withdrew.
        """
        async with reading(self._engine) as session:
            study = await find_study(session, study_id)
            annotator_id = Signer(study.secret, study_id).invited(token, self._clock())
            row = await session.get(AnnotatorRow, annotator_id)
            if row is None or row.study_id != study_id:
                raise InvitationError("the person of this invitation is not in this study; ask for a new one")
            if row.state == "withdrawn":
                raise InvitationError("the person of this invitation withdrew, and all answers were deleted")
            return told(row)

    async def enter_external(self, study_id: str, external_id: str) -> Annotator:
        """The person whom a crowd platform names so; the same name is the same person. Only its HMAC is stored.

        Raises:
            InvitationError: The name is empty or longer than 200 characters.
            StudyClosedError: The person is new, and the study is closed.
        """
        readable = external_id.isprintable() and _REPLACEMENT not in external_id
        if not 1 <= len(external_id) <= _LONGEST_EXTERNAL or not readable:
            raise InvitationError(f"an id has 1 to {_LONGEST_EXTERNAL} printable characters; use the platform's link")
        now = self._clock()
        async with writing(self._engine) as session:
            study = await find_study(session, study_id, lock=True)
            hidden = Signer(study.secret, study_id).hidden(external_id)
            row = await session.scalar(
                select(AnnotatorRow).where(AnnotatorRow.study_id == study_id, AnnotatorRow.external == hidden)
            )
            if row is None:
                require_open(study)
                row = _new_annotator(study_id, now + _EXTERNAL_VALID, hidden)
                session.add(row)
                await session.flush()
                note(session, study_id, "arrival", now, annotator_id=row.id)
            return told(row)

    async def resume_token(self, annotator: Annotator) -> str:
        """A token that lets the person in on another device; it expires when the invitation does.

        Raises:
            AnnotatorNotFoundError: The person withdrew.
        """
        async with reading(self._engine) as session:
            study, row = await find_annotator(session, annotator.id)
            return Signer(study.secret, study.id).invitation(row.id, row.invited_until)

    async def page_key(self, study_id: str) -> bytes:
        """The key by which the pages of a study sign what browsers keep; it never changes.

        Raises:
            StudyNotFoundError: There is none of this name.
        """
        async with reading(self._engine) as session:
            study = await find_study(session, study_id)
            return Signer(study.secret, study_id).page_key()

    async def annotator(self, study_id: str, annotator_id: str) -> Annotator:
        """A person; one who withdrew is told by the state.

        Raises:
            AnnotatorNotFoundError: The study has nobody of this name.
        """
        async with reading(self._engine) as session:
            row = await find_row(session, annotator_id)
            if row.study_id != study_id:
                raise AnnotatorNotFoundError(NOBODY)
            return told(row)

    async def consent(self, annotator_id: str) -> None:
        """The person agrees to take part; a second time changes nothing.

        Raises:
            AnnotatorNotFoundError: There is nobody of this name, or the person withdrew.
            StudyClosedError: The study is closed.
        """
        async with self._person(annotator_id) as (session, _, study, row):
            require_open(study)
            if row.consented_at is not None:
                return
            last = await session.scalar(select(func.max(AnnotatorRow.ordinal)).where(AnnotatorRow.study_id == study.id))
            row.ordinal = 0 if last is None else last + 1
            row.consented_at, row.state = self._clock(), "active"
            note(session, study.id, "consent", self._clock(), annotator_id=row.id)

    async def question(self, annotator_id: str) -> Question | Wait | None:
        """What the person is asked now: what was asked before and is not answered, else a new question.

        Returns:
            The question, kept for this person for at least half of the protocol's lease from now on; `Wait` if others
            are asked about all that is left, which may come back; None if nothing can come any more, and then the
            person has finished.

        Raises:
            AnnotatorNotFoundError: There is nobody of this name, or the person withdrew.
            NoConsentError: The person has not agreed to take part.
            StudyClosedError: The study is closed.
        """
        async with reading(self._engine) as session:
            study, row = await find_annotator(session, annotator_id)
            require_open(study)
            require_consent(row)
            if row.state == "finished":
                return None
            if question := await kept(session, await self._plans.of(session, study.id), row, self._clock()):
                return question
        async with self._person(annotator_id) as (session, plan, study, row):
            require_open(study)
            rows, *_ = await needed(session, row, self._clock())
            return await self._ask(session, plan, study, row, rows)

    async def _ask(
        self, session: AsyncSession, plan: Plan, study: StudyRow, row: AnnotatorRow, rows: Sequence[AssignmentRow]
    ) -> Question | Wait | None:
        """See `question` and `ask`. The study is locked and open."""
        if row.state == "finished":
            return None
        question = await ask(session, plan, row, rows, self._clock())
        if question is None:
            row.state = "finished"
            note(session, study.id, "finish", self._clock(), annotator_id=row.id)
        return question

    async def answer(
        self,
        annotator_id: str,
        picture_id: str,
        answer: Answer,
        *,
        milliseconds: int | None,
        key: str,
        goes_on: bool = False,
    ) -> Accepted:
        """Stores an answer. "Cannot judge" is no vote: it leaves its place in the quota to another person.

        Args:
            annotator_id: The person.
            picture_id: The picture that was asked about.
            answer: One that the protocol offers, or `CANNOT_JUDGE`.
            milliseconds: From the question to the answer; None where unknown.
            key: Made with the page. The same key a second time changes nothing and has the same outcome.
            goes_on: Whether the next question is kept for the person at once, in the same transaction.

        Raises:
            AnnotatorNotFoundError: There is nobody of this name, or the person withdrew.
            NoConsentError: The person has not agreed to take part.
            StudyClosedError: The study is closed.
            AnswerError: The answer is not offered, or the picture is not asked about or has its answer.
            LeaseExpiredError: The answer came late, and the item has all its answers.
        """
        async with self._person(annotator_id) as (session, plan, study, row):
            accepted, rows = await store_answer(
                session, plan, study, row, picture_id, answer, milliseconds, key, self._clock()
            )
            if goes_on and study.state == "open":
                await self._ask(session, plan, study, row, rows)
            return accepted

    async def undo(self, annotator_id: str) -> Question | None:
        """Asks the last question again, and forgets its answer.

        Returns:
            The question; None if the last answer is undone already, or was a practice answer, or there is none.

        Raises:
            AnnotatorNotFoundError: There is nobody of this name, or the person withdrew.
            StudyClosedError: The study is closed.
            LeaseExpiredError: The answer was no vote, and another person was asked instead.
        """
        async with self._person(annotator_id) as (session, plan, study, row):
            require_open(study)
            return await take_back(session, plan, row, self._clock())

    async def pause(self, annotator_id: str) -> None:
        """Gives back what is kept for the person.

        Raises:
            AnnotatorNotFoundError: There is nobody of this name, or the person withdrew.
        """
        async with self._person(annotator_id) as (session, _, _, row):
            await give_back(session, row, self._clock())

    async def withdraw(self, annotator_id: str) -> None:
        """Deletes all that the person answered and did, also after the study closed; the quotas open again.

        Raises:
            AnnotatorNotFoundError: There is nobody of this name, or the person withdrew before.
        """
        async with self._person(annotator_id) as (session, _, _, row):
            await forget(session, row, self._clock())

    async def finish(self, annotator_id: str) -> str:
        """The completion code of a person who has finished, or whose study closed early.

        Raises:
            AnnotatorNotFoundError: There is nobody of this name, or the person withdrew.
            UnfinishedError: The person has questions left.
        """
        async with reading(self._engine) as session:
            study, row = await find_annotator(session, annotator_id)
            if row.state != "finished" and study.state == "open":
                raise UnfinishedError("the person has questions left; answer them first")
            return Signer(study.secret, study.id).completion_code(row.id)

    async def close(self, study_id: str, reason: str) -> None:
        """Ends a study; the reason is kept.

        Raises:
            StudyNotFoundError: There is none of this name.
            StudyClosedError: It is closed already.
            StudyError: The reason is empty.
        """
        if not reason.strip() or not reason.isprintable():
            raise StudyError("a study is closed with a reason of one line; say why it ends")
        async with writing(self._engine) as session:
            row = await find_study(session, study_id, lock=True)
            if row.state == "closed":
                raise StudyClosedError(f"study {study_id} is closed already: {row.close_reason}")
            row.state, row.closed_at, row.close_reason = "closed", self._clock(), reason.strip()
            note(session, study_id, "close", self._clock(), text=reason.strip())

    async def status(self, study_id: str) -> Status:
        """How far the study is.

        Raises:
            StudyNotFoundError: There is none of this name.
        """
        async with reading(self._engine) as session:
            row, plan = await find_study(session, study_id), await self._plans.of(session, study_id)
            return await count(session, plan, study_of(row, plan), self._clock())

    async def votes(self, study_id: str) -> RawVotes:
        """All answers.

        Raises:
            StudyNotFoundError: There is none of this name.
        """
        async with reading(self._engine) as session:
            row, plan = await find_study(session, study_id), await self._plans.of(session, study_id)
            return await collect(session, plan, study_of(row, plan))

    @asynccontextmanager
    async def _person(self, annotator_id: str) -> AsyncIterator[tuple[AsyncSession, Plan, StudyRow, AnnotatorRow]]:
        """A transaction in which a person and the study are locked."""
        async with writing(self._engine) as session:
            study, row = await find_annotator(session, annotator_id, lock=True)
            yield session, await self._plans.of(session, study.id), study, row


def _new_annotator(study_id: str, until: datetime, external: str | None = None) -> AnnotatorRow:
    return AnnotatorRow(
        id=new_name(), study_id=study_id, state="invited", external=external, invited_until=until, practised=0
    )
