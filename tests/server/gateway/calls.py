"""The model that the gateway's tests serve, and calls to the gateway."""

import asyncio
import math
from contextlib import aclosing
from typing import Any

from messages import message
from whybox import v1
from whybox_server.gateway.core import Gateway

MODEL = v1.Model(
    name="m",
    version="2",
    num_classes=10,
    labels=["cat", "dog"],
    methods=[v1.Method(name="grad_cam"), v1.Method(name="integrated_gradients")],
    norms=["linf"],
    attacks=[v1.Attack(name="fmn", norms=["linf"])],
    default_attack="fmn",
    digests=v1.Digests(weights_sha256="weights"),
)
IMAGE = b"picture"
# Of the picture's bytes.
LIMIT = 1000


def request(**parts: Any) -> v1.AnalyzeRequest:
    """A request for the parts, which are given as dictionaries."""
    return message(v1.AnalyzeRequest, **{"model": "m", "image": IMAGE, **parts})


def analyze(
    gateway: Gateway, asked: v1.AnalyzeRequest, timeout: float = 30, max_message_bytes: float = math.inf
) -> asyncio.Task[v1.AnalyzeResponse]:
    """Asks for the whole answer, in a task."""
    answer = gateway.analyze(asked, request_id="id-1", timeout=timeout, max_message_bytes=max_message_bytes)
    return asyncio.create_task(answer)


class Whole:
    """Asks for the whole answer, where a test does the same with a `Stream`.

    Attributes:
        messages: Empty, because there is no answer before the last part.
        task: Ends with the call.
    """

    def __init__(self, gateway: Gateway, asked: v1.AnalyzeRequest, max_message_bytes: float = math.inf) -> None:
        self.messages: list[v1.AnalyzeResponse] = []
        self.task = analyze(gateway, asked, max_message_bytes=max_message_bytes)


class Stream:
    """Asks for the parts one by one, and keeps them as they come.

    Attributes:
        messages: The parts so far.
        task: Ends with the stream.
    """

    def __init__(self, gateway: Gateway, asked: v1.AnalyzeRequest, max_message_bytes: float = math.inf) -> None:
        self.messages: list[v1.AnalyzeResponse] = []
        self._parts = gateway.stream(asked, request_id="id-1", timeout=30, max_message_bytes=max_message_bytes)
        self.task = asyncio.create_task(self._collect())

    async def _collect(self) -> None:
        async with aclosing(self._parts):
            async for part in self._parts:
                self.messages.append(part)

    @property
    def names(self) -> list[str]:
        """The parts that are complete, in the order in which they came."""
        return [timing.part for message in self.messages for timing in message.timings.parts]


# Both ways to ask: what holds for one call holds for the other.
CALLS = (Whole, Stream)
