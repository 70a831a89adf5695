"""The gateway over worker pools that answer when and what a test tells them to."""

import asyncio
import gc
import hashlib
from collections import defaultdict
from contextlib import aclosing, nullcontext
from itertools import permutations

import pytest
from google.protobuf import json_format
from google.rpc import code_pb2

from whybox import v1
from whybox.v1 import errors
from whybox_server.gateway.core import Gateway, detached
from whybox_server.gateway.parts import OPTIONS
from whybox_server.gateway.spool import Spool
from whybox_server.monitoring.metrics import Metrics
from whybox_server.validation.request import validated

MODEL = v1.Model(
    name="m",
    version="2",
    num_classes=10,
    labels=["cat", "dog"],
    methods=[v1.Method(name="grad_cam"), v1.Method(name="integrated_gradients")],
    norms=["linf"],
    attacks=[v1.Attack(name="fmn", norms=["linf"])],
    default_attack="fmn",
    digests={"weights_sha256": "weights"},
)
IMAGE = b"picture"
LIMIT = 1000

# The target class of each explanation is its position, by which the fake pools know it.
EXPLANATIONS = [{"method": "integrated_gradients", "target_class": 0}, {"method": "grad_cam", "target_class": 1}]
PARTS = {"prediction": {}, "explanations": EXPLANATIONS, "robustness": {}}
JOBS = ["prediction", "explanations[0]", "explanations[1]", "robustness"]


def request(**parts):
    return v1.AnalyzeRequest(model="m", image=IMAGE, **parts)


EVERYTHING = request(**PARTS, seed=7)
FILLED = validated(detached(EVERYTHING)[1], IMAGE, MODEL, OPTIONS, LIMIT)


def job_name(asked):
    if asked.explanations:
        return f"explanations[{asked.explanations[0].target_class}]"
    return next(name for name in ("prediction", "bias", "robustness") if asked.HasField(name))


def answer_to(asked):
    """What a worker answers that knows nothing of the other parts."""
    answer = v1.AnalyzeResponse()
    for name in ("prediction", "bias", "robustness"):
        if asked.HasField(name):
            getattr(answer, name).status.code = code_pb2.OK
    for options in asked.explanations:
        answer.explanations.add(method=options.method, target_class=options.target_class)
    answer.receipt.runtime["torch"] = "2.14"
    answer.receipt.runtime[job_name(asked)] = "1"
    return answer


class FakeBackend:
    """Holds every job back until it is released, then answers with what is set for it.

    Attributes:
        outcomes: An error to raise, or a result, by name of the job; what is missing succeeds after 5 ms.
        works: Pool kind, work and timeout as they were handed in, by name of the job.
        cancelled: Names of the jobs that were given up.
    """

    def __init__(self):
        self.outcomes = {}
        self.works = {}
        self.cancelled = set()
        self._released = defaultdict(asyncio.Event)

    def pool(self, model, kind):
        assert model == "m"
        return FakePool(self, kind)

    def readiness(self):
        return {"m": {"predict": "ready", "analyze": "starting"}}

    def release(self, *names):
        for name in names:
            self._released[name].set()

    async def do(self, name, work):
        try:
            await self._released[name].wait()
        except asyncio.CancelledError:
            self.cancelled.add(name)
            raise
        outcome = self.outcomes.get(name, v1.WorkResult(response=answer_to(work.request), compute_ms=5, final=True))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class FakePool:
    def __init__(self, backend, kind):
        self._backend = backend
        self._kind = kind

    async def submit(self, work, timeout):
        name = job_name(work.request)
        self._backend.works[name] = (self._kind, work, timeout)
        return await self._backend.do(name, work)


@pytest.fixture
def backend():
    return FakeBackend()


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the pictures of analyses lie."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def spool(folder):
    with Spool() as spool:
        yield spool
        # However its call ended, no picture outlives it.
        assert list(folder.glob("*/*")) == []


@pytest.fixture
def spooled(folder):
    """The pictures that lie there now."""
    return lambda: [path.read_bytes() for path in folder.glob("*/*")]


@pytest.fixture
def gateway(backend, metrics, spool):
    return Gateway([MODEL], backend, metrics, spool, max_image_bytes=LIMIT)


@pytest.fixture(autouse=True)
async def _nothing_leaks():
    """No task is left over, and no exception is lost in one."""
    lost = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    before = asyncio.all_tasks()
    yield
    gc.collect(1)
    await settle()
    assert asyncio.all_tasks() - {asyncio.current_task()} <= before
    assert lost == []


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


