"""Who gets in: keys of every kind against every call, on both transports."""

import contextlib
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from server.studies.api.conftest import METHODS, Ask
from server.studies.conftest import Open
from studying import UtcClock, protocol
from whybox.v1.errors import PermissionDeniedError, UnauthenticatedError, UnavailableError, WhyboxError
from whybox_server.access.checking import Access
from whybox_server.access.keys import KeyFile, Scope

NEEDED = dict.fromkeys(METHODS, "studies:read") | {"InviteAnnotators": "studies:invite"}
STUDY = "dogs"


@pytest.fixture(autouse=True)
async def study(opened: Open) -> None:
    await opened(protocol(name=STUDY))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scope", ["studies:read", "studies:invite", "admin"])
async def test_a_scope_opens_its_calls(ask: Ask, keys: dict[str, str], method: str, scope: str) -> None:
    if scope in (NEEDED[method], "admin"):
        try:
            await ask(method, f"Bearer {keys[scope]}", STUDY)
        except WhyboxError as error:
            assert error.reason == "NO_ANSWERS"  # noqa: PT017 (it got in)
        return
    with pytest.raises(PermissionDeniedError, match=f"needs one with the scope {NEEDED[method]}") as caught:
        await ask(method, f"Bearer {keys[scope]}", STUDY)
    assert keys[scope] not in str(caught.value)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        (None, "UNAUTHENTICATED"),
        ("", "UNAUTHENTICATED"),
        ("Bearer", "UNAUTHENTICATED"),
        ("Bearer ", "UNAUTHENTICATED"),
        ("{admin}", "UNAUTHENTICATED"),
        ("Basic {admin}", "UNAUTHENTICATED"),
        ("Bearer " + "x" * 600, "UNAUTHENTICATED"),
        ("Bearer wrong", "UNKNOWN_KEY"),
        ("Bearer {admin}x", "UNKNOWN_KEY"),
        ("Bearer {revoked}", "UNKNOWN_KEY"),
        ("Bearer {admin} {admin}", "UNKNOWN_KEY"),
        ("Bearer ' OR 1=1 --", "UNKNOWN_KEY"),
    ],
)
async def test_others_stay_out(
    ask: Ask, keys: dict[str, str], method: str, authorization: str | None, reason: str
) -> None:
    """They learn neither what is wrong with the rest of a call nor which studies there are."""
    sent = authorization and authorization.format(**keys)
    for study in (STUDY, "horses"):
        with pytest.raises(UnauthenticatedError) as caught:
            await ask(method, sent, study)
        assert caught.value.reason == reason
        assert not any(key in str(caught.value) for key in keys.values())
        assert study not in caught.value.message


async def test_the_scheme_is_read_in_any_case(ask: Ask, keys: dict[str, str]) -> None:
    assert len((await ask("ListStudies", f"bearer  {keys['admin']} ")).studies) == 1


async def test_a_key_expires(ask: Ask, keys: dict[str, str], clock: UtcClock) -> None:
    authorization = f"Bearer {keys['expiring']}"
    clock.turn(hours=23, minutes=59)
    await ask("ListStudies", authorization)
    clock.turn(minutes=1)
    with pytest.raises(UnauthenticatedError, match="the key has expired"):
        await ask("ListStudies", authorization)


async def test_a_key_works_from_the_moment_it_is_made_until_it_is_revoked(
    ask: Ask, key_file: KeyFile, clock: UtcClock
) -> None:
    _, secret = key_file.add("new", [Scope.ADMIN], now=clock())
    await ask("ListStudies", f"Bearer {secret}")
    key_file.revoke("new")
    with pytest.raises(UnauthenticatedError):
        await ask("ListStudies", f"Bearer {secret}")


@pytest.mark.parametrize(
    "broken", [lambda path: path.chmod(0o644), lambda path: path.write_text("{"), lambda path: path.unlink()]
)
async def test_a_file_that_breaks_lets_nobody_in(
    ask: Ask, key_file: KeyFile, keys: dict[str, str], broken: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    await ask("ListStudies", f"Bearer {keys['admin']}")
    broken(key_file.path)
    with pytest.raises(UnavailableError) as caught:
        await ask("ListStudies", f"Bearer {keys['admin']}")
    assert caught.value.reason == "KEYS_UNREADABLE"
    assert str(key_file.path) not in caught.value.message
    assert str(key_file.path) in caplog.text


async def test_without_a_file_nobody_gets_in(ask: Ask, access: Access, keys: dict[str, str]) -> None:
    access._file = None
    for method in METHODS:
        with pytest.raises(UnauthenticatedError, match=r"whybox-server keys add .* WHYBOX_KEY_FILE") as caught:
            await ask(method, f"Bearer {keys['admin']}", STUDY)
        assert caught.value.reason == "NO_KEY_FILE"


async def test_keys_stand_in_no_log_and_no_metric(
    ask: Ask, http: httpx.AsyncClient, keys: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for key in keys.values():
        for method in METHODS:
            with contextlib.suppress(WhyboxError):
                await ask(method, f"Bearer {key}", STUDY)
    metrics = (await http.get("/metrics")).text
    assert "UNAUTHENTICATED" in metrics
    for key in keys.values():
        assert key not in caplog.text
        assert key not in metrics


async def test_a_key_in_the_query_is_refused(http: httpx.AsyncClient, keys: dict[str, str]) -> None:
    """Addresses stand in logs."""
    response = await http.get("/v1/studies", params={"key": keys["admin"]})
    assert response.status_code in (400, 401)
    assert keys["admin"] not in response.text


async def test_the_body_is_read_after_the_key(http: httpx.AsyncClient) -> None:
    read = []

    async def body() -> Any:
        read.append(True)
        yield b"{}"

    headers = {"Content-Type": "application/json"}
    response = await http.post(f"/v1/studies/{STUDY}/invitations", content=body(), headers=headers)
    assert (response.status_code, read) == (401, [])
