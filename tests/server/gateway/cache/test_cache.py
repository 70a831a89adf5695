"""Calls of a gateway with a cache: what is computed again, what is not, and that nobody sees a difference.

All in virtual time: a worker takes one second for a unit unless a test says otherwise.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status

from server.backends import Asked, FakeBackend, Outcome
from server.gateway import calls
from server.gateway.calls import LIMIT, MODEL
from virtual_time import in_virtual_time
from whybox import v1
from whybox.v1 import errors
from whybox_server.access.checking import Caller
from whybox_server.gateway.audits import AuditFiles
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.deployment import Deployment

pytestmark = pytest.mark.usefixtures("_nothing_leaks")

OTHER = v1.Model(name="other", version="1", num_classes=10, labels=["cat", "dog"])
CAM: dict[str, Any] = {"method": "grad_cam"}
GRADIENTS: dict[str, Any] = {"method": "integrated_gradients"}


class Working(FakeBackend):
    """Takes virtual time, and says so where the deadline allows less than the work needs.

    Attributes:
        seconds: What a unit needs, by the name of its first part.
        statuses: How parts end, by name; OK if missing.
        errors: What pools raise, in turn; None for an answer.
        inside: Changes an answer before it is given.
        runtime: Versions of the libraries.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, float] = {}
        self.statuses: dict[str, int] = {}
        self.errors: list[errors.WhyboxError | None] = []
        self.inside: Callable[[v1.AnalyzeResponse], object] | None = None
        self.runtime = {"torch": "2.14"}

    async def outcome(self, asked: Asked) -> Outcome:
        names = parts_of(asked.work.request)
        needed = self.seconds.get(names[0], 1.0)
        error = self.errors.pop(0) if self.errors else None
        # A prediction cannot end early.
        in_time = needed <= asked.seconds or names[0] == "prediction"
        await asyncio.sleep(needed if in_time else max(asked.aim, 0))
        if error is not None:
            return error
        result = v1.WorkResult(compute_ms=1000 * needed, final=True, cut_short=not in_time)
        response = result.response
        for name in names:
            status = Status(code=self.statuses.get(name, code_pb2.OK), message="why")
            if name == "explanations":
                for options in asked.work.request.explanations:
                    response.explanations.add(method=options.method, target_class=options.target_class, status=status)
            else:
                getattr(response, name).status.CopyFrom(status)
        if "prediction" in names:
            response.prediction.classes.add(index=3, label=str(asked.work.request.seed))
        if "robustness" in names:
            response.robustness.distances.add(norm="linf", stopped_by="evaluations" if in_time else "deadline")
            if asked.work.request.robustness.transfer:
                result.view_picture, result.adversarial_pictures[:] = b"view", [b"adversarial"]
        response.receipt.runtime.update(self.runtime)
        if self.inside is not None:
            self.inside(response)
        return result

    @property
    def computed(self) -> list[list[str]]:
        """The parts of each unit so far, in order."""
        return [parts_of(asked.work.request) for asked in self.asked]


def parts_of(asked: v1.AnalyzeRequest) -> list[str]:
    parts = ("prediction", "explanations", "robustness", "bias", "certified")
    return [field.name for field, _ in asked.ListFields() if field.name in parts]


@pytest.fixture
def backend():
    return Working()


@pytest.fixture
def cached_gateway(backend, metrics, spool):
    """Serves `MODEL` and another model, with a cache of 1 MB."""
    return gateway_of(backend, metrics, spool)


def gateway_of(backend, metrics, spool, cache_bytes=2**20):
    models = [MODEL, OTHER]
    return Gateway(
        Deployment(models, backend, AuditFiles({})), metrics, spool, max_image_bytes=LIMIT, cache_bytes=cache_bytes
    )


async def ask(gateway, request_id="id-1", timeout=30.0, caller="", **parts):
    asked = calls.request(**parts)
    return await gateway.analyze(asked, request_id=request_id, timeout=timeout, caller=Caller(caller))


async def stream(gateway, request_id="id-1", timeout=30.0, caller="", **parts):
    asked = calls.request(**parts)
    async with aclosing(
        gateway.stream(asked, request_id=request_id, timeout=timeout, caller=Caller(caller))
    ) as messages:
        return [message async for message in messages]


