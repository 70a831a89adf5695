"""One call gives what the service answers, bit for bit, and wrong arguments are named."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from linear import LABELS, linear, picture, slope
from whybox import v1
from whybox.v1.errors import FailedPreconditionError, InvalidRequestError, PictureError
from whybox_handlers import notebook
from whybox_handlers.explanations.explainers import EXPLAINERS
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.work.analyzer import Analyzer


def answered(classifier: Classifier, encoded: bytes, **parts: Any) -> v1.AnalyzeResponse:
    """The answer of a worker."""
    [result] = Analyzer(classifier).answer([v1.Work(request=v1.AnalyzeRequest(image=encoded, seed=3, **parts))])
    return result.response


def values_of(explanation: v1.Explanation) -> Tensor:
    sent = explanation.attribution
    plain = zlib.decompress(sent.data) if sent.compression else sent.data
    return torch.from_numpy(np.frombuffer(plain, "<f4").reshape(tuple(sent.shape)).copy())


@pytest.mark.parametrize(("attack", "norm"), [("fmn", "linf"), ("ddn", "l2"), ("square", "linf")])
def test_an_attack_is_the_services(attack: str, norm: str, classifier: Classifier, dalmatian: bytes) -> None:
    found = notebook.attack(classifier, dalmatian, norm=norm, budget=4, attack=attack, seed=3)
    options = v1.RobustnessOptions(norms=[norm], budget="4", attack=attack)
    [distance] = answered(classifier, dalmatian, robustness=options).robustness.distances
    assert found.adversarial is not None
    assert found.adversarial.distance == distance.distance
    assert found.adversarial.unflipped_distance == distance.unflipped_distance
    assert int(found.adversarial.logits.argmax()) == distance.adversarial_class.index
    assert found.gradient_evaluations == distance.gradient_evaluations
    assert found.searched_radius == distance.searched_radius


def offered(method: str, **options: Any) -> v1.ExplanationOptions:
    """With the defaults that the gateway fills in."""
    return EXPLAINERS[method].defaults(method, encodings=["float32"], channels="none", **options)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ({"method": "saliency"}, offered("saliency")),
        ({"method": "grad_cam", "target": "beagle"}, offered("grad_cam", target_class=162)),
        ({"method": "integrated_gradients"}, offered("integrated_gradients")),
        (
            {"method": "integrated_gradients", "target": 5, "contrast": 251, "baseline": "blur", "max_evaluations": 6},
            offered("integrated_gradients", target_class=5, contrast_class=251, baseline="blur", max_evaluations=6),
        ),
        (
            {"method": "smooth_grad", "max_evaluations": 8, "tolerance": 0.9, "seed": 3},
            offered("smooth_grad", max_evaluations=8, tolerance=0.9),
        ),
    ],
    ids=["saliency", "target", "defaults", "contrast", "seed"],
)
def test_a_map_is_the_services(
    arguments: dict[str, Any], options: v1.ExplanationOptions, classifier: Classifier, dalmatian: bytes
) -> None:
    attribution = notebook.explain(classifier, dalmatian, **arguments)
    [explanation] = answered(classifier, dalmatian, explanations=[options]).explanations
    assert explanation.status.code == 0, explanation.status.message
    assert torch.equal(attribution.values, values_of(explanation))
    assert (attribution.units, attribution.signed) == (explanation.units, explanation.signed)
    assert attribution.stopped_by == explanation.stopped_by


def test_a_picture_may_be_bytes_a_path_or_a_tensor(
    classifier: Classifier, pictures: dict[Path, int], dalmatian: bytes
) -> None:
    path = next(path for path, label in pictures.items() if label == 251)
    view, _ = classifier.see(dalmatian)
    maps = [notebook.explain(classifier, given, "saliency").values for given in (dalmatian, path, str(path), view)]
    assert all(torch.equal(values, maps[0]) for values in maps)


def test_the_archive_is_loaded(archive: Path, classifier: Classifier, dalmatian: bytes) -> None:
    loaded = notebook.load(str(archive))
    view, _ = loaded.see(dalmatian)
    assert torch.equal(loaded.serve(view[None]), classifier.serve(view[None]))


def test_the_distance_of_a_linear_model_is_exact() -> None:
    of = picture()
    classifier, _ = linear(0.05, of)
    found = notebook.attack(classifier, of)
    assert found.adversarial is not None
    assert found.adversarial.distance == pytest.approx(0.05, rel=1e-3)
    assert found.gradient_evaluations <= 12


def test_numbers_may_be_scalars_of_other_libraries() -> None:
    of = picture()
    classifier, _ = linear(0.05, of)
    plain = notebook.explain(classifier, of, "smooth_grad", target=1, max_evaluations=4, tolerance=0.0, seed=3)
    others = {
        "target": torch.tensor(1),
        "max_evaluations": np.int64(4),
        "tolerance": np.float32(0),
        "seed": np.array(3),
    }
    given: Any = others
    assert torch.equal(notebook.explain(classifier, of, "smooth_grad", **given).values, plain.values)


@pytest.mark.parametrize(("index", "error"), [(-1, ValueError), (3, ValueError), (True, TypeError), ("cat", TypeError)])
def test_labels_are_not_counted_from_the_end(index: Any, error: type[Exception]) -> None:
    classifier, _ = linear(0.05, picture())
    assert [classifier.label(each) for each in (0, 2)] == ["cat", "cow"]
    with pytest.raises(error, match="index must be an integer from 0 to 2, not"):
        classifier.label(index)


def test_devices_that_torch_does_not_know() -> None:
    with pytest.raises(InvalidRequestError, match="device 'gpu' is unknown to torch"):
        notebook.load("no.mar", device="gpu")


@pytest.mark.parametrize(("contrast", "lead"), [("dog", 1), (1, 1)])
def test_the_map_of_a_linear_model_sums_to_the_difference_from_the_baseline(contrast: str | int, lead: int) -> None:
    of, baseline = picture(), picture(1)
    classifier, _ = linear(0.05, of)
    attribution = notebook.explain(classifier, of, "integrated_gradients", contrast=contrast, baseline=baseline)
    before, after = classifier.serve(torch.stack([baseline, of]))
    change = float((after[0] - after[lead]) - (before[0] - before[lead]))
    assert float(attribution.values.sum()) == pytest.approx(change, rel=1e-4)
    assert float(after[0] - after[lead]) == pytest.approx(0.05 * slope(classifier), rel=1e-3)


@pytest.mark.parametrize(
    ("wrong", "field", "words"),
    [
        ({"attack": "fgsm"}, "attack", "attack 'fgsm' is unknown; use one of fmn, "),
        ({"norm": "l1"}, "norm", "norm 'l1' is unknown for fmn; use one of linf, l2"),
        ({"attack": "ddn"}, "norm", "norm 'linf' is unknown for ddn; use one of l2"),
        ({"budget": 0}, "budget", "budget must be an integer from 1 to 2147483647, not 0"),
        ({"budget": True}, "budget", "budget must be an integer"),
        ({"budget": "12"}, "budget", "budget must be an integer"),
        ({"budget": 2**31}, "budget", "budget must be an integer"),
        ({"seed": -1}, "seed", "seed must be an integer from 0 to 4294967295"),
        ({"seed": 2**32}, "seed", "seed must be an integer"),
        ({"norm": ["l2"]}, "norm", "norm must be a str"),
        ({"norm": 2}, "norm", "norm must be a str"),
        ({"attack": None}, "attack", "attack must be a str"),
        ({"view": 1}, "view", "view must be True or False"),
    ],
)
def test_wrong_arguments_of_an_attack(wrong: dict[str, Any], field: str, words: str) -> None:
    of = picture()
    classifier, _ = linear(0.05, of)
    with pytest.raises(InvalidRequestError, match=words) as raised:
        notebook.attack(classifier, of, **wrong)
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("wrong", "field", "words"),
    [
        ({"method": "lime"}, "method", "method 'lime' is unknown; use one of saliency, "),
        ({"target": 3}, "target", r"an index from 0 to 2\), not 3"),
        ({"target": "dig"}, "target", "no class has the label 'dig'; did you mean 'dog'"),
        ({"target": "zzz"}, "target", "classifier.model.labels lists"),
        ({"contrast": "cat"}, "contrast", "contrast is the target itself, class 0"),
        ({"baseline": "white"}, "baseline", "baseline 'white' is unknown; use one of black, "),
        ({"baseline": torch.zeros(3, 2, 2)}, "baseline", r"baseline has the shape \[3, 2, 2\]; give \[3, 8, 8\]"),
        ({"method": "saliency", "baseline": "black"}, "baseline", "saliency takes no baseline; leave it out"),
        ({"method": "saliency", "tolerance": 0.1}, "tolerance", "saliency takes no tolerance"),
        ({"method": "saliency", "max_evaluations": 9}, "max_evaluations", "saliency takes no max_evaluations"),
        (
            {"max_evaluations": 3},
            "max_evaluations",
            "an integer from 4, which integrated_gradients needs, to 2147483647, not 3",
        ),
        ({"tolerance": 1.5}, "tolerance", "tolerance must be a number from 0 to 1, not 1.5"),
        ({"tolerance": float("nan")}, "tolerance", "tolerance must be a number from 0 to 1, not nan"),
        ({"tolerance": "0.5"}, "tolerance", "tolerance must be a number"),
        ({"max_evaluations": True}, "max_evaluations", "max_evaluations must be an integer"),
        ({"max_evaluations": 9.5}, "max_evaluations", "max_evaluations must be an integer"),
        ({"target": True}, "target", "target must be a class's index or label"),
        ({"target": -1}, "target", "target must be a class's index or label"),
        ({"target": [1]}, "target", "target must be a class's index or label"),
        ({"contrast": 2.5}, "contrast", "contrast must be a class's index or label"),
        ({"baseline": 7}, "baseline", "baseline must be one of black, grey, blur, mean or a tensor, not int"),
        ({"baseline": Path("a.png")}, "baseline", "or a tensor, not PosixPath"),
        ({"seed": True}, "seed", "seed must be an integer"),
        ({"method": 3}, "method", "method must be a str"),
    ],
)
def test_wrong_arguments_of_a_map(wrong: dict[str, Any], field: str, words: str) -> None:
    of = picture()
    classifier, _ = linear(0.05, of)
    with pytest.raises(InvalidRequestError, match=words) as raised:
        notebook.explain(classifier, of, **({"method": "integrated_gradients"} | wrong))
    assert raised.value.field == field


def test_a_label_of_two_classes_needs_an_index() -> None:
    of = picture()
    classifier, _ = linear(0.05, of)
    classifier.model.labels[:] = [*LABELS[:2], "dog"]
    with pytest.raises(InvalidRequestError, match="target 'dog' names the classes 1 and 2; give the index"):
        notebook.explain(classifier, of, "saliency", target="dog")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda of: of[None], r"the shape \[1, 3, 8, 8\]"),
        (lambda of: of[:1], r"the shape \[1, 8, 8\]; give \[3, height, width\]"),
        (lambda of: (255 * of).byte(), "holds torch.uint8; give floating-point"),
        (lambda of: 2 * of, r"has values outside \[0, 1\]"),
        (lambda of: of * torch.nan, r"has values outside \[0, 1\]"),
        (lambda _: b"no picture", "this looks like text"),
        (lambda _: 7, "picture must be an encoded picture, the path of one or a tensor, not int"),
        (lambda of: of.numpy(), "or a tensor, not ndarray"),
        (lambda _: "a\0b", "picture must be an encoded picture"),
    ],
)
def test_pictures_that_do_not_fit(spoil: Callable[[Tensor], notebook.Picture], words: str) -> None:
    of = picture()
    classifier, _ = linear(0.05, of)
    given = spoil(of)
    with pytest.raises(PictureError, match=words):
        notebook.attack(classifier, given)
    with pytest.raises(PictureError, match=words):
        notebook.explain(classifier, given, "saliency")


def test_a_tensor_has_the_models_crop(classifier: Classifier) -> None:
    with pytest.raises(PictureError, match=r"give \[3, 224, 224\]"):
        notebook.attack(classifier, torch.zeros(3, 32, 32))


def test_methods_that_the_model_does_not_offer_say_why(classifier: Classifier, dalmatian: bytes) -> None:
    with pytest.raises(FailedPreconditionError, match="guided_grad_cam: it fails the model-randomisation test"):
        notebook.explain(classifier, dalmatian, "guided_grad_cam")
    of = picture()
    plain, _ = linear(0.05, of)
    with pytest.raises(FailedPreconditionError, match="grad_cam reads the last feature maps"):
        notebook.explain(plain, of, "grad_cam")
