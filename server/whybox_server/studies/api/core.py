"""What both transports ask, and the one place where errors of studies become those of Whybox."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from google.protobuf.timestamp_pb2 import Timestamp

from whybox import v1
from whybox.v1.errors import FailedPreconditionError, NotFoundError, UnavailableError
from whybox_server.access.keys import utc_now
from whybox_server.database.errors import DatabaseError
from whybox_server.studies.api.results import Results
from whybox_server.studies.errors import StudyClosedError, StudyError, StudyNotFoundError
from whybox_server.studies.state import Status, Study
from whybox_server.studies.store import StudyStore
from whybox_server.validation.kinds import integer, number
from whybox_server.validation.options import Option, check_kind

_log = logging.getLogger(__name__)

DEFAULT_NUMBER, DEFAULT_DAYS = 1, 14.0
# One call is one short transaction.
_MAX_NUMBER = 1_000
NUMBER: Option[v1.Model] = Option("number", integer(1, _MAX_NUMBER), f"People to invite. Default: {DEFAULT_NUMBER}.")
DAYS: Option[v1.Model] = Option(
    "days",
    number(low=0.01, high=365, unit="days"),
    f"Days for which the invitations let people in. Default: {DEFAULT_DAYS:g}.",
)
INVITATION_OPTIONS = (NUMBER, DAYS)
"""What an invitation takes."""


class StudyApi:
    """The studies, for callers whose key the transports have checked.

    Args:
        store: Where studies are.
        results: Their results.
        pages: The address of the pages, such as "https://studies.example.org/studies".
        clock: Tells the time in UTC.
    """

    def __init__(
        self,
        store: StudyStore,
        results: Results,
        pages: Callable[[], str],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store, self._results = store, results
        self._pages, self._clock = pages, clock

    async def list_studies(self) -> v1.ListStudiesResponse:
        """The studies, the one that opened last first."""
        with _translated():
            return v1.ListStudiesResponse(studies=[_study(study) for study in await self._store.studies()])

    async def get_study(self, study_id: str) -> v1.StudyStatus:
        """How far a study is.

        Raises:
            NotFoundError: There is no such study.
        """
        with _translated():
            study = await self._store.study(study_id, checked=False)
            return _status(study, await self._store.status(study_id))

    async def get_results(self, study_id: str, timeout: float) -> v1.StudyResults:
        """The results of a study.

        Args:
            study_id: The study.
            timeout: Seconds that the caller waits.

        Raises:
            NotFoundError: There is no such study.
            FailedPreconditionError: The study has no answers.
            DeadlineExceededError: The results take longer; a later call gets them.
        """
        with _translated():
            return await self._results.of(study_id, timeout)

    async def invite(self, request: v1.InviteAnnotatorsRequest) -> v1.InviteAnnotatorsResponse:
        """Invites people.

        Raises:
            NotFoundError: There is no such study.
            InvalidRequestError: A number is out of range.
            FailedPreconditionError: The study is closed, or its files changed.
        """
        number = request.number if request.HasField("number") else DEFAULT_NUMBER
        days = request.days if request.HasField("days") else DEFAULT_DAYS
        check_kind(NUMBER.name, number, NUMBER.kind)
        check_kind(DAYS.name, days, DAYS.kind)
        valid = timedelta(days=days)
        expires = self._clock() + valid
        with _translated():
            # People must not be sent to a study whose files are gone.
            study = await self._store.study(request.study)
            tokens = await self._store.invite(study.id, number, valid)
        page = f"{self._pages()}/{quote(study.id, safe='')}"
        links = [f"{page}?invitation={quote(token, safe='')}" for token in tokens]
        return v1.InviteAnnotatorsResponse(links=links, expires=_timestamp(expires))


def invitation(study_id: str, given: Mapping[str, Any]) -> v1.InviteAnnotatorsRequest:
    """A request from the values that were given over REST."""
    request = v1.InviteAnnotatorsRequest(study=study_id)
    for name, value in given.items():
        setattr(request, name, value)
    return request


@contextmanager
def _translated() -> Iterator[None]:
    """Turns what can go wrong with studies and their database into errors for callers."""
    try:
        yield
    except StudyNotFoundError as error:
        raise NotFoundError(str(error), reason="UNKNOWN_STUDY", field="study") from None
    except StudyClosedError as error:
        raise FailedPreconditionError(str(error), reason="STUDY_CLOSED") from None
    except StudyError as error:
        # Its message may name folders of the server.
        _log.error("a call about a study failed: %s", error)
        message = "the study cannot be used; the server's log says why"
        raise FailedPreconditionError(message, reason="STUDY_UNUSABLE") from None
    except DatabaseError as error:
        _log.error("a call about a study failed: %s", error)
        message = "the database of studies cannot be used now; the server's log says why"
        raise UnavailableError(message, reason="DATABASE_UNAVAILABLE") from None


def _study(study: Study) -> v1.Study:
    source = study.protocol.source
    return v1.Study(
        id=study.id,
        title=study.protocol.wording.title,
        kind=study.kind,
        state=study.state,
        digest=study.digest,
        model=source.model,
        version=source.version,
        data=source.data,
        pictures=len(study.protocol.pictures),
        opened_at=_timestamp(study.opened_at),
        closed_at=None if study.closed_at is None else _timestamp(study.closed_at),
        close_reason=study.close_reason,
    )


def _status(study: Study, status: Status) -> v1.StudyStatus:
    cells = [
        v1.StudyCell(name=name, needed=cell.needed, answered=cell.answered, leased=cell.leased)
        for name, cell in status.cells.items()
    ]
    return v1.StudyStatus(
        study=_study(study),
        annotators=dict(status.annotators.items()),
        answers=status.answers,
        cannot_judge=status.cannot_judge,
        cells=cells,
        gold_answers=status.gold_answers,
        gold_failures=status.gold_failures,
        excluded=status.excluded,
        full=status.full,
    )


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment.astimezone(UTC))
    return stamp