def analyze(gateway, asked=EVERYTHING, timeout=30):
    return asyncio.create_task(gateway.analyze(asked, request_id="id-1", timeout=timeout))


class Stream:
    """Collects the messages of a stream as they come; each has one timed part."""

    def __init__(self, gateway, asked=EVERYTHING):
        self.messages = []
        self._parts = gateway.stream(asked, request_id="id-1", timeout=30)
        self.task = asyncio.create_task(self._collect())

    async def _collect(self):
        async with aclosing(self._parts):
            async for part in self._parts:
                self.messages.append(part)

    @property
    def names(self):
        return [timing.part for message in self.messages for timing in message.timings.parts]


def status_of(answer, name):
    if name.startswith("explanations"):
        [status] = [each.status for each in answer.explanations if f"explanations[{each.index}]" == name]
        return status
    return getattr(answer, name).status


@pytest.mark.parametrize("order", [*permutations(JOBS)], ids=" ".join)
async def test_whatever_is_ready_first_the_answer_has_the_order_of_the_request(gateway, backend, order):
    answering = analyze(gateway)
    for name in order:
        assert not answering.done()
        backend.release(name)
        await settle()
    answer = answering.result()
    assert [(each.index, each.target_class, each.method) for each in answer.explanations] == [
        (0, 0, "integrated_gradients"),
        (1, 1, "grad_cam"),
    ]
    assert answer.HasField("prediction")
    assert answer.HasField("robustness")
    assert not answer.HasField("bias")
    assert (answer.request_id, answer.model, answer.version) == ("id-1", "m", "2")


@pytest.mark.parametrize("order", [*permutations(JOBS)], ids=" ".join)
async def test_a_stream_gives_the_prediction_first_and_then_what_is_ready(gateway, backend, order):
    stream = Stream(gateway)
    for count, name in enumerate(order, 1):
        backend.release(name)
        await settle()
        released = order[:count]
        if "prediction" not in released:
            assert stream.names == []
            continue
        assert stream.names[0] == "prediction"
        assert sorted(stream.names) == sorted(released)
    since = order.index("prediction") + 1
    assert stream.names[since:] == list(order[since:])
    await stream.task
    for message in stream.messages:
        assert (message.request_id, message.model, message.version) == ("id-1", "m", "2")
        assert message.receipt.seed == 7
        assert [each.index for each in message.explanations] == [each.target_class for each in message.explanations]


@pytest.mark.parametrize("order", [*permutations(JOBS[1:])], ids=" ".join)
async def test_without_a_prediction_nothing_waits_for_anything(gateway, backend, order):
    stream = Stream(gateway, request(explanations=EXPLANATIONS, robustness={}))
    for count, name in enumerate(order, 1):
        backend.release(name)
        await settle()
        assert stream.names == list(order[:count])
    await stream.task


async def test_a_stream_adds_up_to_the_whole_answer(gateway, backend):
    backend.release(*JOBS)
    stream = Stream(gateway)
    await stream.task
    whole = v1.AnalyzeResponse()
    for message in stream.messages:
        whole.MergeFrom(message)
    whole.explanations.sort(key=lambda each: each.index)
    answer = await analyze(gateway)
    for either in (whole, answer):
        assert sorted(timing.part for timing in either.timings.parts) == sorted(JOBS)
        either.ClearField("timings")
    assert whole == answer


async def test_bias_rests_on_the_prediction(gateway, backend):
    backend.release("prediction", "bias")
    answer = await analyze(gateway, request(prediction={}, bias={}))
    assert list(backend.works) == ["prediction"]
    assert answer.HasField("prediction")
    assert answer.HasField("bias")
    assert [timing.part for timing in answer.timings.parts] == ["prediction", "bias"]


async def test_each_pool_is_handed_its_part_and_no_more(gateway, backend, folder):
    answering = analyze(gateway, timeout=12.5)
    await settle()
    [path] = map(str, folder.glob("*/*"))
    backend.release(*JOBS)
    await answering
    common = {"model": "m", "version": "2", "seed": 7}
    expected = {
        "prediction": ("predict", {"prediction": FILLED.prediction, "image": IMAGE}),
        "explanations[0]": ("analyze", {"explanations": FILLED.explanations[:1]}),
        "explanations[1]": ("analyze", {"explanations": FILLED.explanations[1:]}),
        "robustness": ("analyze", {"robustness": FILLED.robustness}),
    }
    places = {"predict": None, "analyze": path}
    assert backend.works == {
        name: (
            kind,
            v1.Work(request_id="id-1", request=v1.AnalyzeRequest(**common, **part), picture_path=places[kind]),
            12.5,
        )
        for name, (kind, part) in expected.items()
    }


