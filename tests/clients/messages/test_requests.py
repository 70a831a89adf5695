import copy
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import ParseDict
from PIL import Image

from clients.gateways import FakeGateway
from whybox import Client, PictureTooLargeError, v1

EVERYTHING = {"prediction": {}, "explanations": [{"method": "grad_cam"}], "robustness": {}, "bias": {}}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, EVERYTHING),
        ({"parts": None, "methods": None, "top_k": None, "target": None, "seed": None, "budget": None}, EVERYTHING),
        ({"parts": ["robustness", "bias"]}, {"robustness": {}, "bias": {}}),
        ({"parts": "prediction", "top_k": 3, "seed": 7}, {"prediction": {"top_k": 3}, "seed": 7}),
        (
            {"parts": "prediction", "version": "2.0", "model": "lite2"},
            {"prediction": {}, "version": "2.0", "model": "lite2"},
        ),
        (
            {"parts": "robustness", "norms": ["l2", "linf"], "budget": 30},
            {"robustness": {"norms": ["l2", "linf"], "budget": "30"}},
        ),
        (
            {
                "parts": "robustness",
                "attack": "ddn",
                "pictures": "change",
                "transfer": True,
                "twin": "grad_cam",
                "corruptions": ("noise", "fog"),
                "budget": "deadline",
            },
            {
                "robustness": {
                    "attack": "ddn",
                    "encodings": ["change"],
                    "transfer": True,
                    "twin": "grad_cam",
                    "corruptions": ["noise", "fog"],
                    "budget": "deadline",
                }
            },
        ),
        (
            {
                "parts": "robustness",
                "attack": None,
                "pictures": None,
                "transfer": None,
                "twin": None,
                "corruptions": None,
            },
            {"robustness": {}},
        ),
        ({"parts": "bias", "attributes": ["indoors"]}, {"bias": {"attributes": ["indoors"]}}),
        ({"sigma": None, "samples": None, "alpha": None}, EVERYTHING),
        ({"sigma": 0.25}, EVERYTHING | {"certified": {"sigma": 0.25}}),
        (
            {"parts": ["prediction", "certified"], "sigma": 0.25, "samples": 200, "alpha": 0.01},
            {"prediction": {}, "certified": {"sigma": 0.25, "samples": 200, "alpha": 0.01}},
        ),
    ],
)
@pytest.mark.parametrize("method", ["analyze", "stream"])
def test_options_become_the_request(
    client: Client, gateway: FakeGateway, picture: bytes, method: str, options: dict[str, Any], expected: Any
) -> None:
    answer = getattr(client, method)(picture, **options)
    if method == "stream":
        list(answer)
    request = ParseDict({"model": "lite0", **expected}, v1.AnalyzeRequest())
    request.image = picture
    assert gateway.sent == request


QUALITY = ["deletion", "insertion", "infidelity", "sensitivity", "stability"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"target": 0}, [{"target_class": 0}]),
        ({"target": np.int64(3)}, [{"target_class": 3}]),
        ({"target": "tabby"}, [{"target_label": "tabby"}]),
        ({"target": [0, "tabby"]}, [{"target_class": 0}, {"target_label": "tabby"}]),
        ({"target": np.array([5, 2])}, [{"target_class": 5}, {"target_class": 2}]),
        ({"target": iter((5, 2))}, [{"target_class": 5}, {"target_class": 2}]),
        ({"contrast": 0}, [{"contrast_class": 0}]),
        ({"target": 1, "contrast": "tabby"}, [{"target_class": 1, "contrast_label": "tabby"}]),
        ({"baseline": "blur"}, [{"baseline": "blur"}]),
        ({"max_evaluations": 0, "tolerance": 0}, [{"max_evaluations": 0, "tolerance": 0.0}]),
        ({"encodings": "float32"}, [{"encodings": ["float32"]}]),
        ({"encodings": ("uint8", "regions")}, [{"encodings": ["uint8", "regions"]}]),
        ({"channels": "none"}, [{"channels": "none"}]),
        ({"quality": "deletion"}, [{"quality": ["deletion"]}]),
        ({"quality": ["stability", "infidelity"]}, [{"quality": ["stability", "infidelity"]}]),
        ({"quality": "all"}, [{"quality": QUALITY}]),
        ({"quality": "gut feeling"}, [{"quality": ["gut feeling"]}]),
    ],
)
@pytest.mark.parametrize("ask", ["analyze", "explain"])
def test_options_go_to_every_map_of_every_method(
    client: Client, gateway: FakeGateway, picture: bytes, ask: Any, options: dict[str, Any], expected: Any
) -> None:
    options = {name: copy.copy(value) for name, value in options.items()}
    parts = {"parts": "explanations"} if ask == "analyze" else {}
    getattr(client, ask)(picture, methods=("grad_cam", "rise"), **parts, **options)
    maps = [{"method": method, **one} for method in ("grad_cam", "rise") for one in expected]
    request = ParseDict({"model": "lite0", "explanations": maps}, v1.AnalyzeRequest())
    request.image = picture
    assert gateway.sent == request


