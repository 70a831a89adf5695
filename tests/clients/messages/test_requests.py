import copy
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
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
            {"parts": "prediction", "top_k": np.array(3), "seed": torch.tensor(7), "view": np.bool_(True)},
            {"prediction": {"top_k": 3}, "seed": 7, "view": True},
        ),
        (
            {"parts": "prediction", "set_method": "aps", "set_alpha": np.float64(0.25)},
            {"prediction": {"set_method": "aps", "set_alpha": 0.25}},
        ),
        ({"parts": "bias", "view": None}, {"bias": {}}),
        ({"parts": "robustness", "budget": np.float64(30)}, {"robustness": {"budget": "30"}}),
        (
            {"parts": "prediction", "version": "1.0", "model": "lite2"},
            {"prediction": {}, "version": "1.0", "model": "lite2"},
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
        ({"target": torch.tensor(5)}, [{"target_class": 5}]),
        ({"target": torch.tensor([5, 2])}, [{"target_class": 5}, {"target_class": 2}]),
        ({"target": 5, "contrast": torch.tensor(3)}, [{"target_class": 5, "contrast_class": 3}]),
        ({"max_evaluations": 9.0, "tolerance": np.float32(0.5)}, [{"max_evaluations": 9, "tolerance": 0.5}]),
        ({"quality": iter(("deletion", "stability"))}, [{"quality": ["deletion", "stability"]}]),
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
        ({"timeout": "5"}, TypeError, "timeout must be a positive"),
        ({"timeout": True}, TypeError, "timeout must be a positive"),
        ({"timeout": 1e10}, ValueError, "timeout must be a positive number of seconds, at most 1000000"),
        ({"request_id": 5}, TypeError, "request_id must be a str"),
        ({"seed": -1}, ValueError, "seed must be an integer from 0 to 4294967295, not -1"),
        ({"seed": 2**32}, ValueError, "seed must be an integer from 0 to 4294967295"),
        ({"seed": True}, TypeError, "seed must be an integer"),
        ({"version": 1}, TypeError, "version must be a str"),
        ({"version": ""}, ValueError, "version must be a str with at least one character"),
        ({"model": ["lite0"]}, TypeError, "model must be a str"),
        ({"view": 1}, TypeError, "view must be True or False, not 1"),
        ({"view": "true"}, TypeError, "view must be True or False"),
        ({"top_k": True}, TypeError, "top_k must be an integer"),
        ({"top_k": 2**31}, ValueError, "top_k must be an integer from -2147483648 to 2147483647"),
        ({"parts": 5}, TypeError, "parts must be a name or several names"),
        ({"methods": 5}, TypeError, "methods must be a name or several names"),
        ({"methods": ["rise", True]}, TypeError, "methods must be a name or several names"),
        ({"methods": b"rise"}, TypeError, "methods must be a name or several names"),
        ({"quality": [1]}, TypeError, "quality must be a name or several names"),
        ({"max_evaluations": 9.5}, TypeError, "max_evaluations must be an integer"),
        ({"tolerance": float("nan")}, ValueError, "tolerance must be a finite number"),
        ({"tolerance": "0.1"}, TypeError, "tolerance must be a finite number"),
        ({"channels": ""}, ValueError, "channels must be a str with at least one character"),
        ({"channels": True}, TypeError, "channels must be a str"),
        ({"target": True}, TypeError, "target must be a class's index or label"),
        ({"target": [0, True]}, TypeError, "target must be a class's index or label"),
        ({"target": -1}, ValueError, "an index from 0 to 2147483647"),
        ({"norms": 2}, TypeError, "norms must be a name or several names"),
        ({"budget": True}, TypeError, "budget must be the name of a budget, or an integer from 1 to 1000"),
        ({"budget": 0}, ValueError, "budget must be the name of a budget"),
        ({"budget": 1001}, ValueError, "budget must be the name of a budget"),
        ({"attack": 3}, TypeError, "attack must be a str"),
        ({"transfer": 1}, TypeError, "transfer must be True or False"),
        ({"twin": ""}, ValueError, "twin must be a str with at least one character"),
        ({"pictures": {"adversarial": 1}.values()}, TypeError, "pictures must be a name or several names"),
        ({"corruptions": 3}, TypeError, "corruptions must be a name or several names"),
        ({"attributes": [None]}, TypeError, "attributes must be a name or several names"),
        ({"sigma": "0.1"}, TypeError, "sigma must be a finite number"),
        ({"sigma": float("inf")}, ValueError, "sigma must be a finite number"),
        ({"sigma": 1, "alpha": True}, TypeError, "alpha must be a finite number"),
        ({"sede": 1}, TypeError, "sede"),
        ({"steps": 9}, TypeError, "steps"),
        ({"methods": ()}, ValueError, "at least one method"),
        ({"target": ()}, ValueError, "at least one class"),
        ({"target": 3.5}, TypeError, r"target must be a class's index or label .*, not 3\.5"),
        ({"target": ["tabby", ""]}, ValueError, "target must be a class's index or label with at least one character"),
        ({"contrast": [1]}, TypeError, "contrast must be a class's index or label"),
        ({"target": 2**31}, ValueError, "an index from 0 to 2147483647"),
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
        ({"sigma": 1, "samples": 2**31}, ValueError, "samples must be an integer"),
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