@pytest.mark.parametrize("call", [analyze, Stream])
async def test_the_picture_lies_there_until_the_last_analysis(gateway, backend, spooled, call):
    calling = call(gateway)
    for name in ("explanations[1]", "prediction", "robustness", "explanations[0]"):
        await settle()
        assert spooled() == [IMAGE]
        backend.release(name)
    await getattr(calling, "task", calling)
    assert spooled() == []


@pytest.mark.parametrize("call", [analyze, Stream])
async def test_each_request_has_a_picture_of_its_own(gateway, backend, spooled, call):
    pictures = [b"one", b"two", b"two"]
    calls = [call(gateway, v1.AnalyzeRequest(model="m", image=image, robustness={})) for image in pictures]
    await settle()
    assert sorted(spooled()) == pictures
    backend.release("robustness")
    await asyncio.gather(*(getattr(calling, "task", calling) for calling in calls))
    assert spooled() == []


@pytest.mark.parametrize("parts", [{"prediction": {}}, {"bias": {}}, {"prediction": {}, "bias": {}}], ids=" ".join)
async def test_a_prediction_travels_with_its_picture(gateway, backend, spooled, parts):
    answering = analyze(gateway, request(**parts))
    await settle()
    assert spooled() == []
    [(_, work, _)] = backend.works.values()
    assert (work.request.image, work.picture_path) == (IMAGE, "")
    backend.release(next(iter(parts)))
    await answering


# How a call can end before its time: what comes of its jobs, and what is done to it.
ENDS = {
    "every part fails": (dict.fromkeys(JOBS, errors.InternalError("m")), None),
    "a bad picture": ({"prediction": errors.PictureError("m")}, None),
    "a bug": ({"prediction": ZeroDivisionError()}, None),
    "the caller is gone": ({}, asyncio.Task.cancel),
}


@pytest.mark.parametrize("call", [analyze, Stream])
@pytest.mark.parametrize(("outcomes", "end"), ENDS.values(), ids=ENDS)
async def test_the_picture_is_gone_with_its_caller(gateway, backend, spooled, call, outcomes, end):
    backend.outcomes = outcomes
    calling = call(gateway)
    calling = getattr(calling, "task", calling)
    await settle()
    assert spooled() == [IMAGE]
    backend.release(*outcomes)
    if end:
        end(calling)
    [error] = await asyncio.gather(calling, return_exceptions=True)
    assert isinstance(error, BaseException)
    assert spooled() == []


@pytest.mark.parametrize("close", [True, False], ids=["closed", "forgotten"])
@pytest.mark.parametrize("taken", [0, 1, 2])
async def test_the_picture_is_gone_with_an_abandoned_stream(gateway, backend, spooled, taken, close):
    backend.release("prediction", "robustness")
    parts = gateway.stream(EVERYTHING, request_id="id-1", timeout=30)
    for _ in range(taken):
        await anext(parts)
    assert spooled() == [IMAGE] * bool(taken)
    if close:
        await parts.aclose()
    del parts
    await settle()
    assert spooled() == []


# Maps of one method come from one worker, in one answer.
GROUPED = {
    "explanations[0]": {"method": "integrated_gradients", "target_class": 0},
    "explanations[1]": {"method": "grad_cam", "target_class": 1},
    "explanations[2]": {"method": "integrated_gradients", "target_class": 2},
}


