"""Operations, and streams that break off, through the client: the same over both transports."""

from collections.abc import Iterator

import pytest

from clients.gateways import FakeGateway, Ports, serving
from whybox import CancelledError, Client, DeadlineExceededError, FailedPreconditionError, NotFoundError, v1
from whybox.v1.errors import InvalidRequestError, UnavailableError, WhyboxError

PICTURE = b"picture"


@pytest.fixture
def gateway() -> FakeGateway:
    answer = v1.AnalyzeResponse(model="lite0", version="1.0")
    answer.prediction.classes.add(index=7, label="cock", probability=0.5)
    return FakeGateway([answer])


@pytest.fixture
def ports(gateway: FakeGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    database = f"sqlite:///{tmp_path_factory.mktemp('operations')}/whybox.db"
    with serving(gateway, database=database) as ports:
        yield ports


@pytest.fixture(params=["grpc", "rest"])
def client(request: pytest.FixtureRequest, ports: Ports) -> Iterator[Client]:
    with Client(getattr(ports, request.param), model="lite0", timeout=10) as client:
        yield client


def test_from_start_to_end(client: Client, gateway: FakeGateway) -> None:
    operation = client.start_analysis(PICTURE, parts="prediction")
    analysis = operation.result(timeout=30)
    assert analysis.prediction is not None
    assert analysis.prediction.classes[0].label == "cock"
    assert (operation.done(), operation.state) == (True, "succeeded")
    assert gateway.sent.image == PICTURE
    found = client.operation(operation.name)
    assert found.result().prediction == analysis.prediction
    found.delete()
    with pytest.raises(NotFoundError, match="there is no operation"):
        client.operation(operation.name)


def test_the_end_is_waited_for(client: Client, gateway: FakeGateway) -> None:
    gateway.holds = True
    operation = client.start_analysis(PICTURE, parts="prediction")
    with pytest.raises(DeadlineExceededError, match="has not ended within 0 s; ask again later"):
        operation.result(timeout=0)
    assert not operation.done()
    operation.cancel()
    with pytest.raises(CancelledError):
        operation.result()
    assert operation.state == "cancelled"


def test_a_failure_is_raised(client: Client, gateway: FakeGateway) -> None:
    operation = client.start_analysis(PICTURE, parts="prediction")
    operation.result()
    gateway.answers[0].explanations.add()
    gateway.error = InvalidRequestError("m", field="image")
    with pytest.raises(InvalidRequestError) as caught:
        client.start_analysis(PICTURE, parts="prediction").result()
    assert caught.value.field == "image"


@pytest.mark.parametrize("scheme", ["grpc", "rest"])
def test_a_server_without_a_database(gateway: FakeGateway, scheme: str) -> None:
    with serving(gateway) as ports, Client(getattr(ports, scheme), model="lite0") as client:
        with pytest.raises(FailedPreconditionError, match="WHYBOX_DATABASE"):
            client.start_analysis(PICTURE, parts="prediction")
        with pytest.raises(NotFoundError, match="WHYBOX_DATABASE") as caught:
            client.operation("operations/x")
        assert caught.value.reason == "NO_OPERATIONS"


@pytest.mark.parametrize("told", [True, False], ids=["the server told", "the client tells"])
def test_a_stream_that_breaks_off_says_what_is_missing(client: Client, gateway: FakeGateway, told: bool) -> None:
    gateway.answers[0].timings.parts.add(part="prediction")
    missing = ("explanations[0]", "explanations[1]", "robustness")
    gateway.error = UnavailableError("m", retry_after=1, missing=missing if told else ())
    stream = client.stream(PICTURE, parts=("prediction", "explanations", "robustness"), methods=("a", "b"))
    assert next(stream).prediction is not None
    with pytest.raises(WhyboxError) as caught:
        next(stream)
    assert isinstance(caught.value, UnavailableError)
    assert (caught.value.missing, caught.value.retry_after) == (missing, 1)
    assert caught.value.message == ("m" if told else f"m; the stream ended without {', '.join(missing)}")
    assert any(note.startswith("Request id") for note in caught.value.__notes__)
