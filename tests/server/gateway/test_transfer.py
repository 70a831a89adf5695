"""Other models are shown the adversarial picture, by the gateway, over pools that answer what a test tells them to."""

import asyncio

import pytest
from google.rpc import code_pb2

from messages import message
from server.backends import Asked, FakeBackend, Outcome
from server.waiting import settle
from virtual_time import in_virtual_time
from whybox import v1
from whybox.v1 import errors
from whybox_server.gateway.audits import AuditFiles
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.deadlines import now
from whybox_server.gateway.deployment import Deployment
from whybox_server.gateway.pools import PoolKind
from whybox_server.gateway.spool import Spool
from whybox_server.monitoring.metrics import Metrics

VIEW, ADVERSARIAL, OTHER_ADVERSARIAL = b"view", b"adversarial linf", b"adversarial l2"
NAMES = ("a", "b", "c")


def model(name):
    attack = v1.Attack(name="fmn", norms=["linf", "l2"])
    norms = ["linf", "l2"]
    return v1.Model(name=name, version="2", num_classes=9, norms=norms, attacks=[attack], default_attack="fmn")


class Looking(FakeBackend):
    """The attacked model's worker answers with `result`; the others see in each picture what `seen` tells.

    Attributes:
        seen: Index of a class, or an error to raise, or a result, or an event to wait for, by model and picture;
            default: class 0.
        delay: Seconds that a prediction takes.
    """

    def __init__(self, pictures: list[bytes]) -> None:
        super().__init__()
        distances = [v1.Distance(norm=norm, state="found") for norm in ("linf", "l2")[: len(pictures)]]
        answer = v1.AnalyzeResponse(robustness=v1.Robustness(distances=distances))
        self.result = v1.WorkResult(response=answer, view_picture=VIEW, adversarial_pictures=pictures, final=True)
        self.seen: dict[tuple[str, bytes], int | Exception | v1.WorkResult | asyncio.Event] = {}
        self.delay = 0.0

    async def outcome(self, asked: Asked) -> Outcome:
        if asked.kind is PoolKind.ANALYZE:
            if not asked.work.request.robustness.transfer:
                # A worker sends pictures only for other models to look at.
                self.result.ClearField("adversarial_pictures")
            return self.result
        assert asked.work.request.model == asked.model
        await asyncio.sleep(self.delay)
        seen = self.seen.get((asked.model, asked.work.request.image), 0)
        if isinstance(seen, asyncio.Event):
            await seen.wait()
            seen = 0
        if isinstance(seen, int):
            return v1.WorkResult(response=v1.AnalyzeResponse(prediction=v1.Prediction(classes=[score(seen)])))
        return seen

    @property
    def looks(self) -> list[Asked]:
        """What the pools of predictions were asked."""
        return [asked for asked in self.asked if asked.kind is PoolKind.PREDICT]


def score(index: int) -> v1.ClassScore:
    return v1.ClassScore(index=index, label=f"class {index}", probability=0.5)


async def ask(backend, names=NAMES, timeout=30, **options):
    with Spool() as spool:
        gateway = Gateway(Deployment(map(model, names), backend, AuditFiles({})), Metrics(), spool, max_image_bytes=100)
        robustness = {"transfer": True, "norms": ["linf", "l2"], **options}
        request = message(v1.AnalyzeRequest, model="b", image=b"picture", robustness=robustness)
        return (await gateway.analyze(request, request_id="id-1", timeout=timeout)).robustness


async def test_every_other_model_looks_at_the_view_and_at_each_adversarial_picture():
    backend = Looking([ADVERSARIAL, OTHER_ADVERSARIAL])
    backend.seen = {("a", ADVERSARIAL): 3, ("c", VIEW): 1, ("c", ADVERSARIAL): 1, ("c", OTHER_ADVERSARIAL): 2}
    robustness = await ask(backend)
    assert [[each.model for each in distance.transfers] for distance in robustness.distances] == [["a", "c"]] * 2
    told = [
        [(each.predicted_class, each.adversarial_class, each.fooled) for each in distance.transfers]
        for distance in robustness.distances
    ]
    assert told == [
        [(score(0), score(3), True), (score(1), score(1), False)],
        [(score(0), score(0), False), (score(1), score(2), True)],
    ]
    assert {(each.version, each.status.code) for each in robustness.distances[0].transfers} == {("2", code_pb2.OK)}
    pictures = [VIEW, ADVERSARIAL, OTHER_ADVERSARIAL]
    assert [asked.work for asked in backend.looks] == [
        message(
            v1.Work,
            request_id="id-1",
            request={"model": name, "version": "2", "image": picture, "prediction": {"top_k": 1}},
        )
        for name in ("a", "c")
        for picture in pictures
    ]


@in_virtual_time
async def test_they_look_at_the_same_time_and_in_the_time_that_is_left():
    backend = Looking([ADVERSARIAL])
    backend.delay = 5
    await ask(backend, norms=["linf"], timeout=7)
    assert now() == 5
    # Their time began with the call.
    assert [asked.seconds for asked in backend.looks] == pytest.approx([6.5625] * 4, abs=1e-5)


@pytest.mark.parametrize(
    ("pictures", "shown"),
    [
        ([b"", b""], []),
        ([b"", OTHER_ADVERSARIAL], [VIEW, OTHER_ADVERSARIAL]),
        ([ADVERSARIAL, b""], [VIEW, ADVERSARIAL]),
    ],
)
async def test_without_a_picture_there_is_nothing_to_look_at(pictures, shown):
    backend = Looking(pictures)
    robustness = await ask(backend, names="ab")
    assert [asked.work.request.image for asked in backend.looks] == shown
    assert [len(distance.transfers) for distance in robustness.distances] == [bool(picture) for picture in pictures]