@pytest.mark.parametrize(
    ("codes", "counted"),
    [
        ((code_pb2.OK, code_pb2.OK), {("OK", "integrated_gradients"): 2, ("OK", "grad_cam"): 1}),
        (
            (code_pb2.OK, code_pb2.DEADLINE_EXCEEDED),
            {
                ("OK", "integrated_gradients"): 1,
                ("DEADLINE_EXCEEDED", "integrated_gradients"): 1,
                ("OK", "grad_cam"): 1,
            },
        ),
        (
            (code_pb2.INVALID_ARGUMENT, code_pb2.INTERNAL),
            {
                ("INVALID_ARGUMENT", "integrated_gradients"): 1,
                ("INTERNAL", "integrated_gradients"): 1,
                ("OK", "grad_cam"): 1,
            },
        ),
    ],
)
async def test_each_map_has_its_place_and_its_status(gateway, backend, samples, codes, counted):
    asked = request(explanations=GROUPED.values())
    both = v1.AnalyzeResponse()
    for code, target in zip(codes, (0, 2), strict=True):
        both.explanations.add(method="integrated_gradients", target_class=target).status.code = code
    backend.outcomes["explanations[0]"] = v1.WorkResult(response=both, compute_ms=5, final=True)
    backend.release(*GROUPED)
    answer = await analyze(gateway, asked)
    assert len(backend.works) == 2
    assert [(each.index, each.target_class) for each in answer.explanations] == [(0, 0), (1, 1), (2, 2)]
    statuses = [codes[0], code_pb2.OK, codes[1]]
    assert [each.status.code for each in answer.explanations] == statuses
    assert sorted(timing.part for timing in answer.timings.parts) == list(GROUPED)
    assert samples("whybox_parts_total") == {
        f'{{code="{code}",method="{method}",model="m",part="explanation"}}': count
        for (code, method), count in counted.items()
    }


@pytest.mark.parametrize(
    ("prediction", "bias", "failure"),
    [
        (code_pb2.OK, code_pb2.OK, None),
        (code_pb2.INTERNAL, code_pb2.OK, None),
        (code_pb2.OK, code_pb2.FAILED_PRECONDITION, None),
        (code_pb2.UNAVAILABLE, code_pb2.FAILED_PRECONDITION, errors.UnavailableError),
    ],
)
async def test_prediction_and_bias_are_counted_each_with_its_own_code(
    gateway, backend, samples, prediction, bias, failure
):
    answer = v1.AnalyzeResponse(prediction={"status": {"code": prediction}}, bias={"status": {"code": bias}})
    backend.outcomes["prediction"] = v1.WorkResult(response=answer, final=True)
    backend.release("prediction")
    with pytest.raises(failure) if failure else nullcontext():
        await analyze(gateway, request(prediction={}, bias={}))
    codes = {"prediction": prediction, "bias": bias}
    assert samples("whybox_parts_total") == {
        f'{{code="{code_pb2.Code.Name(code)}",method="",model="m",part="{part}"}}': 1 for part, code in codes.items()
    }


FAILURES = [
    errors.UnavailableError("m", reason="WORKER_DIED", retry_after=2.0),
    errors.OverloadedError("m", retry_after=2.0),
    errors.DeadlineExceededError("m"),
    errors.FailedPreconditionError("m"),
    errors.InternalError("m"),
]


def raised(error, _):
    return error


def whole_result(error, _):
    return v1.WorkResult(status=error.to_status())


def own_status(error, name):
    answer = v1.AnalyzeResponse()
    part = answer.explanations.add() if name.startswith("explanations") else getattr(answer, name)
    part.status.CopyFrom(error.to_status())
    return v1.WorkResult(response=answer, compute_ms=5, final=True)


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("way", [raised, whole_result, own_status])
@pytest.mark.parametrize("failing", JOBS)
async def test_one_failed_part_never_spoils_the_others(gateway, backend, samples, failing, way, error):
    backend.outcomes[failing] = way(error, failing)
    backend.release(*JOBS)
    answer = await analyze(gateway)
    assert status_of(answer, failing) == error.to_status()
    assert {name: status_of(answer, name).code for name in JOBS if name != failing} == {
        name: code_pb2.OK for name in JOBS if name != failing
    }
    assert [each.index for each in answer.explanations] == [0, 1]
    counted = samples("whybox_parts_total")
    assert sum(count for labels, count in counted.items() if f'code="{error.code_name}"' in labels) == 1
    assert sum(count for labels, count in counted.items() if 'code="OK"' in labels) == 3


async def test_what_the_model_cannot_do_spoils_its_part_alone(backend, metrics, spool):
    model = v1.Model()
    model.CopyFrom(MODEL)
    model.num_classes = 1
    gateway = Gateway([model], backend, metrics, spool, max_image_bytes=LIMIT)
    backend.release(*JOBS)
    answer = await analyze(gateway, request(prediction={}, robustness={}))
    assert answer.prediction.status.code == code_pb2.OK
    assert answer.robustness.status.code == code_pb2.FAILED_PRECONDITION
    assert list(backend.works) == ["prediction"]
    with pytest.raises(errors.FailedPreconditionError, match="one class"):
        await analyze(gateway, request(robustness={}))


