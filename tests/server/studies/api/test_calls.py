"""What each call answers and refuses, on both transports."""

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import grpc
import httpx
import jsonschema
import pytest
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from server.studies.api.conftest import METHODS, PAGES, Ask, Computing
from server.studies.conftest import Open
from server.studies.people import answer_all, person
from studying import UtcClock, protocol
from whybox import v1
from whybox.v1.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
    WhyboxError,
    error_from_status,
)
from whybox_server.access.checking import Access
from whybox_server.database.errors import DatabaseError
from whybox_server.rest.openapi import document
from whybox_server.studies.api import rest
from whybox_server.studies.api.core import StudyApi
from whybox_server.studies.errors import InvitationError, StudyError
from whybox_server.studies.store import StudyStore

_JSON = {"Content-Type": "application/json"}


@pytest.fixture
def reader(keys: dict[str, str]) -> str:
    return f"Bearer {keys['studies:read']}"


@pytest.fixture
def inviter(keys: dict[str, str]) -> str:
    return f"Bearer {keys['studies:invite']}"


async def test_the_list(ask: Ask, reader: str, opened: Open, store: StudyStore, clock: UtcClock) -> None:
    assert list((await ask("ListStudies", reader)).studies) == []
    dogs = await opened(protocol(3, name="dogs"))
    clock.turn(days=1)
    await opened(protocol(name="cats"))
    clock.turn(days=1)
    await store.close("dogs", "Enough.")
    cats, told = (await ask("ListStudies", reader)).studies
    assert (cats.id, cats.state, cats.close_reason, cats.HasField("closed_at")) == ("cats", "open", "", False)
    source = dogs.protocol.source
    assert (told.id, told.title, told.kind, told.digest) == ("dogs", dogs.protocol.wording.title, "main", dogs.digest)
    assert (told.model, told.version, told.data, told.pictures) == (source.model, source.version, source.data, 3)
    assert (told.state, told.close_reason) == ("closed", "Enough.")
    assert told.closed_at.ToDatetime() - told.opened_at.ToDatetime() == timedelta(days=2)


async def test_the_status(ask: Ask, reader: str, opened: Open, store: StudyStore) -> None:
    await opened(protocol(4, gold=1))
    await answer_all(store, await person(store))
    await store.invite("dogs", 2, timedelta(days=1))
    told, actual = await ask("GetStudy", reader, "dogs"), await store.status("dogs")
    assert told.study.id == "dogs"
    assert (
        dict(told.annotators) == dict(actual.annotators) == {"invited": 2, "active": 0, "finished": 1, "withdrawn": 0}
    )
    assert {cell.name: (cell.needed, cell.answered, cell.leased) for cell in told.cells} == {
        name: (cell.needed, cell.answered, cell.leased) for name, cell in actual.cells.items()
    }
    assert (told.answers, told.cannot_judge, told.gold_answers, told.gold_failures, told.excluded, told.full) == (
        actual.answers,
        actual.cannot_judge,
        actual.gold_answers,
        actual.gold_failures,
        actual.excluded,
        actual.full,
    )
    assert (told.answers, told.gold_answers) == (4, 1)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "ListStudies"])
@pytest.mark.parametrize("study", ["cats", "dogs'; DROP TABLE studies; --", "<script>", "a/b", "dogs-pilot"])
async def test_an_unknown_study(ask: Ask, keys: dict[str, str], opened: Open, method: str, study: str) -> None:
    await opened(protocol())
    with pytest.raises(NotFoundError) as caught:
        await ask(method, f"Bearer {keys['admin']}", study)
    assert (caught.value.reason, caught.value.field) == ("UNKNOWN_STUDY", "study")
    assert [each.id for each in (await ask("ListStudies", f"Bearer {keys['admin']}")).studies] == ["dogs"]


