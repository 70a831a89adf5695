"""The bound of an answer against real answers: a real analyzer behind the gateway, on noise, which packs badly."""

import math
import random
from collections.abc import Iterator
from contextlib import aclosing
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from google.rpc import code_pb2
from PIL import Image
from torch import nn

from architectures import network_of
from messages import message
from server.backends import Asked, FakeBackend, Outcome
from whybox import v1
from whybox.v1.vocabulary import MAP_PICTURES, NUMBERS, SET_METHODS
from whybox_handlers.explanations.examples import example_method
from whybox_handlers.explanations.explainers import EXPLAINERS
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.models.runtimes.serving import TorchServing
from whybox_handlers.references import References, ReferenceWriter
from whybox_handlers.robustness.attacks import ATTACKS, NORMS
from whybox_handlers.robustness.corruptions import CORRUPTIONS
from whybox_handlers.work.analyzer import Analyzer
from whybox_server.gateway.audits import AuditFiles
from whybox_server.gateway.core import Gateway, detached
from whybox_server.gateway.deployment import Deployment
from whybox_server.gateway.parts import OPTIONS
from whybox_server.gateway.receipts import receipt
from whybox_server.gateway.sizes.room import Bound, bound
from whybox_server.gateway.sizes.served import Served
from whybox_server.gateway.spool import Spool
from whybox_server.monitoring.metrics import Metrics
from whybox_server.validation.request import validated

SIDE = 96
LABELS = ["ein sehr langer Name für eine Klasse, wie er in manchen Datensätzen steht", "b", "c", "d", "e"]


