"""The same map, to the last bit, whatever else is computed; and the batch sizes that make it so."""

from io import BytesIO

import pytest
import torch
from torch import Tensor, nn

from architectures import CONVOLUTIONAL, classifier_of, network_of, random_classifier, random_pictures, side_of
from whybox import v1
from whybox_handlers.explanations.explainers import EXPLAINERS
from whybox_handlers.explanations.explaining import question_of
from whybox_handlers.explanations.propagation.rules import guided_gradients, rescaled_multipliers
from whybox_handlers.models import networks
from whybox_handlers.models.arithmetic import kernels
from whybox_handlers.models.case import Case
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.runtimes.serving import OnnxServing
from whybox_handlers.models.subject import Subject
from whybox_handlers.packing.onnx_export import export
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.batch_sizes import LARGEST, batch_size, ensure_measured, measured
from whybox_handlers.passes.computations import (
    Compute,
    differentiate,
    differentiate_head,
    differentiate_margin,
    serve,
    serve_alone,
)
from whybox_handlers.passes.occluded import Occluded
from whybox_handlers.passes.scheduler import Task, run
from whybox_handlers.pictures.levels import image
from whybox_handlers.work.analyzer import Analyzer

LITE0 = "efficientnet_lite/efficientnet-lite0"
TRANSFORMER = "torchvision/vit_b_32"
# Their maps are made by every method; those of the others, for the sake of time, by one method of each kind of pass.
THOROUGH = (LITE0, "torchvision/efficientnet_b0", "torchvision/mobilenet_v3_small", "torchvision/squeezenet1_1")
KINDS = ("saliency", "integrated_gradients", "kernel_shap")
EVALUATIONS = {"gradient": 6, "forward": 70}
LIMITED = {"integrated_gradients": {"max_evaluations": 12}}
METHODS = list(EXPLAINERS)


def served(architecture: str) -> Classifier:
    """By ONNX Runtime, with its batch sizes."""
    if architecture == TRANSFORMER:
        torch.manual_seed(0)
        # Torchvision begins with a head of zeros.
        network = networks.build(architecture, 7)
        nn.init.normal_(network.head.get_parameter("heads.head.weight"))
        side, classifier = 224, classifier_of(network)
    else:
        side, classifier = side_of(architecture), random_classifier(architecture)
    classifier.serving = OnnxServing(export(classifier.network, side), classifier.device)
    classifier.model.MergeFrom(
        v1.Model(num_classes=7, labels="abcdefg", preprocessing=v1.Preprocessing(resize=side, crop=side))
    )
    classifier.batch_sizes = measured(classifier, random_pictures(2, side))
    return classifier


def task(classifier: Classifier, picture: Tensor, method: str) -> Task[Tensor]:
    row = EXPLAINERS[method]
    budget = max(EVALUATIONS[row.evaluations], row.min_evaluations) if row.default_evaluations else None
    options = row.defaults(method, target_class=1, **({"tolerance": 0.0} if row.default_tolerance else {}))
    case = Case(classifier, Subject(picture, v1.View(), *classifier.look(picture[None]).row(0)))

    async def values() -> Tensor:
        passes = Passes(Limits(), budget, row.evaluations)
        return (await row.explain(passes, question_of(case, options))).values

    return Task(values(), Limits())


def maps(classifier: Classifier, *asked: tuple[Tensor, str]) -> list[Tensor]:
    tasks = [task(classifier, *each) for each in asked]
    run(classifier, tasks)
    return [each.result() for each in tasks]


