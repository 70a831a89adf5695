"""Open studies."""

from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from whybox_server.studies.pages.app import INVITATION
from whybox_server.studies.state import Study
from whybox_server.studies.store import StudyStore


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