def begun(gateway, **given):
    return asyncio.create_task(ask(gateway, **given))


def cached_of(answer):
    return {timing.part: timing.cached for timing in answer.timings.parts}


def without_timings(answer):
    rest = v1.AnalyzeResponse()
    rest.CopyFrom(answer)
    rest.ClearField("timings")
    return rest


EVERYTHING: dict[str, Any] = {
    "prediction": {},
    "explanations": [GRADIENTS, CAM, {**CAM, "target_class": 1}],
    "robustness": {"transfer": True},
    "bias": {},
    "certified": {"sigma": 0.25},
}
NAMES = {f"explanations[{index}]" for index in range(3)} | {"prediction", "robustness", "bias", "certified"}


@in_virtual_time
async def test_the_second_answer_is_the_first_and_costs_nothing(cached_gateway, backend):
    first = await ask(cached_gateway, **EVERYTHING)
    assert cached_of(first) == dict.fromkeys(NAMES, False)
    before = len(backend.asked)
    second = await ask(cached_gateway, request_id="id-2", **EVERYTHING)
    assert len(backend.asked) == before
    assert cached_of(second) == dict.fromkeys(NAMES, True)
    assert {timing.compute_ms for timing in second.timings.parts} == {0}
    assert second.request_id == "id-2"
    first.request_id = "id-2"
    assert without_timings(second) == without_timings(first)


@in_virtual_time
async def test_a_cached_answer_is_the_one_without_a_cache(backend, metrics, spool, cached_gateway):
    """The receipt, with the versions of the libraries, included."""
    asked: list[dict[str, Any]] = [EVERYTHING, {"explanations": [CAM]}, {"bias": {}}, {"certified": {"sigma": 0.25}}]
    for parts in asked:
        plain = await ask(
            Gateway(Deployment([MODEL, OTHER], backend, AuditFiles({})), metrics, spool, max_image_bytes=LIMIT), **parts
        )
        await ask(cached_gateway, **EVERYTHING)
        again = await ask(cached_gateway, **parts)
        assert set(cached_of(again).values()) == {True}
        assert without_timings(again) == without_timings(plain)
        assert again.receipt.runtime == {"torch": "2.14"}


@in_virtual_time
async def test_a_stream_of_cached_parts_is_complete_with_the_prediction_first(cached_gateway, backend):
    await ask(cached_gateway, bias={}, explanations=[CAM])
    messages = await stream(cached_gateway, **EVERYTHING)
    names = [timing.part for message in messages for timing in message.timings.parts]
    assert names[0] == "prediction"
    assert set(names) == NAMES
    told = {timing.part: timing.cached for message in messages for timing in message.timings.parts}
    assert {name for name, cached in told.items() if cached} == {"bias", "explanations[1]"}
    assert ["prediction"] in backend.computed
    # What is known waits only for the prediction.
    assert names.index("explanations[1]") < names.index("explanations[0]")


# Known parts, what is asked then, and what of it is computed.
HITS = [
    ([{"prediction": {}, "explanations": [CAM, GRADIENTS]}], {"explanations": [CAM]}, []),
    ([{"prediction": {}, "explanations": [GRADIENTS, CAM]}], {"explanations": [CAM, GRADIENTS]}, []),
    ([{"explanations": [CAM]}, {"prediction": {}}], {"prediction": {}, "explanations": [CAM]}, []),
    ([{"explanations": [CAM]}], {"explanations": [{**CAM, "target_class": 1}, CAM]}, [["explanations"]]),
    ([{"prediction": {}, "bias": {}}], {"bias": {}}, []),
    ([{"bias": {}}], {"prediction": {}, "bias": {}}, [["prediction"]]),
    ([{"prediction": {}}], {"prediction": {}, "version": "2"}, []),
    ([{"prediction": {}}], {"prediction": {"top_k": 2}}, [["prediction"]]),
    ([{"prediction": {}}], {"prediction": {}, "seed": 1}, [["prediction"]]),
    ([{"prediction": {}, "seed": 0}], {"prediction": {}}, []),
    ([{"prediction": {}}], {"prediction": {}, "image": b"other"}, [["prediction"]]),
    ([{"prediction": {}}], {"prediction": {}, "caller": "other"}, [["prediction"]]),
    ([{"prediction": {}, "caller": "other"}], {"prediction": {}, "caller": "other"}, []),
    ([{"prediction": {}}], {"prediction": {}, "timeout": 50.0}, []),
    ([{"robustness": {"budget": "deadline"}}], {"robustness": {"budget": "deadline"}}, [["robustness"]]),
]