async def test_failed_parts_are_held_back_only_until_one_succeeds(gateway, backend):
    for name in ("prediction", "robustness"):
        backend.outcomes[name] = FAILURES[0]
    stream = Stream(gateway)
    seen = []
    for name in ("prediction", "robustness", "explanations[1]", "explanations[0]"):
        backend.release(name)
        await settle()
        seen.append(stream.names)
    await stream.task
    assert seen == [
        [],
        [],
        ["explanations[1]", "prediction", "robustness"],
        ["explanations[1]", "prediction", "robustness", "explanations[0]"],
    ]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("way", [raised, whole_result, own_status])
@pytest.mark.parametrize("call", [analyze, Stream])
async def test_if_every_part_fails_the_call_fails(gateway, backend, samples, call, way, error):
    backend.outcomes = {name: way(errors.InternalError("another"), name) for name in JOBS}
    backend.outcomes["prediction"] = way(error, "prediction")
    backend.release(*JOBS)
    calling = call(gateway)
    with pytest.raises(type(error)) as caught:
        await getattr(calling, "task", calling)
    assert vars(caught.value) == vars(error)
    assert getattr(calling, "messages", []) == []
    assert sum(samples("whybox_parts_total").values()) == len(JOBS)


BAD_PICTURE = errors.PictureError("no picture", field="image")


@pytest.mark.parametrize("call", [analyze, Stream])
@pytest.mark.parametrize(
    ("asked", "told_by", "others"),
    [
        (EVERYTHING, "prediction", JOBS[1:]),
        (request(explanations=EXPLANATIONS, robustness={}), "robustness", JOBS[1:3]),
        (request(prediction={}), "prediction", []),
    ],
    ids=["everything", "no prediction", "prediction alone"],
)
async def test_a_bad_picture_condemns_the_request_and_ends_its_work(gateway, backend, call, asked, told_by, others):
    backend.outcomes[told_by] = v1.WorkResult(status=BAD_PICTURE.to_status())
    backend.release(told_by)
    calling = call(gateway, asked)
    with pytest.raises(errors.PictureError) as caught:
        await getattr(calling, "task", calling)
    assert (caught.value.message, caught.value.field) == ("no picture", "image")
    assert getattr(calling, "messages", []) == []
    assert backend.cancelled == set(others)


@pytest.mark.parametrize("call", [analyze, Stream])
async def test_every_part_finds_the_picture_bad(gateway, backend, call):
    backend.outcomes = {name: v1.WorkResult(status=BAD_PICTURE.to_status()) for name in JOBS}
    backend.release(*JOBS)
    calling = call(gateway)
    with pytest.raises(errors.PictureError):
        await getattr(calling, "task", calling)


@pytest.mark.parametrize("call", [analyze, Stream])
async def test_a_bug_is_not_swallowed(gateway, backend, call):
    backend.outcomes["prediction"] = ZeroDivisionError()
    backend.release("prediction")
    calling = call(gateway)
    with pytest.raises(ZeroDivisionError):
        await getattr(calling, "task", calling)
    assert backend.cancelled == set(JOBS[1:])


@pytest.mark.parametrize("call", [analyze, Stream])
@pytest.mark.parametrize("released", [[], ["robustness"], ["prediction", "explanations[0]"]], ids=" ".join)
async def test_a_cancelled_call_ends_its_work(gateway, backend, call, released):
    backend.release(*released)
    calling = call(gateway)
    calling = getattr(calling, "task", calling)
    await settle()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert backend.cancelled == set(JOBS) - set(released)


@pytest.mark.parametrize("taken", [1, 2])
async def test_a_stream_that_nobody_reads_on_ends_its_work(gateway, backend, taken):
    backend.release("prediction", "robustness")
    async with aclosing(gateway.stream(EVERYTHING, request_id="id-1", timeout=30)) as parts:
        for _ in range(taken):
            await anext(parts)
    assert backend.cancelled == {"explanations[0]", "explanations[1]"}