@pytest.mark.parametrize("method", [method for method in METHODS if method != "ListStudies"])
@pytest.mark.parametrize(
    ("name", "error"),
    [
        (b"\0", NotFoundError),
        (b"dogs\0", NotFoundError),
        (b"\0dogs", NotFoundError),
        ("d\u00f6gs".encode(), NotFoundError),
        ("\U0010ffff".encode(), NotFoundError),
        (b"d" * 4_000, NotFoundError),
        # Half of a surrogate pair, and what is no UTF-8 at all: gRPC has no such strings.
        (b"\xed\xa0\x80", InvalidRequestError),
        (b"dogs\xed\xb0\x80", InvalidRequestError),
        (b"\xff", InvalidRequestError),
    ],
)
async def test_bytes_that_name_no_study(
    http: httpx.AsyncClient,
    channel: grpc.aio.Channel,
    keys: dict[str, str],
    opened: Open,
    method: str,
    name: bytes,
    error: type[WhyboxError],
) -> None:
    """Not every database takes every character."""
    await opened(protocol())
    authorization = f"Bearer {keys['admin']}"
    call: Any = channel.unary_unary(f"/whybox.v1.StudyService/{method}")
    # The field 1 of each request is the study.
    sent = bytes([0x0A]) + _varint(len(name)) + name
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(sent, metadata=(("authorization", authorization),))
    status = status_pb2.Status.FromString(dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"])
    assert type(error_from_status(status)) is error
    path = f"/v1/studies/{quote(name)}" + {"GetStudyResults": "/results", "InviteAnnotators": "/invitations"}.get(
        method, ""
    )
    response = await http.request(
        "POST" if method == "InviteAnnotators" else "GET", path, headers={"Authorization": authorization}
    )
    assert (response.status_code, response.json()["reason"]) == (404, "UNKNOWN_STUDY")


def _varint(number: int) -> bytes:
    """As protobuf writes lengths below 16,384."""
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80, number >> 7])


async def test_invitations_let_in_one_person_each_to_this_study_until_they_expire(
    ask: Ask, inviter: str, opened: Open, store: StudyStore, clock: UtcClock
) -> None:
    await opened(protocol(name="dogs"))
    await opened(protocol(name="cats"))
    answer = await ask("InviteAnnotators", inviter, "dogs", number=3, days=2)
    assert answer.expires.ToDatetime(clock().tzinfo) == clock() + timedelta(days=2)
    assert all(link.startswith(f"{PAGES}/dogs?invitation=") for link in answer.links)
    tokens = [parse_qs(urlsplit(link).query)["invitation"][0] for link in answer.links]
    people = [await store.enter("dogs", token) for token in tokens]
    assert len({each.id for each in people}) == 3
    assert await store.enter("dogs", tokens[0]) == people[0]
    with pytest.raises(InvitationError):
        await store.enter("cats", tokens[0])
    clock.turn(days=2)
    for token in tokens:
        with pytest.raises(InvitationError, match="expired"):
            await store.enter("dogs", token)


async def test_an_invitation_is_for_one_person_and_14_days(
    ask: Ask, inviter: str, opened: Open, clock: UtcClock
) -> None:
    await opened(protocol())
    answer = await ask("InviteAnnotators", inviter, "dogs")
    assert len(answer.links) == 1
    assert answer.expires.ToDatetime(clock().tzinfo) == clock() + timedelta(days=14)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"number": 0}, "number"),
        ({"number": 1001}, "number"),
        ({"days": 0}, "days"),
        ({"days": 366}, "days"),
        ({"days": -1}, "days"),
    ],
)
async def test_numbers_out_of_range(
    ask: Ask, inviter: str, opened: Open, store: StudyStore, fields: dict[str, Any], field: str
) -> None:
    await opened(protocol())
    with pytest.raises(InvalidRequestError) as caught:
        await ask("InviteAnnotators", inviter, "dogs", **fields)
    assert caught.value.field == field
    assert (await store.status("dogs")).annotators["invited"] == 0


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        ({"json": {"people": 3}}, 400, "unknown option 'people'"),
        ({"json": {"number": "three"}}, 400, "number must be an integer"),
        ({"json": {"number": [1]}}, 400, "number"),
        ({"json": [1]}, 400, "must be a JSON object"),
        ({"content": b"{", "headers": _JSON}, 400, "not valid JSON"),
        ({"content": b'{"number": "\\u0000"}', "headers": _JSON}, 400, "number must be an integer"),
        ({"content": b'{"number": "\\ud800"}', "headers": _JSON}, 400, "number must be an integer"),
        ({"content": b'{"\\u0000": 1}', "headers": _JSON}, 400, "unknown option"),
        ({"content": b'{"\\ud800": 1}', "headers": _JSON}, 400, "unknown option"),
        ({"params": {"\0": "1"}}, 400, "unknown option"),
        ({"params": {"number": "1\0"}}, 400, "number must be an integer"),
        ({"content": b"number=3", "headers": {"Content-Type": "text/plain"}}, 415, "application/json"),
        ({"json": {"number": 3}, "params": {"number": 4}}, 400, "given twice"),
        ({"content": b" " * 2**17, "headers": _JSON}, 413, "at most 65,536 bytes"),
    ],
)
async def test_bodies_that_are_refused(
    http: httpx.AsyncClient, inviter: str, opened: Open, sent: dict[str, Any], status: int, words: str
) -> None:
    await opened(protocol())
    sent["headers"] = {**sent.get("headers", {}), "Authorization": inviter}
    response = await http.post("/v1/studies/dogs/invitations", **sent)
    assert response.status_code == status
    assert words in response.json()["detail"]


