"""Both transports of the protocol over one gateway."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from starlette.applications import Starlette

from server.conftest import LIMITS, MAX_IMAGE_BYTES, FakeGateway, full_model
from whybox import v1
from whybox_server import oip
from whybox_server.access.checking import Access
from whybox_server.monitoring.metrics import Metrics
from whybox_server.rest import create_app
from whybox_server.rpc.service import create_server

CROP = 4


class ScoringGateway(FakeGateway):
    """Answers to each picture with scores of its own, which its bytes decide."""

    def get_model(self, name: str, version: str = "") -> v1.Model:
        super().get_model(name, version)
        model = full_model()
        model.preprocessing.crop = CROP
        return model

    async def analyze(self, request: v1.AnalyzeRequest, **given: Any) -> v1.AnalyzeResponse:
        await super().analyze(request, **given)
        return v1.AnalyzeResponse(prediction=v1.Prediction(classes=scores(request.image, request.prediction.top_k)))


def scores(picture: bytes, number: int) -> list[v1.ClassScore]:
    first = sum(picture)
    return [
        v1.ClassScore(index=(first + rank) % 1000, label=f"klasse é {first + rank}", probability=1 / (3 + first + rank))
        for rank in range(number)
    ]


@pytest.fixture
def gateway() -> FakeGateway:
    return ScoringGateway()


@pytest.fixture
def app(gateway: FakeGateway, metrics: Metrics) -> Starlette:
    routes = oip.routes(gateway, max_image_bytes=MAX_IMAGE_BYTES, **LIMITS)
    return create_app(
        gateway,
        metrics,
        access=Access(None),
        max_image_bytes=MAX_IMAGE_BYTES,
        mounts=routes,
        described=(oip.described(),),
        **LIMITS,
    )


@pytest.fixture
async def grpc_address(gateway: FakeGateway, metrics: Metrics) -> AsyncIterator[str]:
    server: grpc.aio.Server = create_server(
        gateway,
        metrics,
        access=Access(None),
        max_message_bytes=10 * MAX_IMAGE_BYTES,
        services=(oip.service(gateway),),
        **LIMITS,
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)