async def test_the_receipt_replays_the_request(gateway, backend):
    backend.release(*JOBS)
    receipt = (await analyze(gateway)).receipt
    assert receipt.image_sha256 == hashlib.sha256(IMAGE).hexdigest()
    assert receipt.weights_sha256 == "weights"
    assert receipt.runtime == {"torch": "2.14", **dict.fromkeys(JOBS, "1")}
    replay = json_format.Parse(receipt.parameters, v1.AnalyzeRequest(image=IMAGE))
    picture, asked = detached(replay)
    assert picture == IMAGE
    assert asked == FILLED
    again = (await analyze(gateway, replay)).receipt
    assert again == receipt


async def test_timings(gateway, backend):
    backend.outcomes["robustness"] = FAILURES[0]
    answering = analyze(gateway)
    await settle()
    await asyncio.sleep(0.02)
    backend.release(*JOBS)
    timings = (await answering).timings
    assert {timing.part: timing.compute_ms for timing in timings.parts} == {**dict.fromkeys(JOBS, 5), "robustness": 0}
    for timing in timings.parts:
        assert 19 < timing.total_ms <= timings.total_ms


async def test_parts_are_counted_by_method(gateway, backend, samples):
    backend.outcomes["explanations[1]"] = FAILURES[1]
    backend.release(*JOBS)
    await analyze(gateway)
    backend.release("bias")
    await analyze(gateway, request(bias={}))
    rows = [
        ("OK", "", "prediction"),
        ("OK", "integrated_gradients", "explanation"),
        ("UNAVAILABLE", "grad_cam", "explanation"),
        ("OK", "", "robustness"),
        ("OK", "", "bias"),
    ]
    assert samples("whybox_parts_total") == {
        f'{{code="{code}",method="{method}",model="m",part="{part}"}}': 1 for code, method, part in rows
    }


@pytest.mark.parametrize(
    ("asked", "error", "field"),
    [
        (v1.AnalyzeRequest(model="x", image=IMAGE, prediction={}), errors.NotFoundError, "model"),
        (v1.AnalyzeRequest(model="m", version="1", image=IMAGE, prediction={}), errors.NotFoundError, "version"),
        (request(), errors.InvalidRequestError, None),
        (v1.AnalyzeRequest(model="m", image=bytes(LIMIT + 1), prediction={}), errors.PictureTooLargeError, "image"),
    ],
)
@pytest.mark.parametrize("call", [analyze, Stream])
async def test_what_is_refused_reaches_no_pool(gateway, backend, call, asked, error, field):
    calling = call(gateway, asked)
    with pytest.raises(error) as caught:
        await getattr(calling, "task", calling)
    assert caught.value.field == field
    assert backend.works == {}


MODELS = [v1.Model(name=name, version="2", labels=["cat"], num_classes=1) for name in ("b", "a", "c")]


@pytest.mark.parametrize(
    ("name", "version", "reason", "field", "words"),
    [
        ("d", "", "UNKNOWN_MODEL", "model", ["'d'", "served: a, b, c"]),
        ("", "", "UNKNOWN_MODEL", "model", ["''", "served: a, b, c"]),
        ("A", "2", "UNKNOWN_MODEL", "model", ["'A'"]),
        ("a", "3", "UNKNOWN_VERSION", "version", ["'2'", "not '3'", "leave the version out"]),
        ("x" * 100_000, "", "UNKNOWN_MODEL", "model", ["xxx…'"]),
        ("a", "x" * 100_000, "UNKNOWN_VERSION", "version", ["xxx…'"]),
    ],
)
async def test_unknown_models_and_versions(backend, metrics, spool, name, version, reason, field, words):
    gateway = Gateway(MODELS, backend, metrics, spool, max_image_bytes=LIMIT)
    with pytest.raises(errors.NotFoundError) as caught:
        gateway.get_model(name, version)
    assert (caught.value.reason, caught.value.field) == (reason, field)
    for word in words:
        assert word in caught.value.message
    # It travels in a header.
    assert len(caught.value.to_status().SerializeToString()) < 1000


async def test_models(backend, metrics, spool):
    gateway = Gateway(MODELS, backend, metrics, spool, max_image_bytes=LIMIT)
    assert gateway.list_models() == [v1.Model(name=name, version="2", num_classes=1) for name in "abc"]
    for model in MODELS:
        assert gateway.get_model(model.name) == gateway.get_model(model.name, "2") == model
    assert MODELS[0].labels == ["cat"]


async def test_the_pools_are_watched(gateway, backend, samples):
    assert gateway.readiness() == backend.readiness()
    assert samples("whybox_pool_ready") == {'{model="m",pool="predict"}': 1, '{model="m",pool="analyze"}': 0}
