"""Whatever is sent: the right code on both transports, a message that names the remedy, and a server that goes on."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import code_pb2
from grpc_status import rpc_status
from PIL import Image

from messages import message
from presence import present
from servers import Server, memory
from whybox import Client, v1
from whybox.v1 import analysis_pb2_grpc, errors

MODEL = "efficientnet-lite0"


def picture(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(buffer, "PNG")
    return buffer.getvalue()


def huge_png() -> bytes:
    """A PNG that says 30,000 x 30,000 in its header; decoded it would take 2.7 GB."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(30_000 * 3 + 1) * 20)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def request(image: bytes, model: str = MODEL, **parts: Any) -> v1.AnalyzeRequest:
    return message(v1.AnalyzeRequest, model=model, image=image, **(parts or {"prediction": {}}))


INVALID, NOT_FOUND = code_pb2.INVALID_ARGUMENT, code_pb2.NOT_FOUND

Make = Callable[[bytes], v1.AnalyzeRequest]


def asking(**parts: Any) -> Make:
    """Makes a request for these parts of a good picture."""
    return lambda good: request(good, **parts)


# What is sent (made from a good picture) -> code, HTTP status, reason, field, words of the remedy.
BAD: dict[str, tuple[Make, int, int, str, str, str]] = {
    "empty body": (lambda _: request(b""), INVALID, 400, "BAD_PICTURE", "image", "send"),
    "truncated JPEG": (lambda good: request(good[:9000]), INVALID, 400, "BAD_PICTURE", "image", "send the whole file"),
    "text": (lambda _: request(b"not a picture\n" * 9), INVALID, 400, "BAD_PICTURE", "image", "JPEG, PNG, WebP or GIF"),
    "1 x 1": (lambda _: request(picture(1, 1)), INVALID, 400, "BAD_PICTURE", "image", "at least 16"),
    "30,000 x 30,000": (lambda _: request(huge_png()), INVALID, 413, "PICTURE_TOO_LARGE", "image", "at most 50000000"),
    "too many bytes": (
        lambda good: request(good + bytes(20 * 2**20)),
        INVALID,
        413,
        "PICTURE_TOO_LARGE",
        "image",
        "at",
    ),
    "unknown model": (lambda good: request(good, "vgg"), NOT_FOUND, 404, "UNKNOWN_MODEL", "model", f"served: {MODEL}"),
    "unknown version": (
        lambda good: request(good, version="9", prediction={}),
        NOT_FOUND,
        404,
        "UNKNOWN_VERSION",
        "version",
        "1.0",
    ),
    "unknown method": (
        asking(explanations=[{"method": "tarot"}]),
        INVALID,
        400,
        "INVALID_REQUEST",
        "explanations[0].method",
        "must be one of saliency, grad_cam",
    ),
    "unknown norm": (
        asking(robustness={"norms": ["l7"]}),
        INVALID,
        400,
        "INVALID_REQUEST",
        "robustness.norms",
        "must be one of linf",
    ),
    "unknown budget": (
        asking(robustness={"budget": "lavish"}),
        INVALID,
        400,
        "INVALID_REQUEST",
        "robustness.budget",
        "fast, standard, thorough",
    ),
    **{
        f"budget {budget}": (
            asking(robustness={"budget": budget}),
            INVALID,
            400,
            "INVALID_REQUEST",
            "robustness.budget",
            "1 to 1000",
        )
        for budget in ("-3", "0", "1001", "9.5")
    },
    **{
        f"unknown {option}": (
            asking(robustness={option: value}),
            INVALID,
            400,
            "INVALID_REQUEST",
            f"robustness.{option}",
            words,
        )
        for option, value, words in (
            ("attack", "magic", "must be one of fmn"),
            ("twin", "tarot", "must be one of saliency"),
            ("encodings", ["video"], "must be one of adversarial"),
            ("corruptions", ["fogg"], "did you mean 'fog'?"),
        )
    },
    "an attack that cannot measure in the norm": (
        asking(robustness={"norms": ["linf"], "attack": "ddn"}),
        INVALID,
        400,
        "INVALID_REQUEST",
        "robustness.attack",
        "use one of fmn",
    ),
    "a certificate without a noise level": (
        asking(certified={}),
        INVALID,
        400,
        "INVALID_REQUEST",
        "certified.sigma",
        "sigma",
    ),
    **{
        f"target class {target}": (
            asking(explanations=[{"method": "grad_cam", "target_class": target}]),
            INVALID,
            400,
            "INVALID_REQUEST",
            "explanations[0].target_class",
            "0 to 999",
        )
        for target in (-1, 1000)
    },
    **{
        f"top_k {top_k}": (
            asking(prediction={"top_k": top_k}),
            INVALID,
            400,
            "INVALID_REQUEST",
            "prediction.top_k",
            "1 to 1000",
        )
        for top_k in (0, -1, 5000)
    },
    "no part": (
        lambda good: v1.AnalyzeRequest(model=MODEL, image=good),
        INVALID,
        400,
        "INVALID_REQUEST",
        "",
        "at least one of prediction",
    ),
}

