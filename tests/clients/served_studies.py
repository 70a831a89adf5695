"""Studies that a test tells what to answer, and results that the server computed from drawn answers."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from itertools import product
from pathlib import Path
from typing import cast

import numpy as np

from messages import message
from studying import picture, protocol
from whybox import v1
from whybox.v1.errors import WhyboxError
from whybox_server.studies.api.core import StudyApi
from whybox_server.studies.api.results import computed
from whybox_server.studies.protocol import Answer, Cell
from whybox_server.studies.state import RawVote, RawVotes, Study

KEY = "whybox_0123456789abcdef"
AUTHORIZATION = f"Bearer {KEY}"
CELLS = tuple(
    Cell.model_validate({"arm": arm, "version": version})
    for version, arm in product(("clean", "adversarial"), ("none", "feature", "example"))
)
OPENED, CLOSED = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)

STUDY = message(
    v1.Study,
    id="photos",
    title="Which labels fit?",
    kind="main",
    state="closed",
    digest="ab" * 32,
    model="lite0",
    version="1.0",
    data="photos",
    pictures=40,
    opened_at=OPENED,
    closed_at=CLOSED,
    close_reason="Enough [answers].",
)
PILOT = message(v1.Study, id="photos-pilot", title="Try", kind="pilot", state="open", opened_at=OPENED)
STATUS = message(
    v1.StudyStatus,
    study=STUDY,
    annotators={"invited": 2, "active": 0, "finished": 30, "withdrawn": 1},
    answers=1195,
    cannot_judge=5,
    cells=[
        {"name": "none/clean/model", "needed": 200, "answered": 200, "leased": 0},
        {"name": "feature/clean/model", "needed": 200, "answered": 199, "leased": 1},
    ],
    gold_answers=30,
    gold_failures=4,
    excluded=1,
    full=False,
)
INVITED = message(
    v1.InviteAnnotatorsResponse,
    links=["https://x.org/studies/photos?invitation=a", "https://x.org/studies/photos?invitation=b"],
    expires=CLOSED,
)


@cache
def results_json() -> bytes:
    """results.json of `answers`."""
    return computed(answers())


def answers() -> RawVotes:
    """Five answers to each of 40 pictures in six cells; people accept more beside an explanation."""
    random = np.random.default_rng(0)
    contrasts = tuple(
        (f"{arm}/{version}/model", f"none/{version}/model")
        for version, arm in product(("clean", "adversarial"), ("feature", "example"))
    )
    drawn = [picture(f"p{number}", CELLS) for number in range(40)]
    drawn[24:] = [each.model_copy(update={"stratum": "correct", "given": each.predicted}) for each in drawn[24:]]
    study = protocol(drawn, name="photos", cells=CELLS, contrasts=contrasts)
    study = study.model_copy(update={"source": study.source.model_copy(update={"errors": 152, "correct": 348})})
    accepted = {"none": 0.4, "feature": 0.6, "example": 0.7}
    votes = []
    for shown in study.pictures:
        people = iter(random.permutation(60)[:30].tolist())
        for item in shown.items:
            chance = accepted[item.cells[0].partition("/")[0]]
            for _ in range(5):
                answer = Answer.YES if random.random() < chance else Answer.NO
                votes.append(RawVote(f"person {next(people)}", shown.id, item.cells, answer, 1000, OPENED))
    opened = Study(study.id, study, study.digest, Path("study"), "main", "open", OPENED, None, "")
    return RawVotes(opened, tuple(votes), (), ())


@dataclass
class FakeStudies:
    """What is answered about studies, and what was asked.

    Attributes:
        error: Raised in place of every answer.
        results: The results of every study.
        asked: Their questions: the id of a study, or the invitation.
        timeouts: Seconds that callers of results wait.
    """

    error: WhyboxError | None = None
    results: bytes = b""
    asked: list[object] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)

    def reset(self) -> None:
        """Forgets what earlier tests did."""
        vars(self).update(vars(FakeStudies(results=results_json())))

    @property
    def api(self) -> StudyApi:
        """Itself: the transports use no more of the API than it has."""
        return cast(StudyApi, self)

    def _called(self, asked: object) -> None:
        self.asked.append(asked)
        if self.error is not None:
            raise self.error

    async def list_studies(self) -> v1.ListStudiesResponse:
        self._called("")
        return v1.ListStudiesResponse(studies=[STUDY, PILOT])

    async def get_study(self, study_id: str) -> v1.StudyStatus:
        self._called(study_id)
        return STATUS

    async def get_results(self, study_id: str, timeout: float) -> v1.StudyResults:
        self._called(study_id)
        self.timeouts.append(timeout)
        return v1.StudyResults(study=study_id, json=self.results)

    async def invite(self, request: v1.InviteAnnotatorsRequest) -> v1.InviteAnnotatorsResponse:
        self._called(request)
        return INVITED