@pytest.mark.parametrize(("known", "asked", "computed"), HITS)
@in_virtual_time
async def test_what_is_known_is_not_computed(cached_gateway, backend, known, asked, computed):
    for each in known:
        await ask(cached_gateway, **each)
    before = len(backend.asked)
    answer = await ask(cached_gateway, **asked)
    assert backend.computed[before:] == computed
    assert [each.index for each in answer.explanations] == [*range(len(asked.get("explanations", [])))]
    assert [each.method for each in answer.explanations] == [each["method"] for each in asked.get("explanations", [])]


@in_virtual_time
async def test_the_same_map_twice_in_one_request_is_computed_once(cached_gateway, backend):
    answer = await ask(cached_gateway, explanations=[CAM, CAM])
    assert [len(asked.work.request.explanations) for asked in backend.asked] == [1]
    assert [each.index for each in answer.explanations] == [0, 1]
    assert cached_of(answer) == {"explanations[0]": False, "explanations[1]": True}


def _status_of_a_twin(response):
    response.robustness.distances[0].twin.status.code = code_pb2.INTERNAL


def _status_of_a_corruption(response):
    response.robustness.corruptions.add(name="fog").status.code = code_pb2.INTERNAL


def _status_of_a_transfer(response):
    response.robustness.distances[0].transfers.add(model="x").status.code = code_pb2.UNAVAILABLE


@pytest.mark.parametrize("inside", [_status_of_a_twin, _status_of_a_corruption, _status_of_a_transfer])
@in_virtual_time
async def test_what_failed_within_a_part_is_not_kept(cached_gateway, backend, inside):
    backend.inside = inside
    await ask(cached_gateway, robustness={})
    backend.inside = None
    answer = await ask(cached_gateway, robustness={})
    assert cached_of(answer) == {"robustness": False}
    assert len(backend.asked) == 2
    assert cached_of(await ask(cached_gateway, robustness={})) == {"robustness": True}


@pytest.mark.parametrize(
    "failure",
    [
        errors.UnavailableError("died", reason="WORKER_DIED", retry_after=2.0),
        errors.InternalError("bug"),
        errors.InvalidRequestError("wrong"),
        code_pb2.INTERNAL,
        code_pb2.FAILED_PRECONDITION,
    ],
)
@in_virtual_time
async def test_a_part_that_failed_is_not_kept(cached_gateway, backend, failure):
    if isinstance(failure, Exception):
        backend.errors = [failure]
    else:
        backend.statuses["explanations"] = failure
    with pytest.raises(errors.WhyboxError):
        await ask(cached_gateway, explanations=[CAM])
    backend.statuses.clear()
    answer = await ask(cached_gateway, explanations=[CAM])
    assert answer.explanations[0].status.code == code_pb2.OK
    assert cached_of(answer) == {"explanations[0]": False}


@in_virtual_time
async def test_a_short_deadline_leaves_nothing_behind(cached_gateway, backend):
    backend.seconds["robustness"] = 10
    short = await ask(cached_gateway, timeout=5, robustness={})
    assert short.robustness.distances[0].stopped_by == "deadline"
    patient = await ask(cached_gateway, timeout=30, robustness={})
    assert patient.robustness.distances[0].stopped_by == "evaluations"
    assert cached_of(patient) == {"robustness": False}
    # What was not stopped is good for everybody.
    hurried = await ask(cached_gateway, timeout=2, robustness={})
    assert hurried.robustness.distances[0].stopped_by == "evaluations"
    assert cached_of(hurried) == {"robustness": True}


