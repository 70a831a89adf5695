"""The key of a client goes with every call, over both transports, and stands in nothing that is printed."""

from collections.abc import Callable, Iterator

import pytest

from clients.gateways import FakeGateway, Ports, serving
from clients.served_studies import AUTHORIZATION, KEY, FakeStudies
from whybox import Client

STUDIES = FakeStudies()

CALLS: dict[str, Callable[[Client, bytes], object]] = {
    "analyze": lambda client, picture: client.analyze(picture),
    "stream": lambda client, picture: list(client.stream(picture)),
    "models": lambda client, _: client.models(),
    "model": lambda client, _: client.model(),
    "audits": lambda client, _: client.audits(),
    "studies": lambda client, _: client.studies(),
    "study": lambda client, _: client.study("photos"),
    "study_results": lambda client, _: client.study_results("photos"),
    "invite": lambda client, _: client.invite("photos"),
}


@pytest.fixture(scope="module")
def all_ports() -> Iterator[Ports]:
    STUDIES.reset()
    with serving(FakeGateway(), studies=STUDIES.api) as ports:
        yield ports


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("key", "sent"), [(KEY, AUTHORIZATION), (None, None)])
def test_the_key_goes_with_every_call(
    url: str, gateway: FakeGateway, picture: bytes, call: str, key: str | None, sent: str | None
) -> None:
    # Without the name of a model the client asks for the list first.
    with Client(url, timeout=10, key=key) as client:
        CALLS[call](client, picture)
    assert set(gateway.authorizations) == {sent}