@pytest.fixture(scope="module", params=[LITE0, *CONVOLUTIONAL, TRANSFORMER])
def architecture(request: pytest.FixtureRequest) -> str:
    """Of the module, so that the tests of one architecture follow each other and only one is in memory."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def classifier(architecture: str) -> Classifier:
    return served(architecture)


def test_a_map_has_the_same_bits_alone_thrice_and_among_others(architecture: str, classifier: Classifier) -> None:
    picture, other = random_pictures(2, classifier.model.preprocessing.crop)
    methods = [
        name
        for name in METHODS
        if not EXPLAINERS[name].needs_maps or classifier.network.features is not None
        if architecture in THOROUGH or name in KINDS
    ]
    alone = {method: maps(classifier, (picture, method))[0] for method in methods}
    # Every method at once, beside another caller's picture, which is taken first.
    asked = [(each, method) for each in (other, picture, picture, picture) for method in methods]
    made = list(zip(asked, maps(classifier, *asked), strict=True))[len(methods) :]
    differing = {method for (_, method), values in made if not torch.equal(values, alone[method])}
    assert not differing


def test_a_prediction_has_the_same_bits_alone_and_among_others(classifier: Classifier) -> None:
    pictures = random_pictures(7, classifier.model.preprocessing.crop)
    alone = [classifier.look(picture[None]).row(0) for picture in pictures]
    for count in range(2, len(pictures) + 1):
        together = classifier.look(pictures[-count:])
        for row, expected in enumerate(alone[-count:]):
            found = together.row(row)
            assert torch.equal(found.logits, expected.logits)
            assert expected.maps is None or (found.maps is not None and torch.equal(found.maps, expected.maps))


def request(picture: Tensor) -> v1.AnalyzeRequest:
    shown = BytesIO()
    image(picture).save(shown, format="PNG")
    asked = v1.AnalyzeRequest(image=shown.getvalue(), prediction=v1.PredictionOptions(top_k=7))
    for method in ("integrated_gradients", "deep_lift", "integrated_gradients", "grad_cam", "integrated_gradients"):
        asked.explanations.add().CopyFrom(
            EXPLAINERS[method].defaults(method, encodings=["float32"], target_class=1, **LIMITED.get(method, {}))
        )
    return asked


def test_an_answer_has_the_same_bits_alone_and_among_those_of_other_callers() -> None:
    analyzer = Analyzer(served("torchvision/efficientnet_b0"))
    first, *others = [v1.Work(request=request(picture)) for picture in random_pictures(3)]

    def answer(*batch: v1.Work) -> v1.AnalyzeResponse:
        response = analyzer.answer(batch)[-1].response
        assert not any(part.status.code for part in response.explanations)
        return v1.AnalyzeResponse(prediction=response.prediction, explanations=response.explanations)

    alone = answer(first)
    assert alone == answer(*others, first)
    same = [part.attribution for part in alone.explanations if part.method == "integrated_gradients"]
    assert len(same) == 3
    assert same[0] == same[1] == same[2]


class Sensitive(nn.Module):
    """Rounds differently from a number of rows on."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self._rows = rows

    def forward(self, rows: Tensor) -> Tensor:
        return rows * (1 + 1e-6) if len(rows) >= self._rows else rows


@pytest.mark.parametrize("rows", [2, 3, 4, 5])
def test_the_largest_safe_size_is_found(rows: int) -> None:
    layer = nn.Linear(3 * 8 * 8, 2)
    # One number for each class: the rounding of a matrix product is another matter.
    layer.weight.detach().zero_()[:, 0] = torch.tensor([1.0, -1.0])
    classifier = classifier_of(network_of(Sensitive(rows), nn.Flatten(1), layer))
    found = measured(classifier, random_pictures(2, 8))
    assert (found.forward, found.occluded, found.gradient) == (min(rows - 1, LARGEST),) * 3


def test_a_network_that_draws_at_random_takes_rows_one_by_one() -> None:
    dropout = nn.Dropout(0.5)
    classifier = classifier_of(network_of(dropout, nn.Flatten(1), nn.Linear(3 * 8 * 8, 2)))
    dropout.train()
    found = measured(classifier, torch.empty(0, 3, 8, 8))
    assert (found.forward, found.occluded, found.gradient) == (1, 1, 1)


SIZES = v1.BatchSizes(forward=2, occluded=3, gradient=4)
BLACK = torch.zeros(3, 8, 8)


@pytest.mark.parametrize(
    ("compute", "known", "unknown"),
    [
        (serve, 2, 1),
        (Occluded(BLACK, [BLACK]), 3, 1),
        (differentiate, 4, 1),
        (guided_gradients, 1, 1),
        (rescaled_multipliers, 1, 1),
        (differentiate_head, 1, 1),
        # These take rows one by one themselves.
        (serve_alone, LARGEST, LARGEST),
        (differentiate_margin, LARGEST, LARGEST),
    ],
)
def test_each_kind_of_pass_has_its_size(compute: Compute, known: int, unknown: int) -> None:
    classifier = classifier_of(network_of(nn.Flatten(1), nn.Linear(3 * 8 * 8, 2)))
    assert batch_size(classifier, compute) == unknown
    classifier.batch_sizes = SIZES
    assert batch_size(classifier, compute) == known
    classifier.device = torch.device("meta")
    assert batch_size(classifier, compute) == 64


def test_a_worker_measures_only_what_was_not_found_for_it(caplog: pytest.LogCaptureFixture) -> None:
    classifier = classifier_of(network_of(nn.Flatten(1), nn.Linear(3 * 8 * 8, 2)))
    classifier.model.preprocessing.crop = 8
    classifier.model.name = "small"
    ensure_measured(classifier)
    assert dict(classifier.batch_sizes.runtime) == kernels()
    assert classifier.batch_sizes.forward >= 1
    assert "small was packed for another processor" in caplog.text
    caplog.clear()
    classifier.batch_sizes = known = v1.BatchSizes(forward=2, runtime=kernels())
    ensure_measured(classifier)
    assert classifier.batch_sizes is known
    assert not caplog.text


def test_bits_depend_on_the_number_of_threads() -> None:
    before, threads = kernels(), torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert kernels() == before | {"threads": str(threads + 1)}
    finally:
        torch.set_num_threads(threads)
