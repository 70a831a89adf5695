"""What the tests of REST send: a request, in the ways in which it travels."""

import base64
from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format

from whybox import v1

MODEL = "efficientnet-lite0"
PICTURE = b"\xff\xd8\xff\xe0 not really a JPEG"
BASE64 = base64.b64encode(PICTURE).decode()
URL = f"/v1/models/{MODEL}"

Parts = dict[str, Any]
"""Parts of a request in the spelling of JSON."""
Sent = dict[str, Any]
"""Arguments of httpx: the picture and the options in one of the ways to send them."""


def request(**parts: Any) -> v1.AnalyzeRequest:
    """What the gateway is asked: the picture, and parts in the spelling of JSON."""
    return json_format.ParseDict({"model": MODEL, "image": BASE64, **parts}, v1.AnalyzeRequest())


GRAD_CAM: Parts = {"explanations": [{"method": "grad_cam"}]}
ALL_PARTS: Parts = {"prediction": {}, **GRAD_CAM, "robustness": {}, "bias": {}}

BASELINE = b"\x89PNG not really a PNG"
BASELINE64 = base64.b64encode(BASELINE).decode()
FILES: dict[str, tuple[str, bytes, str]] = {
    "image": ("a.jpg", PICTURE, "image/jpeg"),
    "baseline_image": ("b.png", BASELINE, "image/png"),
}

JSON = {"Content-Type": "application/json"}
RAW: Sent = {"content": PICTURE, "headers": {"Content-Type": "image/png"}}


def scope(action: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> dict[str, Any]:
    """A POST as ASGI hands it to the application, for callers that httpx cannot play."""
    path = URL + action
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [*headers],
        "root_path": "",
    }