@in_virtual_time
async def test_transfers_that_came_too_late_are_not_kept(cached_gateway, backend):
    backend.seconds = {"robustness": 3, "prediction": 60}
    answer = await ask(cached_gateway, timeout=5, robustness={"transfer": True})
    (transfer,) = answer.robustness.distances[0].transfers
    assert transfer.status.code == code_pb2.DEADLINE_EXCEEDED
    backend.seconds["prediction"] = 1
    answer = await ask(cached_gateway, timeout=30, robustness={"transfer": True})
    assert cached_of(answer) == {"robustness": False}
    assert answer.robustness.distances[0].transfers[0].status.code == code_pb2.OK


@in_virtual_time
async def test_new_libraries_make_all_new(cached_gateway, backend):
    await ask(cached_gateway, explanations=[CAM], prediction={})
    backend.runtime = {"torch": "2.15"}
    await ask(cached_gateway, explanations=[GRADIENTS])
    answer = await ask(cached_gateway, explanations=[CAM])
    assert cached_of(answer) == {"explanations[0]": False}
    assert answer.receipt.runtime == {"torch": "2.15"}
    assert cached_of(await ask(cached_gateway, explanations=[CAM])) == {"explanations[0]": True}


@in_virtual_time
async def test_off_nothing_is_kept_or_shared(backend, metrics, spool):
    gateway = gateway_of(backend, metrics, spool, cache_bytes=0)
    await asyncio.gather(*(ask(gateway, prediction={}) for _ in range(2)))
    answer = await ask(gateway, prediction={})
    assert cached_of(answer) == {"prediction": False}
    assert len(backend.asked) == 3


@pytest.mark.parametrize("count", [2, 20])
@in_virtual_time
async def test_calls_at_the_same_time_compute_once(cached_gateway, backend, count):
    parts = {name: options for name, options in EVERYTHING.items() if name != "robustness"} | {"robustness": {}}
    answers = await asyncio.gather(*(ask(cached_gateway, f"id-{each}", **parts) for each in range(count)))
    assert sorted(backend.computed) == [
        ["certified"], ["explanations"], ["explanations"], ["prediction", "bias"], ["robustness"]
    ]  # fmt: skip
    assert [answer.request_id for answer in answers] == [f"id-{each}" for each in range(count)]
    for answer in answers:
        answer.request_id = ""
        assert without_timings(answer) == without_timings(answers[0])
    assert [set(cached_of(answer).values()) for answer in answers] == [{False}] + [{True}] * (count - 1)


@in_virtual_time
async def test_callers_share_nothing(cached_gateway, backend):
    """Neither answers nor time: each takes what it takes alone."""
    answers = await asyncio.gather(*(ask(cached_gateway, caller=name, prediction={}) for name in ("", "a", "b")))
    assert len(backend.asked) == 3
    assert [cached_of(answer) for answer in answers] == [{"prediction": False}] * 3


@in_virtual_time
async def test_a_stream_joins_a_call_and_gets_the_end(cached_gateway, backend):
    first = begun(cached_gateway, prediction={}, certified={"sigma": 0.25})
    await asyncio.sleep(0.1)
    messages = await stream(cached_gateway, prediction={}, certified={"sigma": 0.25})
    await first
    assert [cached_of(message) for message in messages] == [{"prediction": True}, {"certified": True}]
    assert len(backend.asked) == 2


@pytest.mark.parametrize("followers", [1, 5])
@in_virtual_time
async def test_followers_survive_the_leaders_cancel(cached_gateway, backend, followers):
    backend.seconds["explanations"] = 10
    leader = begun(cached_gateway, explanations=[CAM])
    await asyncio.sleep(1)
    following = [begun(cached_gateway, explanations=[CAM]) for _ in range(followers)]
    await asyncio.sleep(1)
    leader.cancel()
    answers = await asyncio.gather(*following)
    assert len(backend.cancelled) == 1
    # One of them leads, the others follow.
    assert len(backend.asked) == 2
    assert sorted(cached_of(answer)["explanations[0]"] for answer in answers) == [False] + [True] * (followers - 1)