@pytest.mark.parametrize(
    "sent", [{}, {"json": {}}, {"json": {"number": None, "days": None}}, {"params": {"number": 1}}]
)
async def test_bodies_may_leave_out_everything(http: httpx.AsyncClient, inviter: str, opened: Open, sent: Any) -> None:
    await opened(protocol())
    response = await http.post("/v1/studies/dogs/invitations", headers={"Authorization": inviter}, **sent)
    assert (response.status_code, len(response.json()["links"])) == (200, 1)


async def test_a_closed_study_invites_nobody(ask: Ask, inviter: str, opened: Open, store: StudyStore) -> None:
    await opened(protocol())
    await store.close("dogs", "Enough.")
    with pytest.raises(FailedPreconditionError, match="Enough") as caught:
        await ask("InviteAnnotators", inviter, "dogs")
    assert caught.value.reason == "STUDY_CLOSED"


@pytest.mark.parametrize(
    ("raised", "kind", "reason"),
    [
        (DatabaseError("SQLite database /secret/place: disk full"), UnavailableError, "DATABASE_UNAVAILABLE"),
        (StudyError("/secret/place differs"), FailedPreconditionError, "STUDY_UNUSABLE"),
    ],
)
async def test_what_is_wrong_with_the_server_is_for_its_log(
    ask: Ask,
    keys: dict[str, str],
    api: StudyApi,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    raised: Exception,
    kind: type[Exception],
    reason: str,
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise raised

    for name in ("studies", "study", "votes"):
        monkeypatch.setattr(api._store, name, fail)
    for method in METHODS:
        caplog.clear()
        with pytest.raises(kind) as caught:
            await ask(method, f"Bearer {keys['admin']}", "dogs")
        assert caught.value.reason == reason  # type: ignore[attr-defined]
        assert "/secret" not in str(caught.value)
        assert "/secret/place" in caplog.text


async def test_the_results_are_those_of_the_votes(ask: Ask, reader: str, opened: Open, store: StudyStore) -> None:
    study = await opened(protocol(4))
    with pytest.raises(FailedPreconditionError, match="no answers yet") as caught:
        await ask("GetStudyResults", reader, "dogs")
    assert caught.value.reason == "NO_ANSWERS"
    for _ in range(3):
        await answer_all(store, await person(store))
    answer = await ask("GetStudyResults", reader, "dogs")
    assert (answer.study, answer.digest) == ("dogs", study.digest)
    told = json.loads(answer.json)
    assert (told["layout"], told["study"], told["digest"]) == (1, "dogs", study.digest)
    assert sum(cell["votes"] for cell in told["cells"]) == 12
    # All said yes to errors of the model.
    assert [cell["accepted"]["estimate"] for cell in told["cells"]] == pytest.approx([1.0, 1.0], abs=1e-3)
    assert answer.json.decode() == json.dumps(told, ensure_ascii=False, indent=1) + "\n"


async def test_results_are_kept_until_an_answer_changes(
    ask: Ask, reader: str, opened: Open, store: StudyStore, computing: Computing
) -> None:
    await opened(protocol(4))
    someone = await person(store)
    await answer_all(store, someone)
    first = await ask("GetStudyResults", reader, "dogs")
    assert await ask("GetStudyResults", reader, "dogs") == first
    assert computing.times == 1
    await store.withdraw((await person(store)).id)
    assert await ask("GetStudyResults", reader, "dogs") == first
    assert computing.times == 1
    await answer_all(store, await person(store))
    second = await ask("GetStudyResults", reader, "dogs")
    assert sum(cell["votes"] for cell in json.loads(second.json)["cells"]) == 8
    assert computing.times == 2
    await store.close("dogs", "Enough.")
    assert "Enough." in (await ask("GetStudyResults", reader, "dogs")).json.decode()
    assert computing.times == 3


async def test_callers_share_one_computation_and_the_loop_stays_free(
    ask: Ask, reader: str, opened: Open, store: StudyStore, computing: Computing
) -> None:
    """Ten callers come while it goes on: they get one more, which sees all that was answered before they came."""
    await opened(protocol(4))
    await answer_all(store, await person(store))
    began, go = threading.Event(), threading.Event()
    overlaps: list[int] = []
    running = 0

    def before() -> None:
        nonlocal running
        running += 1
        overlaps.append(running)
        began.set()
        assert go.wait(60)
        running -= 1

    computing.before = before
    first = asyncio.create_task(ask("GetStudyResults", reader, "dogs"))
    await asyncio.to_thread(began.wait, 60)
    await answer_all(store, await person(store))
    later = [asyncio.create_task(ask("GetStudyResults", reader, "dogs")) for _ in range(10)]
    # The loop answers others meanwhile.
    assert (await ask("GetStudy", reader, "dogs")).answers == 8
    go.set()
    votes = [
        sum(cell["votes"] for cell in json.loads(answer.json)["cells"])
        for answer in await asyncio.gather(first, *later)
    ]
    assert votes[1:] == [8] * 10
    assert votes[0] == 4
    assert (computing.times, max(overlaps)) == (2, 1)


async def test_results_that_come_late_are_there_for_the_next_call(
    api: StudyApi, opened: Open, store: StudyStore, computing: Computing
) -> None:
    await opened(protocol(4))
    await answer_all(store, await person(store))
    go = threading.Event()
    computing.before = lambda: go.wait(60)
    with pytest.raises(DeadlineExceededError, match="ask again"):
        await api.get_results("dogs", 0.01)
    go.set()
    assert (await api.get_results("dogs", 60)).study == "dogs"
    assert computing.times == 1


@pytest.mark.parametrize("timeout", ["0", "soon"])
async def test_a_timeout_that_is_none(http: httpx.AsyncClient, reader: str, timeout: str) -> None:
    headers = {"Authorization": reader}
    response = await http.get("/v1/studies/dogs/results", params={"timeout": timeout}, headers=headers)
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "timeout")


