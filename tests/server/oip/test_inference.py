"""Predictions by the Open Inference Protocol: the same over both transports, with values as bytes and as numbers."""

import asyncio
from io import BytesIO
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from PIL import Image

from server.conftest import MAX_IMAGE_BYTES, FakeGateway
from server.oip.asking import FORMS, Ask, RefusedError
from server.oip.conftest import CROP, scores
from whybox.v1.errors import InvalidRequestError, OverloadedError, PictureError
from whybox_server.oip.pictures import MAX_PICTURES

PICTURES = [b"one", b"\xff\x00 two", b"three"]


@pytest.fixture(params=FORMS)
def ask(request: pytest.FixtureRequest, http: httpx.AsyncClient, channel: grpc.aio.Channel) -> Ask:
    return Ask(request.param, http, channel)


async def test_all_outputs(ask: Ask, gateway: FakeGateway) -> None:
    answer = await ask("image", PICTURES, id="mine", version="1")
    expected = [score for picture in PICTURES for score in scores(picture, 5)]
    assert answer == {
        "model": ("efficientnet-lite0", "1", "mine"),
        "heads": {"classes": ("INT64", [3, 5]), "labels": ("BYTES", [3, 5]), "probabilities": ("FP64", [3, 5])},
        "classes": [score.index for score in expected],
        "labels": [score.label.encode() for score in expected],
        "probabilities": [score.probability for score in expected],
    }
    assert sorted(request.image for request in gateway.requests) == sorted(PICTURES)
    assert [(request.version, request.view) for request in gateway.requests] == 3 * [("1", False)]
    # Predictions alone are asked for.
    fields = {field.name for request in gateway.requests for field, _ in request.ListFields()}
    assert fields == {"model", "version", "image", "prediction"}


@pytest.mark.parametrize(
    ("parameters", "outputs", "asked", "heads"),
    [
        ({"top_k": 2}, {"labels": {}}, 2, {"labels": ("BYTES", [1, 2])}),
        (
            {},
            {"probabilities": {}, "classes": {}},
            5,
            {"probabilities": ("FP64", [1, 5]), "classes": ("INT64", [1, 5])},
        ),
        ({}, {"probabilities": {"classification": 3}}, 3, {"probabilities": ("BYTES", [1, 3])}),
        (
            {"top_k": 1},
            {"probabilities": {"classification": 7}, "labels": {}},
            7,
            {"probabilities": ("BYTES", [1, 7]), "labels": ("BYTES", [1, 1])},
        ),
    ],
)
async def test_chosen_outputs(ask: Ask, gateway: FakeGateway, parameters, outputs, asked, heads) -> None:
    answer = await ask("image", [b"one"], parameters=parameters, outputs=outputs)
    assert answer["heads"] == heads
    assert [request.prediction.top_k for request in gateway.requests] == [asked]
    if number := outputs.get("probabilities", {}).get("classification"):
        texts = [f"{s.probability:.6f}:{s.index}:{s.label}".encode() for s in scores(b"one", number)]
        assert answer["probabilities"] == texts


async def test_pixels_are_handed_on_without_loss(ask: Ask, gateway: FakeGateway) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3), np.uint8)
    await ask("pixels", pixels)
    seen = sorted(np.asarray(Image.open(BytesIO(request.image))).tolist() for request in gateway.requests)
    assert seen == sorted(pixels.tolist())
    assert not any(request.view for request in gateway.requests)


async def test_views_are_handed_on_without_loss(ask: Ask, gateway: FakeGateway) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (2, 3, CROP, CROP))
    levels[0, 0, 0, :2] = 0, 255
    await ask("view", (levels / 255).astype(np.float32))
    seen = sorted(np.asarray(Image.open(BytesIO(request.image))).tolist() for request in gateway.requests)
    assert seen == sorted(levels.transpose(0, 2, 3, 1).tolist())
    assert all(request.view for request in gateway.requests)


def test_every_level_of_8_bits_is_exact() -> None:
    """However a caller divides by 255, and as a worker does."""
    levels = np.arange(256)
    for divided in (levels / 255, levels.astype("f4") / np.float32(255), levels * (1 / 255)):
        rounded = np.rint(divided.astype("f4") * np.float32(255))
        assert (rounded == levels).all()
    assert ((levels / 255).astype("f4") == levels.astype("f4") / np.float32(255)).all()


@pytest.mark.parametrize(
    ("ask", "value"),
    [
        (form, value)
        for form in FORMS
        for value in (0.5, -1 / 255, 256 / 255, np.nan, np.inf, -np.inf, 1e-8, 0.4980392)
        # JSON has no other numbers.
        if form != "rest" or np.isfinite(value)
    ],
    indirect=["ask"],
)
async def test_a_view_between_the_levels_is_refused(ask: Ask, gateway: FakeGateway, value: float) -> None:
    view = np.zeros((1, 3, CROP, CROP), np.float32)
    view[0, 2, 1, 0] = value
    with pytest.raises(RefusedError, match=r"view\[0, 2, 1, 0\] is .*no level of 8 bits"):
        await ask("view", view)
    assert gateway.requests == []