# The same over REST's own spelling: action, query, body, headers -> HTTP status, field, words.
BAD_REST: dict[str, tuple[str, str, Callable[[bytes], bytes], dict[str, str], int, str, str]] = {
    "empty body": (":predict", "", lambda _: b"", {"Content-Type": "image/jpeg"}, 400, "image", "picture"),
    "text": (":analyze", "", lambda _: b"hello", {"Content-Type": "image/png"}, 400, "image", "JPEG, PNG, WebP"),
    "1 x 1": (":bias", "", lambda _: picture(1, 1), {"Content-Type": "image/png"}, 400, "image", "at least 16"),
    "top_k": (":predict", "top_k=0", bytes, {"Content-Type": "image/jpeg"}, 400, "prediction.top_k", "1 to 1000"),
    "no number": (":predict", "top_k=five", bytes, {"Content-Type": "image/jpeg"}, 400, "top_k", "integer"),
    "typo": (":predict", "topk=5", bytes, {"Content-Type": "image/jpeg"}, 400, "topk", "top_k"),
    "method": (
        ":explain",
        "method=tarot",
        bytes,
        {"Content-Type": "image/jpeg"},
        400,
        "explanations[0].method",
        "one of",
    ),
    "norm": (":robustness", "norm=l7", bytes, {"Content-Type": "image/jpeg"}, 400, "robustness.norms", "linf"),
    "JSON": (":predict", "", lambda _: b"{", {"Content-Type": "application/json"}, 400, "", "JSON"),
    "base64": (
        ":predict",
        "",
        lambda _: b'{"image": "%"}',
        {"Content-Type": "application/json"},
        400,
        "image",
        "base64",
    ),
    "media type": (":predict", "", bytes, {"Content-Type": "video/mp4"}, 415, "image", "image/"),
}


def check_good_request(server: Server, good: bytes) -> None:
    with Client(server.grpc) as client:
        assert client.predict(good).classes[0].label == "dalmatian"


@pytest.mark.parametrize("case", BAD)
def test_over_grpc(case: str, server: Server, dalmatian: bytes) -> None:
    make, code, _, reason, field, words = BAD[case]
    options = [("grpc.max_send_message_length", 64 * 2**20)]
    with grpc.insecure_channel(server.grpc.removeprefix("grpc://"), options) as channel:
        stub = analysis_pb2_grpc.AnalysisServiceStub(channel)
        calls = stub.Analyze.future(make(dalmatian), timeout=60), stub.StreamAnalysis(make(dalmatian), timeout=60)
        for call in calls:
            status = present(rpc_status.from_call(call))
            error = errors.error_from_status(status)
            assert (status.code, error.reason, error.field or "") == (code, reason, field)
            assert words in error.message
            assert error.retry_after is None
    check_good_request(server, dalmatian)


# REST without a part means all of them.
@pytest.mark.parametrize("case", [case for case in BAD if case != "no part"])
def test_over_rest(case: str, server: Server, dalmatian: bytes) -> None:
    make, code, http_status, reason, field, words = BAD[case]
    with Client(server.rest) as client, pytest.raises(errors.WhyboxError) as raised:
        client._transport.analyze(make(dalmatian), client._call(60, None))
    assert (raised.value.code, raised.value.reason, raised.value.field or "") == (code, reason, field)
    assert words in raised.value.message
    assert errors.error_for(code, reason) is type(raised.value)
    assert http_status in (400, 404, 413)
    check_good_request(server, dalmatian)


@pytest.mark.parametrize("case", BAD_REST)
def test_in_the_spelling_of_rest(case: str, server: Server, dalmatian: bytes) -> None:
    action, query, body, headers, http_status, field, words = BAD_REST[case]
    url = f"{server.rest}/v1/models/{MODEL}{action}?{query}"
    answer = httpx.post(url, content=body(dalmatian), headers=headers, timeout=60)
    problem = answer.json()
    assert answer.status_code == problem["status"] == http_status
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert words in problem["detail"]
    assert [each["field"] for each in problem.get("errors", [])] == ([field] if field else [])
    assert answer.headers["x-request-id"] == problem["request_id"]
    check_good_request(server, dalmatian)


def test_a_huge_picture_is_refused_by_its_header(server: Server) -> None:
    """No worker has taken the memory of the decoded picture, not even for a moment."""
    workers = server.workers("predict")
    before = {worker.pid: memory(worker.pid, "VmHWM") for worker in workers}
    with Client(server.grpc) as client, pytest.raises(errors.PictureTooLargeError):
        client.predict(huge_png())
    assert before
    assert all(memory(pid, "VmHWM") < peak + 2**30 for pid, peak in before.items())


def test_the_prefix_of_a_picture_never_passes_for_it(server: Server, dalmatian: bytes) -> None:
    with Client(server.rest) as client:
        for share in (0.01, 0.5, 0.99):
            with pytest.raises(errors.PictureError):
                client.predict(dalmatian[: int(share * len(dalmatian))])