async def test_calls_are_counted_by_their_route(
    ask: Ask, keys: dict[str, str], opened: Open, samples: Callable[[str], dict[str, float]]
) -> None:
    await opened(protocol())
    await ask("GetStudy", f"Bearer {keys['admin']}", "dogs")
    with pytest.raises(NotFoundError):
        await ask("GetStudy", f"Bearer {keys['admin']}", "cats")
    counted = samples("whybox_requests_total")
    assert {labels.partition('code="')[2].partition('"')[0] for labels in counted} == {"OK", "NOT_FOUND"}
    assert all('route="/v1/studies/{study}"' in labels or 'route="GetStudy"' in labels for labels in counted)


async def test_reflection_and_health_know_the_service(channel: grpc.aio.Channel, reader: str) -> None:
    name = "whybox.v1.StudyService"
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    [answer] = [
        answer async for answer in reflection.ServerReflectionInfo(iter([asked]), metadata=(("authorization", reader),))
    ]
    assert name in {service.name for service in answer.list_services_response.service}
    health: Any = health_pb2_grpc.HealthStub(channel)
    assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status


async def test_the_document_tells_of_the_calls(
    http: httpx.AsyncClient, keys: dict[str, str], access: Access, opened: Open, store: StudyStore
) -> None:
    await opened(protocol(4))
    await answer_all(store, await person(store))
    headers = {"Authorization": f"Bearer {keys['admin']}"}
    told = (await http.get("/openapi.json", headers=headers)).json()
    assert told["components"]["securitySchemes"]["Key"] | {"description": ""} == {
        "type": "http",
        "scheme": "bearer",
        "description": "",
    }
    paths = {path: item for path, item in told["paths"].items() if path.startswith("/v1/studies")}
    assert len(paths) == 4
    for path, item in paths.items():
        [(method, operation)] = item.items()
        assert operation["security"] == [{"Key": ["studies:invite" if method == "post" else "studies:read"]}]
        response = await http.request(method, path.format(study="dogs"), headers=headers)
        [content] = operation["responses"]["200"]["content"].values()
        jsonschema.Draft202012Validator(content["schema"] | {"components": told["components"]}).validate(
            response.json()
        )
        refused = await http.request(method, path.format(study="dogs"))
        assert str(refused.status_code) in operation["responses"]
    bare = document(access=access, max_image_bytes=1, max_timeout=1)
    assert not any(path.startswith("/v1/studies") for path in bare["paths"])
    assert rest.described().answers[0] is v1.ListStudiesResponse.DESCRIPTOR
