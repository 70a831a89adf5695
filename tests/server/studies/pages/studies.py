"""Open studies, and the clock that they go by."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from whybox_server.studies.pages.app import INVITATION
from whybox_server.studies.state import Study
from whybox_server.studies.store import StudyStore


@dataclass
class Clock:
    """Time that passes when a test says so."""

    now: datetime = field(default_factory=lambda: datetime(2030, 1, 1, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True)
class Opened:
    """A study and its store."""

    store: StudyStore
    study: Study

    @property
    def base(self) -> str:
        return f"/studies/{self.study.id}"

    async def invite(self, valid: timedelta = timedelta(days=1)) -> str:
        """The address of a new invitation."""
        [token] = await self.store.invite(self.study.id, 1, valid)
        return f"{self.base}/?{urlencode({INVITATION: token})}"

    async def answers(self) -> list[tuple[str, str]]:
        """Picture and answer of every vote."""
        votes = await self.store.votes(self.study.id)
        return [(vote.picture_id, vote.answer.value) for vote in votes.items]