PIXELS = np.zeros((1, 20, 20, 3), np.uint8)
WRONG: dict[str, tuple[str, Any, dict[str, Any], str]] = {
    "unknown input": ("picture", [b"one"], {}, "there is no input 'picture'; the inputs are image, pixels, view"),
    "datatype": ("pixels", [b"one"], {}, "pixels has the datatype UINT8, not 'BYTES'"),
    "shape": ("image", [b"one"], {"shape": [1, 1]}, r"image has the shape \[1, 1\], which must be \[-1\]"),
    "no picture": ("image", [], {}, r"image has the shape \[0\]"),
    "negative": ("image", [b"one"], {"shape": [-1]}, "the shape of image is no list"),
    "endless": ("image", [b"one"], {"shape": [2**40, 2**40]}, "the shape of image is no list"),
    "deep": ("image", [b"one"], {"shape": 9 * [1]}, "the shape of image is no list"),
    "fewer": ("image", [b"one"], {"shape": [2]}, r"image has 1 elements, but its shape \[2\] takes 2"),
    "more pixels": ("pixels", PIXELS, {"shape": [1, 1, 1, 3]}, r"pixels has 1200 \w+, but its shape .* takes 3"),
    "channels": ("pixels", np.zeros((1, 20, 20, 4), np.uint8), {}, r"must be \[-1, -1, -1, 3\]"),
    "view": ("view", np.zeros((1, 3, 5, 4), np.float32), {}, r"must be \[-1, 3, 4, 4\]"),
    "many": ("image", 17 * [b"one"], {}, "at most 16 pictures, not 17"),
    "many pixels": ("pixels", np.zeros((17, 1, 1, 3), np.uint8), {}, "at most 16 pictures, not 17"),
    "output": ("image", [b"one"], {"outputs": {"scores": {}}}, "no output 'scores'; the outputs are classes, labels"),
    "parameter": ("image", [b"one"], {"parameters": {"seed": 1}}, "parameter 'seed' in parameters; known: top_k"),
    "of output": ("image", [b"one"], {"outputs": {"labels": {"top": 1}}}, r"parameter 'top' in outputs\[labels"),
    "classification": ("image", [b"one"], {"outputs": {"labels": {"classification": 1}}}, "is a parameter of prob"),
    "top_k": ("image", [b"one"], {"parameters": {"top_k": 1001}}, "top_k must be an integer from 1 to 1000"),
    "top_k 0": ("image", [b"one"], {"parameters": {"top_k": 0}}, "top_k must be an integer from 1 to 1000"),
    "top_k true": ("image", [b"one"], {"parameters": {"top_k": True}}, "top_k must be an integer from 1 to 1000"),
    "classes": ("image", [b"one"], {"outputs": {"probabilities": {"classification": -1}}}, "classification must be an"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_is_wrong_is_named(ask: Ask, gateway: FakeGateway, case: str) -> None:
    assert MAX_PICTURES == 16
    name, values, more, message = WRONG[case]
    with pytest.raises(RefusedError, match=message) as refused:
        await ask(name, values, **more)
    assert refused.value.status == (400 if ask.over_rest else "INVALID_ARGUMENT")
    assert gateway.requests == []


@pytest.mark.parametrize("given", [{"model": "other"}, {"version": "2"}])
async def test_an_unknown_model(ask: Ask, given: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match="There is no model") as refused:
        await ask("image", [b"one"], **given)
    assert refused.value.status == (404 if ask.over_rest else "NOT_FOUND")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OverloadedError("full", retry_after=2), 503, "UNAVAILABLE"),
        (PictureError("damaged", field="image"), 400, "INVALID_ARGUMENT"),
    ],
)
async def test_one_picture_that_fails_is_named(ask: Ask, gateway: FakeGateway, error, status, code) -> None:
    gateway.error = error
    for pictures, place in (([b"one"], ""), ([b"one", b"two"], r"image\[0\]: ")):
        with pytest.raises(RefusedError, match=f"^{place}{error.message}$") as refused:
            await ask("image", pictures)
        assert refused.value.status == (status if ask.over_rest else code)


async def test_the_first_error_ends_the_others(ask: Ask, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []

    async def analyze(request, **_):
        if request.image == b"bad":
            await asyncio.sleep(0)
            raise InvalidRequestError("bad")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(request.image)

    monkeypatch.setattr(gateway, "analyze", analyze)
    with pytest.raises(RefusedError, match=r"image\[1\]: bad"):
        await ask("image", [b"one", b"bad", b"two"])
    assert sorted(ended) == [b"one", b"two"]


async def test_all_pictures_are_asked_at_once_under_the_id_of_the_call(ask: Ask, gateway: FakeGateway) -> None:
    gateway.waits = True
    call = asyncio.ensure_future(ask("image", PICTURES))
    async with asyncio.timeout(10):
        await gateway.started.wait()
        # The others have started in the same turn of the loop.
        await asyncio.sleep(0)
    assert len(gateway.requests) == 3
    assert len(set(gateway.request_ids)) == 1
    assert all(0 < seconds <= 30 for seconds in gateway.timeouts)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    if not ask.over_rest:
        async with asyncio.timeout(10):
            await gateway.cancelled.wait()


async def test_more_bytes_than_all_pictures_may_have(http: httpx.AsyncClient) -> None:
    body = b" " * (2 * MAX_IMAGE_BYTES + 2**20)
    headers = {"content-type": "application/json"}
    answer = await http.post("/v2/models/efficientnet-lite0/infer", content=body, headers=headers)
    assert answer.status_code == 413
    assert "the body may have at most" in answer.json()["error"]