@pytest.mark.parametrize("kind", [bytes, Path, Image.open, lambda path: np.asarray(Image.open(path))])
def test_a_baseline_of_ones_own_is_sent(
    client: Client, gateway: FakeGateway, picture: bytes, tmp_path: Path, kind: Callable[[Path], Any]
) -> None:
    path = tmp_path / "blur"
    path.write_bytes(picture)
    client.explain(picture, "rise", baseline=picture if kind is bytes else kind(path))
    [options] = gateway.sent.explanations
    assert options.baseline == ""
    assert np.array_equal(
        np.asarray(Image.open(io.BytesIO(options.baseline_image))), np.asarray(Image.open(io.BytesIO(picture)))
    )


@pytest.mark.parametrize("method", ["analyze", "stream"])
def test_arguments_are_checked_before_anything_is_sent(
    client: Client, gateway: FakeGateway, picture: bytes, method: str
) -> None:
    ask = getattr(client, method)
    for wrong, error, words in (
        ({"parts": ()}, ValueError, "parts must be some of prediction, explanations, robustness, bias"),
        ({"parts": ["saliency"]}, ValueError, "saliency"),
        ({"timeout": 0}, ValueError, "timeout must be a positive"),
        ({"timeout": float("inf")}, ValueError, "timeout must be a positive"),
        ({"request_id": "two words"}, ValueError, "request_id must be"),
        ({"request_id": ""}, ValueError, "request_id must be"),
        ({"seed": -1}, ValueError, "out of range"),
        ({"sede": 1}, TypeError, "sede"),
        ({"steps": 9}, TypeError, "steps"),
        ({"methods": ()}, ValueError, "at least one method"),
        ({"target": ()}, ValueError, "at least one class"),
        ({"target": 3.5}, TypeError, "target must be a class's index or label, not 3.5"),
        ({"target": ["tabby", ""]}, ValueError, "target must be a class's index or label, not an empty label"),
        ({"contrast": [1]}, TypeError, "contrast must be a class's index or label"),
        ({"target": 2**31}, ValueError, "out of range"),
        ({"baseline": 7}, TypeError, "baseline must be a path"),
        ({"baseline": Path("no/such.png")}, OSError, r"no/such\.png"),
        ({"parts": "bias", "target": 3}, ValueError, "target is for explanations"),
        ({"parts": ["prediction", "bias"], "budget": "fast"}, ValueError, "budget is for robustness"),
        ({"parts": "prediction", "transfer": True}, ValueError, "transfer is for robustness"),
        ({"parts": "prediction", "corruptions": "all"}, ValueError, "corruptions is for robustness"),
        ({"parts": "prediction", "sigma": 1}, ValueError, "sigma is for certified"),
        ({"parts": "certified"}, ValueError, "certified needs sigma"),
        ({"samples": 100}, ValueError, "certified needs sigma"),
        ({"alpha": 0.01}, ValueError, "certified needs sigma"),
        ({"sigma": 1, "samples": 2**31}, ValueError, "out of range"),
    ):
        with pytest.raises(error, match=words):
            ask(picture, **wrong)
    with pytest.raises(PictureTooLargeError, match=r"at most 32 MiB") as caught:
        ask(bytes(33 * 2**20))
    assert caught.value.field == "image"
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("method", "option"),
    [
        ("predict", "methods"),
        ("explain", "top_k"),
        ("explain", "parts"),
        ("robustness", "quality"),
        ("robustness", "parts"),
        ("robustness", "encodings"),
        ("explain", "pictures"),
        ("bias", "norms"),
        ("analyze", "method"),
        ("stream", "method"),
    ],
)
def test_questions_take_no_options_of_others(
    client: Client, gateway: FakeGateway, picture: bytes, method: str, option: str
) -> None:
    with pytest.raises(TypeError, match=option):
        getattr(client, method)(picture, **{option: "prediction"})
    assert gateway.requests == []


def test_baselines_count_as_bytes_of_the_request(client: Client, gateway: FakeGateway, picture: bytes) -> None:
    with pytest.raises(PictureTooLargeError, match=r"at most 32 MiB"):
        client.explain(picture, "rise", target=range(5), baseline=bytes(8 * 2**20))
    assert gateway.requests == []