def method(name: str) -> v1.Method:
    """As packing writes it."""
    row = EXPLAINERS[name]
    return v1.Method(
        name=name,
        options=row.options,
        min_evaluations=row.min_evaluations,
        default_evaluations=row.min_evaluations if row.default_evaluations else 0,
        default_tolerance=row.default_tolerance or 0.0,
        default_baseline=row.default_baseline,
        map_shape=row.map_shape(SIDE, (SIDE // 2 - 1, SIDE // 2 - 1)),
    )


AUDIT = v1.Audit(references=v1.References(pictures=1))


def manifest(name: str) -> v1.Model:
    return v1.Model(
        name=name,
        version="1.0",
        preprocessing=v1.Preprocessing(resize=SIDE, crop=SIDE),
        num_classes=len(LABELS),
        labels=LABELS,
        methods=[*map(method, EXPLAINERS), example_method(v1.Model(audit=AUDIT))],
        norms=NORMS,
        attacks=[v1.Attack(name=name, norms=attack.norms) for name, attack in ATTACKS.items()],
        default_attack="fmn",
        corruptions=[
            v1.CorruptionKind(name=name, group=corruption.group, severities=len(corruption.strengths))
            for name, corruption in CORRUPTIONS.items()
        ],
    )


ATTRIBUTES = [f"Attribut {'ß' * 60} {number}" for number in range(20)]


def findings() -> v1.Bank:
    """Long findings on every class, whichever the network predicts, and pictures to compare it with."""
    bank = v1.Bank()
    distances = [v1.ReferenceDistances(norm=norm, distances=[0.1] * 5 + [math.inf] * 55) for norm in NORMS]
    for index, label in enumerate(LABELS):
        flags = [
            v1.BiasFlag(
                state="flagged",
                attribute=attribute,
                class_index=index,
                class_label=label,
                effect=-0.5,
                message="easier to attack " * 100,
                reasons=["one", "two" * 100],
                repeats=[v1.Repeat(what="norm l2", effect=-0.4)] * 3,
                notes=[v1.Note(text="ß" * 200, name="A. Reviewer", date="2026-03-04")] * 3,
            )
            for attribute in ATTRIBUTES[: index + 2]
        ]
        examples = [v1.Example(id=f"{'folder/' * 10}{number}.jpg", distance=0.01) for number in range(20)]
        found = v1.Bias(flags=flags, prototypes=examples, criticisms=examples, audit_id="a1", norm="linf")
        bank.classes.add(class_index=index, findings=found, distances=distances, trained_on=60)
    for method in SET_METHODS:
        bank.thresholds.add(method=method, thresholds=[-1], covered=[3])
    return bank


BANK = findings()
MODELS = [manifest("m"), manifest("n")]
MODELS[0].audit.CopyFrom(
    v1.Audit(
        id="a" * 16,
        data_set="ein Datensatz " * 20,
        attributes=ATTRIBUTES,
        attack="fmn",
        norms=NORMS,
        budget=2,
        largest_findings=max(audited.findings.ByteSize() for audited in BANK.classes),
        calibration=v1.Calibration(
            state="ok", data_set="\U00010000" * 250, n=1, coverage_n=50, pictures=51, methods=SET_METHODS
        ),
    )
)


def pictured(folder: Path, dimensions: int) -> References:
    """60 pictures with long ids and random thumbnails; the manifest learns how large they are."""
    drawn = np.random.default_rng(0)
    writer = ReferenceWriter(folder, dimensions)
    pictures = [
        v1.Neighbour(
            id=f"{'folder/' * number}{number}.jpg",
            sha256="f" * 64,
            class_index=number % len(LABELS),
            class_label=LABELS[number % len(LABELS)],
            predicted=v1.ClassScore(index=0, label=LABELS[0], probability=0.3),
            distance=0.01,
            thumbnail=drawn.bytes(40 * number),
        )
        for number in range(60)
    ]
    features = drawn.random((60, dimensions), dtype=np.float32)
    writer.add(features, pictures, [number // 5 % 3 for number in range(60)])
    found = v1.References(
        pictures=writer.finish(),
        thumbnails=60,
        largest_record=writer.largest_record,
        largest_thumbnail=writer.largest_thumbnail,
    )
    MODELS[0].audit.references.CopyFrom(found)
    return References(folder)


class Analyzing(FakeBackend):
    """Workers without a server: the analyzer answers at once."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        torch.manual_seed(0)
        features = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU())
        head = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(1), nn.Linear(128, len(LABELS)))
        network = Differentiable(network_of(*head, features=features), [0.5] * 3, [0.25] * 3)
        references, device = pictured(folder, 8), torch.device("cpu")
        self._analyzers = {
            model.name: Analyzer(
                Classifier(model, network, TorchServing(network), device, bank=BANK, references=references)
            )
            for model in MODELS
        }

    async def outcome(self, asked: Asked) -> Outcome:
        [result] = self._analyzers[asked.model].answer([asked.work])
        return result


@pytest.fixture(scope="module")
def image() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def analyzing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    backend = Analyzing(tmp_path_factory.mktemp("references"))
    with Spool() as spool:
        yield Gateway(Deployment(MODELS, backend, AuditFiles({})), Metrics(), spool, max_image_bytes=2**20)


def bounded(request: v1.AnalyzeRequest) -> Bound:
    picture, rest = detached(request)
    filled = validated(rest, picture, MODELS[0], OPTIONS, 2**20)
    model, *others = map(Served.of, MODELS)
    common = v1.AnalyzeResponse(
        request_id="id-1", model="m", version="1.0", receipt=receipt(filled, picture, MODELS[0])
    )
    return bound(filled, model, others, common)


def maps(*methods: str, **options: Any) -> dict[str, Any]:
    return {"explanations": [{"method": name, **options} for name in methods]}


EVERY_METHOD = list(EXPLAINERS)
EVERYTHING = [*MAP_PICTURES, "float32"]
ATTACKED = {"norms": ["linf", "l2"], "budget": "2"}

REQUESTS: dict[str, dict[str, Any]] = {
    **{f"{dtype} maps": maps(*EVERY_METHOD, encodings=[dtype]) for dtype in NUMBERS},
    **{f"{dtype} channels": maps(*EVERY_METHOD, encodings=[dtype], channels="none") for dtype in NUMBERS},
    **{f"a {picture}": maps("saliency", "grad_cam", encodings=[picture]) for picture in MAP_PICTURES},
    "everything of a map": maps(
        "integrated_gradients",
        "rise",
        encodings=EVERYTHING,
        channels="none",
        quality=["all"],
        target_class=0,
        contrast_class=1,
    ),
    "a map that fails": maps("grad_cam", "guided_grad_cam", "saliency", encodings=["float32"]),
    "examples": maps("example"),
    "many examples": maps("example", examples=20),
    "thumbnails": maps("example", examples=20, thumbnails=True),
    "thumbnails beside maps": {"explanations": [{"method": "example", "thumbnails": True}, {"method": "grad_cam"}]},
    "a prediction": {"prediction": {"top_k": len(LABELS)}},
    "a set of all classes": {"prediction": {"set_method": "aps", "set_alpha": 0.4}},
    "a set of one class": {"prediction": {"set_method": "lac", "set_alpha": 0.5}},
    "bias": {"prediction": {}, "bias": {"attributes": ["ü" * 100, *map(str, range(31))]}},
    "bias of the audited attributes": {"bias": {"attributes": [*ATTRIBUTES, "ü" * 100, "\U00010000" * 100]}},
    "bias of every attribute": {"bias": {}},
    "distances": {"robustness": ATTACKED},
    "pictures of distances": {"robustness": {**ATTACKED, "encodings": ["adversarial", "change"]}},
    "all of robustness": {
        "robustness": {
            **ATTACKED,
            "encodings": ["adversarial", "change"],
            "twin": "saliency",
            "transfer": True,
            "corruptions": ["all"],
        }
    },
    "a certificate": {"certified": {"sigma": 0.1, "samples": 100}},
}


@pytest.mark.parametrize("parts", REQUESTS.values(), ids=REQUESTS)
async def test_no_answer_is_larger_than_its_bound(analyzing: Gateway, image: bytes, parts: dict[str, Any]) -> None:
    request = message(v1.AnalyzeRequest, model="m", image=image, **parts)
    answer = await analyzing.analyze(request, request_id="id-1", timeout=60)
    assert answer.ByteSize() <= bounded(request).whole


def random_parts(seed: int) -> dict[str, Any]:
    drawn = random.Random(seed)
    explanations = [
        {
            "method": drawn.choice(EVERY_METHOD),
            "encodings": [drawn.choice(NUMBERS), *drawn.sample(MAP_PICTURES[:2], drawn.randint(0, 2))],
            "channels": drawn.choice(["sum", "none"]),
            "target_class": drawn.randrange(len(LABELS)),
            "quality": drawn.choice([[], ["stability"]]),
        }
        for _ in range(drawn.randint(1, 16))
    ]
    attacked = {
        **ATTACKED,
        "encodings": drawn.sample(["adversarial", "change"], drawn.randint(0, 2)),
        "twin": drawn.choice(["", "saliency", "grad_cam"]),
        "transfer": drawn.choice([False, True]),
        "corruptions": drawn.choice([[], ["blur"]]),
    }
    return {
        "prediction": {},
        "explanations": explanations,
        **({"robustness": attacked} if drawn.random() < 0.5 else {}),
    }


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_is_asked_for(analyzing: Gateway, image: bytes, seed: int) -> None:
    """Whole and in pieces: a caller who takes as much as the bound says gets all of it."""
    request = message(v1.AnalyzeRequest, model="m", image=image, **random_parts(seed))
    limits = bounded(request)
    answer = await analyzing.analyze(request, request_id="id-1", timeout=60, max_message_bytes=limits.whole)
    assert answer.ByteSize() <= limits.whole
    # A map may be beyond float16.
    assert code_pb2.OK in {part.status.code for part in answer.explanations}
    merged, sizes = v1.AnalyzeResponse(), []
    stream = analyzing.stream(request, request_id="id-1", timeout=60, max_message_bytes=limits.piece)
    async with aclosing(stream) as parts:
        async for part in parts:
            sizes.append(part.ByteSize())
            merged.MergeFrom(part)
    assert max(sizes) <= limits.piece
    merged.explanations.sort(key=lambda explanation: explanation.index)
    for whole in (answer, merged):
        whole.ClearField("timings")
    assert merged == answer


@pytest.mark.parametrize(
    ("parts", "factor"),
    [
        (maps("saliency", "smooth_grad", encodings=["float32"], channels="none"), 1.2),
        (maps("saliency", "smooth_grad", encodings=["float16"], channels="none"), 1.4),
        (maps("saliency", "smooth_grad", channels="none"), 2),
        (maps("saliency", encodings=["float32", "heat_map", "overlay"]), 3),
        ({"robustness": {**ATTACKED, "encodings": ["adversarial"]}}, 1.6),
        (maps(*["example"] * 4, examples=4, thumbnails=True), 5),
    ],
    ids=["float32", "float16", "uint8", "pictures of maps", "adversarial pictures", "thumbnails"],
)
async def test_the_bound_is_near(analyzing: Gateway, image: bytes, parts: dict[str, Any], factor: float) -> None:
    request = message(v1.AnalyzeRequest, model="m", image=image, **parts)
    answer = await analyzing.analyze(request, request_id="id-1", timeout=60)
    assert bounded(request).whole <= factor * answer.ByteSize()