@in_virtual_time
async def test_a_follower_that_is_cancelled_does_not_end_the_work(cached_gateway, backend):
    leader = begun(cached_gateway, explanations=[CAM])
    await asyncio.sleep(0.1)
    follower = begun(cached_gateway, explanations=[CAM])
    await asyncio.sleep(0.1)
    follower.cancel()
    assert cached_of(await leader) == {"explanations[0]": False}
    assert backend.cancelled == []


# Seconds of the leader and of a follower that begins one second later; what ends the follower's search; about how
# many seconds it takes; and units computed. The search needs 20 seconds.
DEADLINES = [
    (30, 30, "evaluations", 19, 1),
    (5, 60, "evaluations", 24, 2),  # as soon as the leader's time is over
    (30, 5, "deadline", 5, 2),  # it does not wait for a leader that comes too late
    (10, 10, "deadline", 10, 1),  # the leader's is as good
    (10, 12, "deadline", 12, 2),  # neither is the leader's as good, nor is there time for another
    (30, 60, "evaluations", 19, 1),
]


@pytest.mark.parametrize(("leading", "following", "stopped_by", "seconds", "units"), DEADLINES)
@in_virtual_time
async def test_each_keeps_its_deadline(cached_gateway, backend, leading, following, stopped_by, seconds, units):
    backend.seconds["robustness"] = 20
    leader = begun(cached_gateway, timeout=leading, robustness={})
    await asyncio.sleep(1)
    clock = asyncio.get_running_loop().time
    since = clock()
    follower = await ask(cached_gateway, timeout=following, robustness={})
    taken = clock() - since
    assert follower.robustness.distances[0].stopped_by == stopped_by
    assert seconds - 2 <= taken <= min(seconds + 0.1, following)
    assert len(backend.asked) == units
    first = await leader
    assert first.robustness.distances[0].stopped_by == ("evaluations" if leading > 20 else "deadline")


@in_virtual_time
async def test_calls_that_fail_together_fail_alike(cached_gateway, backend):
    backend.errors = [errors.UnavailableError("died", reason="WORKER_DIED", retry_after=2.0)]
    answers = await asyncio.gather(*(ask(cached_gateway, prediction={}) for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [errors.UnavailableError] * 3
    assert {vars(answer)["reason"] for answer in answers} == {"WORKER_DIED"}
    assert len(backend.asked) == 1
    assert cached_of(await ask(cached_gateway, prediction={})) == {"prediction": False}


@in_virtual_time
async def test_a_part_that_a_leader_lost_with_its_caller_is_computed_again(cached_gateway, backend):
    """The worker notices first that the caller is gone."""
    backend.errors = [errors.CancelledError("the caller went away")]
    leader = begun(cached_gateway, prediction={})
    follower = begun(cached_gateway, prediction={})
    with pytest.raises(errors.CancelledError):
        await leader
    assert (await follower).prediction.status.code == code_pb2.OK


@in_virtual_time
async def test_pieces_of_other_parts_fail_alone(cached_gateway, backend):
    await ask(cached_gateway, prediction={})
    backend.errors = [errors.InternalError("bug")]
    answer = await ask(cached_gateway, prediction={}, explanations=[CAM])
    assert answer.prediction.status.code == code_pb2.OK
    assert answer.explanations[0].status.code == code_pb2.INTERNAL


@in_virtual_time
async def test_it_is_bounded_and_counted(backend, metrics, spool, samples):
    gateway = gateway_of(backend, metrics, spool, cache_bytes=1200)
    for seed in (0, 1, 2, 3, 3):
        await ask(gateway, prediction={}, seed=seed)
    await asyncio.gather(*(ask(gateway, prediction={}, seed=9) for _ in range(2)))
    lookups = samples("whybox_cache_lookups_total")
    assert lookups == {
        f'{{model="m",outcome="{outcome}",part="prediction"}}': count
        for outcome, count in {"miss": 5, "hit": 1, "shared": 1}.items()
    }
    (entries,) = samples("whybox_cache_entries").values()
    assert samples("whybox_cache_evictions_total") == {"": 5 - entries}
    assert 0 < samples("whybox_cache_bytes")[""] <= 1200
    assert cached_of(await ask(gateway, prediction={}, seed=0)) == {"prediction": False}
    assert cached_of(await ask(gateway, prediction={}, seed=9)) == {"prediction": True}
