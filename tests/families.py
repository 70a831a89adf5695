"""The smallest member of each family of torchvision's classifiers: packed untrained, served, and asked everything."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchvision
import yaml

from architectures import CLASSES, randomise
from whybox import Analysis, Client, Explanation, FailedPreconditionError
from whybox.results import ModelInfo
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.spec import load_spec
from whybox_handlers.packing.check_pictures import read_views

FAMILIES = {
    "alexnet": 224,
    "convnext_tiny": 224,
    "densenet121": 224,
    "efficientnet_b0": 224,
    "googlenet": 224,
    "inception_v3": 299,
    "maxvit_t": 224,
    "mnasnet0_5": 224,
    "mobilenet_v3_small": 224,
    "regnet_x_400mf": 224,
    "regnet_y_400mf": 224,
    "resnet18": 224,
    "shufflenet_v2_x0_5": 224,
    "squeezenet1_1": 224,
    "swin_t": 224,
    "swin_v2_t": 256,
    "vgg11": 224,
    "vit_b_32": 224,
}
"""Name of torchvision's builder, and the side of the pictures that it was made for. MobileNetV2 has real weights, in
`model_store/`."""
_CALIBRATION_PICTURES = 8
# Every method, and none to its end: its loop is the same.
_EVALUATIONS = 8
_TIMEOUT = 300


def write_spec(name: str, folder: Path) -> Path:
    """Writes a member of `FAMILIES` with random weights: its spec, and its weights as training would save them.

    Auxiliary heads are among the weights. Check pictures are real ones.
    """
    side = FAMILIES[name]
    model = name.replace("_", "-").replace(".", "-")
    weights, path = folder / f"{model}.pth", folder / f"{model}.yaml"
    entries = {
        "name": model,
        "version": "1.0",
        "title": f"{name}, untrained",
        "architecture": f"torchvision/{name}",
        "weights": {"file": weights.name},
        "preprocessing": {"resize": side, "crop": side, "mean": [127.5] * 3, "std": [127.5] * 3},
        "labels": [f"class {index}" for index in range(CLASSES)],
        "check_pictures": {"package": "foolbox", "files": "data/imagenet_*.jpg"},
    }
    path.write_text(yaml.safe_dump(entries))
    torch.manual_seed(0)
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    network = torchvision.models.get_model(name, weights=None, num_classes=CLASSES, **options).eval()
    views = [*read_views(load_spec(path)).values()][:_CALIBRATION_PICTURES]
    randomise(network, (torch.stack(views) - 0.5) / 0.5)
    torch.save(network.state_dict(), weights)
    return path


def ask_everything(
    client: Client, model: str, classifier: Classifier, image: bytes, report: Callable[[str], None]
) -> dict[str, Explanation]:
    """Asks a served model for all that it offers; an AssertionError says what is wrong with an answer.

    Args:
        client: Of the server.
        model: Name of the model.
        classifier: The same model, loaded in this process.
        image: An encoded picture.
        report: Called with each step, in a few words.

    Returns:
        The maps by method.
    """
    report("predicting")
    info = client.model(model)
    answer = client.analyze(image, model=model, parts="prediction", top_k=info.num_classes, timeout=_TIMEOUT)
    _assert_prediction(answer, classifier, image)
    maps = {}
    for method in info.methods:
        report(method.name)
        if method.unavailable:
            _assert_refused(client, info, method.name, method.unavailable, image)
            continue
        evaluations = max(_EVALUATIONS, method.min_evaluations) if method.default_evaluations else None
        [found] = client.explain(
            image, method.name, model=model, max_evaluations=evaluations, encodings="float32", timeout=_TIMEOUT
        )
        assert found.error is None, (model, method.name, found.error)
        assert np.isfinite(found.attribution).all(), (model, method.name)
        assert np.ptp(found.attribution) > 0, (model, method.name)
        maps[method.name] = found
    report("robustness")
    robustness = client.robustness(image, model=model, norms=info.norms, budget="fast", timeout=_TIMEOUT)
    assert robustness.error is None, (model, robustness.error)
    assert [distance.norm for distance in robustness.distances] == list(info.norms), model
    return maps


def assert_alike(ours: dict[str, Explanation], theirs: dict[str, Explanation]) -> None:
    """Fails unless two transports brought the same maps."""
    assert ours.keys() == theirs.keys()
    for method, one in ours.items():
        difference = np.abs(one.attribution - theirs[method].attribution).max()
        assert difference <= 1e-4 * np.ptp(one.attribution), (method, difference)


def _assert_prediction(answer: Analysis, classifier: Classifier, image: bytes) -> None:
    """The server's probabilities are those of the torch network in this process."""
    assert answer.prediction is not None
    assert answer.prediction.error is None, answer.prediction.error
    view, _ = classifier.see(image)
    with torch.no_grad():
        expected = torch.softmax(classifier.network(view[None])[0].double(), dim=0)
    for each in answer.prediction.classes:
        assert abs(each.probability - float(expected[each.index])) < 1e-4, (answer.model, each)


def _assert_refused(client: Client, info: ModelInfo, method: str, words: str, image: bytes) -> None:
    """A method that the model does not offer says why, in the words of `GetModel`."""
    try:
        client.explain(image, method, model=info.name, timeout=_TIMEOUT)
    except FailedPreconditionError as error:
        assert words in error.message, (info.name, method, error.message)  # noqa: PT017 -- outside pytest too
    else:
        raise AssertionError(f"{info.name}: {method} answered, and {words}")