GONE = errors.UnavailableError("gone", retry_after=2.0)
FAILURES = {
    "raised": GONE,
    "whole": v1.WorkResult(status=GONE.to_status()),
    "part": message(v1.WorkResult, response={"prediction": {"status": GONE.to_status()}}),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize(("picture", "failed"), [(VIEW, {0, 1}), (ADVERSARIAL, {0}), (OTHER_ADVERSARIAL, {1})])
async def test_a_model_that_fails_fails_only_its_own_entry(failure, picture, failed):
    backend = Looking([ADVERSARIAL, OTHER_ADVERSARIAL])
    backend.seen = {("a", picture): failure, ("c", ADVERSARIAL): 4}
    robustness = await ask(backend)
    assert robustness.status.code == code_pb2.OK
    for index, distance in enumerate(robustness.distances):
        of_a, of_c = distance.transfers
        assert (of_a.model, of_a.version) == ("a", "2")
        assert (of_a.status == GONE.to_status()) == (index in failed)
        assert of_a.HasField("adversarial_class") == (index not in failed)
        assert of_c.HasField("status")
        assert (of_c.status.code, of_c.fooled) == (code_pb2.OK, index == 0)


async def test_a_picture_that_another_model_cannot_read_is_no_fault_of_the_request():
    backend = Looking([ADVERSARIAL])
    backend.seen = {("a", VIEW): errors.PictureError("too small")}
    robustness = await ask(backend, norms=["linf"], names="ab")
    [transfer] = robustness.distances[0].transfers
    assert transfer.status.code == code_pb2.INVALID_ARGUMENT


@pytest.mark.parametrize(("timeout", "answer"), [(10, 9.5), (1, 0.7), (0.2, 0.1)])
@in_virtual_time
async def test_a_busy_model_keeps_no_caller_waiting_beyond_the_deadline(timeout, answer):
    backend = Looking([ADVERSARIAL])
    backend.delay = 30
    robustness = await ask(backend, norms=["linf"], timeout=timeout)
    # The answer has time to reach the caller.
    assert now() == pytest.approx(answer)
    [distance] = robustness.distances
    assert (robustness.status.code, distance.state) == (code_pb2.OK, "found")
    for transfer in distance.transfers:
        assert transfer.status.code == code_pb2.DEADLINE_EXCEEDED
        assert f"{transfer.model} did not answer before the deadline" in transfer.status.message
    assert len(backend.looks) == len(backend.cancelled) == 4
    assert all(asked.seconds < answer for asked in backend.looks)


@in_virtual_time
async def test_a_model_that_answered_in_time_is_heard():
    backend = Looking([ADVERSARIAL])
    backend.seen = {("a", ADVERSARIAL): asyncio.Event(), ("c", ADVERSARIAL): 4}
    robustness = await ask(backend, norms=["linf"], timeout=10)
    of_a, of_c = robustness.distances[0].transfers
    assert (of_a.status.code, of_c.status.code, of_c.fooled) == (code_pb2.DEADLINE_EXCEEDED, code_pb2.OK, True)


BUGS = {
    "in the gateway": ZeroDivisionError("secret"),
    "in the worker": message(v1.WorkResult, response={"prediction": {}}),
}


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
async def test_a_bug_is_seen_and_loses_nothing(bug, caplog):
    backend = Looking([ADVERSARIAL])
    backend.seen = {("a", VIEW): bug, ("c", ADVERSARIAL): 4}
    robustness = await ask(backend, norms=["linf"])
    [distance] = robustness.distances
    of_a, of_c = distance.transfers
    assert (distance.state, of_a.status.code) == ("found", code_pb2.INTERNAL)
    assert (of_c.status.code, of_c.fooled) == (code_pb2.OK, True)
    if isinstance(bug, Exception):
        [record] = caplog.records
        assert "id-1" in record.message
        assert record.exc_info[1] is bug
        # Nothing of the inside leaves the process.
        assert "secret" not in of_a.status.message


async def test_a_caller_that_hangs_up_ends_the_looking():
    backend = Looking([ADVERSARIAL])
    backend.delay = 30
    asking = asyncio.create_task(ask(backend, norms=["linf"]))
    await settle()
    assert len(backend.looks) == 4
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert sorted(asked.model for asked in backend.cancelled) == ["a", "a", "c", "c"]


async def test_no_model_looks_unless_asked():
    backend = Looking([ADVERSARIAL])
    robustness = await ask(backend, norms=["linf"], transfer=False)
    assert backend.looks == []
    assert not robustness.distances[0].transfers


async def test_a_model_alone_has_no_other_that_could_look():
    backend = Looking([ADVERSARIAL])
    with pytest.raises(errors.FailedPreconditionError, match="the only model here"):
        await ask(backend, names="b", norms=["linf"])


async def test_a_part_that_failed_is_left_as_it_is():
    backend = Looking([])
    backend.result.response.robustness.status.CopyFrom(GONE.to_status())
    with pytest.raises(errors.UnavailableError):
        await ask(backend)
    assert backend.looks == []


async def test_the_pictures_between_gateway_and_workers_stay_there():
    backend = Looking([ADVERSARIAL])
    robustness = await ask(backend, norms=["linf"])
    assert ADVERSARIAL not in robustness.SerializeToString()
    assert VIEW not in robustness.SerializeToString()
