"""Which version answers, and calls that end on the deployment that they began with."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping

import pytest

from server.backends import Asked, FakeBackend
from server.gateway.calls import CALLS, LIMIT, request
from server.waiting import until
from whybox import v1
from whybox.v1.errors import NotFoundError
from whybox_server.gateway.audits import AuditFiles
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.deployment import Deployment

pytestmark = pytest.mark.usefixtures("_nothing_leaks")

MODELS = [
    v1.Model(name=name, version=version, num_classes=2, labels=[f"{name} {version}"])
    for name, version in (("m", "1.9"), ("n", "1"), ("m", "1.10"), ("l", "1"), ("l", "2"))
]


class Held(FakeBackend):
    """Answers nothing before it is told to, with the version as the label."""

    def __init__(self) -> None:
        super().__init__()
        self.answering = asyncio.Event()

    async def outcome(self, asked: Asked) -> v1.WorkResult:
        await self.answering.wait()
        answer = v1.AnalyzeResponse()
        answer.prediction.classes.add(label=asked.version)
        return v1.WorkResult(response=answer, final=True)


@pytest.fixture
def backend() -> Held:
    return Held()


def deployed(
    backend: FakeBackend,
    traffic: Mapping[str, Mapping[str, float]] | None = None,
    models: list[v1.Model] = MODELS,
    seed: int = 0,
) -> Deployment:
    return Deployment(models, backend, AuditFiles({}), traffic, random.Random(seed))


def test_models_by_name_and_the_newest_version_first(backend: Held) -> None:
    served = [(model.name, model.version) for model in deployed(backend).models]
    assert served == [("l", "2"), ("l", "1"), ("m", "1.10"), ("m", "1.9"), ("n", "1")]


def test_other_models_are_those_of_other_names(backend: Held) -> None:
    deployment = deployed(backend, {"l": {"1": 1}})
    others = deployment.others(deployment.model("m", "1.9"))
    assert [(model.name, model.version) for model in others] == [("l", "1"), ("n", "1")]


@pytest.mark.parametrize(
    ("shares", "default"),
    [({}, "1.10"), ({"1.9": 1}, "1.9"), ({"1.9": 2, "1.10": 1}, "1.9"), ({"1.9": 1, "1.10": 1}, "1.10")],
)
def test_the_default_version_is_the_one_that_most_requests_take(
    backend: Held, shares: dict[str, float], default: str
) -> None:
    deployment = deployed(backend, {"m": shares} if shares else {})
    assert deployment.model("m").version == default
    assert [deployment.model("m", version).version for version in ("1.9", "1.10")] == ["1.9", "1.10"]


def test_requests_are_shared_out_by_the_weights(backend: Held) -> None:
    deployment = deployed(backend, {"m": {"1.9": 90, "1.10": 10}})
    drawn = Counter(deployment.drawn("m").version for _ in range(2000))
    # Within four standard deviations of 1,800 and 200.
    assert drawn.keys() == {"1.9", "1.10"}
    assert abs(drawn["1.9"] - 1800) < 4 * (2000 * 0.9 * 0.1) ** 0.5
    again = deployed(backend, {"m": {"1.9": 90, "1.10": 10}})
    assert Counter(again.drawn("m").version for _ in range(2000)) == drawn
    assert {deployment.drawn("m", "1.10").version for _ in range(20)} == {"1.10"}
    # Without weights all go to the newest version; with one weight all to that version.
    assert {deployment.drawn("l").version for _ in range(20)} == {"2"}
    assert {deployed(backend, {"l": {"1": 5}}).drawn("l").version for _ in range(20)} == {"1"}


def test_unknown_versions_are_told_the_served_ones(backend: Held) -> None:
    for ask in (deployed(backend).model, deployed(backend).drawn):
        with pytest.raises(NotFoundError) as caught:
            ask("m", "2")
        assert caught.value.reason == "UNKNOWN_VERSION"
        assert caught.value.message == (
            "m is served in versions '1.10', '1.9', not '2'; leave the version out to take one of them"
        )


@pytest.mark.parametrize("call", CALLS)
async def test_the_answer_names_the_version_that_was_drawn(backend, metrics, spool, samples, call):
    gateway = Gateway(deployed(backend, {"m": {"1.9": 1, "1.10": 1}}), metrics, spool, max_image_bytes=LIMIT)
    backend.answering.set()
    taken = set()
    for version in ("",) * 12 + ("1.9",):
        calling = call(gateway, request(prediction={}, version=version))
        answer = await calling.task or calling.messages[0]
        assert answer.prediction.classes[0].label == answer.version == backend.asked[-1].version
        taken.add(answer.version)
    assert taken == {"1.9", "1.10"}
    assert answer.version == "1.9"
    counted = samples("whybox_parts_total")
    assert sum(counted.values()) == 13
    assert {labels.partition('version="')[2].partition('"')[0] for labels in counted} == taken


@pytest.mark.parametrize("call", CALLS)
async def test_calls_end_on_the_deployment_that_they_began_with(backend, metrics, spool, call):
    old, other = deployed(backend, models=MODELS[:1]), Held()
    new = deployed(other, models=MODELS[2:3])
    gateway = Gateway(old, metrics, spool, max_image_bytes=LIMIT)
    calling = call(gateway, request(prediction={}))
    await until(lambda: backend.asked)
    gateway.switch(new)
    assert (old.calls, new.calls) == (1, 0)
    idle = asyncio.create_task(old.idle())
    other.answering.set()
    after = call(gateway, request(prediction={}))
    answer = await after.task or after.messages[0]
    assert answer.version == "1.10"
    assert gateway.readiness() is other.states
    assert [model.version for model in gateway.list_models()] == ["1.10"]
    assert not idle.done()
    backend.answering.set()
    answer = await calling.task or calling.messages[0]
    assert answer.version == "1.9"
    await asyncio.wait_for(idle, 10)
    assert (old.calls, new.calls) == (0, 0)
    assert len(backend.asked) == len(other.asked) == 1


async def test_what_was_chosen_before_the_request_was_whole_holds(backend, metrics, spool):
    old = deployed(backend, models=MODELS[:1])
    gateway = Gateway(old, metrics, spool, max_image_bytes=LIMIT)
    backend.answering.set()
    with gateway.chosen("m") as choice:
        gateway.switch(deployed(Held(), models=MODELS[2:3]))
        asked = request(prediction={})
        answer = await gateway.analyze(asked, request_id="id-1", timeout=30, choice=choice)
        assert old.calls == 1
    assert answer.version == "1.9"
    assert old.calls == 0
    with pytest.raises(NotFoundError, match=r"version '1\.10', not '1\.9'"), gateway.chosen("m", "1.9"):
        pass
