"""What people answer, kept in a database: the one door to the tables of studies."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from whybox_server.studies.protocol import Answer, Protocol
from whybox_server.studies.state import Accepted, Annotator, Kind, Question, RawVotes, Status, Study


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

    async def open(self, protocol: Protocol, folder: Path, kind: Kind = "main") -> Study:
        """Freezes the protocol and begins to take answers; a study that is open already stays as it is.

        Raises:
            StudyChangedError: The folder is not that of the protocol, or the study opened with another protocol.
            StudyClosedError: The study is closed.
        """
        raise NotImplementedError

    async def studies(self) -> list[Study]:
        """All studies, the newest first. Their folders are not checked."""
        raise NotImplementedError

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
        raise NotImplementedError

    async def invite(self, study_id: str, number: int, valid: timedelta) -> list[str]:
        """Adds people and returns the token of each, which lets in until `valid` has passed.

        Raises:
            StudyClosedError: The study is closed.
        """
        raise NotImplementedError

    async def enter(self, study_id: str, token: str) -> Annotator:
        """The person whom a token lets in, however often.

        Raises:
            InvitationError: The token is forged, expired, or of another study, or its person withdrew.
        """
        raise NotImplementedError

    async def enter_external(self, study_id: str, external_id: str) -> Annotator:
        """The person whom a crowd platform names so; the same name is the same person. Only its HMAC is stored.

        Raises:
            InvitationError: The name is empty or longer than 200 characters.
            StudyClosedError: The person is new, and the study is closed.
        """
        raise NotImplementedError

    async def resume_token(self, annotator: Annotator) -> str:
        """A token that lets the person in on another device; it expires when the invitation does.

        Raises:
            AnnotatorNotFoundError: The person withdrew.
        """
        raise NotImplementedError

    async def annotator(self, study_id: str, annotator_id: str) -> Annotator:
        """A person; one who withdrew is told by the state.

        Raises:
            AnnotatorNotFoundError: The study has nobody of this name.
        """
        raise NotImplementedError

    async def consent(self, annotator_id: str) -> None:
        """The person agrees to take part; a second time changes nothing.

        Raises:
            AnnotatorNotFoundError: There is nobody of this name, or the person withdrew.
            StudyClosedError: The study is closed.
        """
        raise NotImplementedError

    async def question(self, annotator_id: str) -> Question | None:
        """What the person is asked now: what was asked before and is not answered, else a new question.

        Returns:
            The question, kept for this person for the lease of the protocol from now on; None if nothing is left, and
            then the person has finished.

        Raises:
            AnnotatorNotFoundError: There is nobody of this name, or the person withdrew.
            NoConsentError: The person has not agreed to take part.
            StudyClosedError: The study is closed.
        """
        raise NotImplementedError

    async def answer(
        self, annotator_id: str, picture_id: str, answer: Answer, *, milliseconds: int | None, key: str
    ) -> Accepted:
        """Stores an answer.

        Args:
            annotator_id: The person.
            picture_id: The picture that was asked about.
            answer: One that the protocol offers, or `CANNOT_JUDGE`.
            milliseconds: From the question to the answer; None where unknown.
            key: Made with the page. The same key a second time changes nothing and has the same outcome.

        Raises:
            AnnotatorNotFoundError: There is nobody of this name, or the person withdrew.
            NoConsentError: The person has not agreed to take part.
            StudyClosedError: The study is closed.
            AnswerError: The answer is not offered, or the picture is not asked about or has its answer.
            LeaseExpiredError: The answer came late, and the item has all its answers.
        """
        raise NotImplementedError

    async def undo(self, annotator_id: str) -> Question | None:
        """Asks the last question again, and forgets its answer.

        Returns:
            The question; None if the last answer is undone already, or was a practice answer, or there is none.

        Raises:
            AnnotatorNotFoundError: There is nobody of this name, or the person withdrew.
            StudyClosedError: The study is closed.
        """
        raise NotImplementedError

    async def pause(self, annotator_id: str) -> None:
        """Gives back what is kept for the person.

        Raises:
            AnnotatorNotFoundError: There is nobody of this name, or the person withdrew.
        """
        raise NotImplementedError

    async def withdraw(self, annotator_id: str) -> None:
        """Deletes all that the person answered and did, also after the study closed; the quotas open again.

        Raises:
            AnnotatorNotFoundError: There is nobody of this name, or the person withdrew before.
        """
        raise NotImplementedError

    async def finish(self, annotator_id: str) -> str:
        """The completion code of a person who has finished, or whose study closed early.

        Raises:
            AnnotatorNotFoundError: There is nobody of this name, or the person withdrew.
            UnfinishedError: The person has questions left.
        """
        raise NotImplementedError

    async def close(self, study_id: str, reason: str) -> None:
        """Ends a study; the reason is kept.

        Raises:
            StudyNotFoundError: There is none of this name.
            StudyClosedError: It is closed already.
            StudyError: The reason is empty.
        """
        raise NotImplementedError

    async def status(self, study_id: str) -> Status:
        """How far the study is.

        Raises:
            StudyNotFoundError: There is none of this name.
        """
        raise NotImplementedError

    async def votes(self, study_id: str) -> RawVotes:
        """All answers.

        Raises:
            StudyNotFoundError: There is none of this name.
        """
        raise NotImplementedError
