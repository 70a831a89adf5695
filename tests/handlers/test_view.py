"""A picture that is the view itself is looked at pixel by pixel, whatever is asked about it."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from linear import linear
from messages import message
from whybox import v1
from whybox.v1.errors import PictureError, error_from_status
from whybox_handlers import notebook, replay
from whybox_handlers.audits.measuring import Measured, measure
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject
from whybox_handlers.pictures.decoding import as_view, decode
from whybox_handlers.pictures.levels import rounded
from whybox_handlers.work.analyzer import Analyzer

SIDE = 16
NORMS = ["linf", "l2"]


def encoded(picture: torch.Tensor) -> bytes:
    """[3, H, W] in [0, 1], a multiple of 1 / 255, as PNG."""
    file = io.BytesIO()
    Image.fromarray((picture * 255).round().byte().permute(1, 2, 0).numpy()).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def view() -> torch.Tensor:
    return rounded(0.3 + 0.4 * torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def model(view: torch.Tensor) -> Classifier:
    """Linear, and different for a picture that is resized: its boundary is two grey levels from the view."""
    classifier, _ = linear(2 / 255, view)
    classifier.model.preprocessing.CopyFrom(v1.Preprocessing(resize=SIDE + 4, crop=SIDE))
    return classifier


def asked(image: bytes, view: bool = True, **parts: Any) -> v1.Work:
    return message(v1.Work, request=message(v1.AnalyzeRequest, image=image, view=view, **parts))


def answered(classifier: Classifier, *works: v1.Work) -> list[v1.AnalyzeResponse]:
    results = Analyzer(classifier).answer(works)
    assert [result.status.code for result in results] == [0] * len(works)
    return [result.response for result in results]


PREDICTION: dict[str, Any] = {"prediction": {"top_k": 3}}
ROBUSTNESS: dict[str, Any] = {
    "robustness": {"norms": NORMS, "budget": "12", "attack": "fmn", "encodings": ["adversarial"]}
}
PARTS: dict[str, Any] = PREDICTION | ROBUSTNESS | {
    "explanations": [{"method": "saliency", "encodings": ["float32"], "channels": "none"}],
    "bias": {},
    "certified": {"sigma": 0.01, "samples": 100, "alpha": 0.001},
}  # fmt: skip


def test_no_pixel_changes(view: torch.Tensor) -> None:
    seen, box = as_view(decode(encoded(view)), SIDE)
    assert torch.equal(seen, view)
    assert box == v1.View(picture_width=SIDE, picture_height=SIDE, width=SIDE, height=SIDE)


def test_sixteen_bits_stay() -> None:
    file = io.BytesIO()
    levels = torch.arange(SIDE * SIDE, dtype=torch.int32).view(SIDE, SIDE) * 255
    Image.fromarray(levels.numpy().astype("uint16")).save(file, "PNG")
    seen, _ = as_view(decode(file.getvalue()), SIDE)
    assert torch.equal(seen, (levels / 65535).expand(3, -1, -1))


def test_every_part_is_about_the_view(model: Classifier, view: torch.Tensor) -> None:
    [response] = answered(model, asked(encoded(view), **PARTS))
    whole = v1.View(picture_width=SIDE, picture_height=SIDE, width=SIDE, height=SIDE)
    [explanation] = response.explanations
    assert [part.view for part in (response.prediction, explanation, response.robustness)] == [whole] * 3
    subject = Subject(view, whole, *model.look(view[None]).row(0))
    scores = [model.score(subject.logits, index) for index in subject.order]
    assert list(response.prediction.classes) == scores
    assert response.bias.predicted_class == scores[0]
    assert (response.certified.class_index, response.certified.state) == (scores[0].index, "certified")
    assert response.robustness.distances[0].distance == pytest.approx(2 / 255, rel=1e-2)
    assert explanation.target_logit == float(subject.logits[scores[0].index])


def test_an_adversarial_picture_is_answered_as_its_distance_says(model: Classifier, view: torch.Tensor) -> None:
    [response] = answered(model, asked(encoded(view), **ROBUSTNESS))
    distances = response.robustness.distances
    assert [distance.norm for distance in distances] == NORMS
    pictures = [distance.adversarial_picture for distance in distances]
    again = answered(model, *(asked(picture, **PREDICTION) for picture in pictures))
    for distance, answer in zip(distances, again, strict=True):
        assert distance.predicted_class.label == "cat"
        assert answer.prediction.classes[0].index == distance.adversarial_class.index != distance.predicted_class.index


def test_views_and_other_pictures_share_a_batch(model: Classifier, view: torch.Tensor) -> None:
    image = encoded(view)
    works = [asked(image, is_view, **PARTS) for is_view in (True, False, True, False)]
    alone = [answered(model, work)[0] for work in works]
    together = answered(model, *works)
    for one, other in zip(alone, together, strict=True):
        assert one.prediction.view == other.prediction.view
        for score, same in zip(one.prediction.classes, other.prediction.classes, strict=True):
            assert score.index == same.index
            assert score.probability == pytest.approx(same.probability, rel=1e-3)
        assert [each.distance for each in one.robustness.distances] == [
            each.distance for each in other.robustness.distances
        ]
    first, second = (response.prediction for response in alone[:2])
    assert first.view != second.view
    assert first.classes != second.classes


@pytest.mark.parametrize(("width", "height"), [(SIDE, SIDE + 1), (2 * SIDE, SIDE), (SIDE + 4, SIDE + 4)])
def test_a_picture_of_another_size_is_refused_alone(
    model: Classifier, view: torch.Tensor, width: int, height: int
) -> None:
    works = [asked(encoded(torch.zeros(3, height, width)), **PREDICTION), asked(encoded(view), **PREDICTION)]
    refused, fine = Analyzer(model).answer(works)
    error = error_from_status(refused.status)
    assert isinstance(error, PictureError)
    assert error.field == "image"
    assert f"has {width} x {height} pixels, but the model's view has {SIDE} x {SIDE}" in error.message
    assert "leave view out" in error.message
    assert fine.response.prediction.classes[0].label == "cat"


def test_a_notebook_takes_a_view_as_a_file_too(model: Classifier, view: torch.Tensor, tmp_path: Path) -> None:
    path = tmp_path / "view.png"
    path.write_bytes(encoded(view))
    expected = notebook.attack(model, view).adversarial
    assert expected is not None
    for given in (path, str(path), path.read_bytes()):
        found = notebook.attack(model, given, view=True).adversarial
        assert found is not None
        assert torch.equal(found.picture, expected.picture)
        maps = [notebook.explain(model, each, "saliency", view=True).values for each in (given, view)]
        assert torch.equal(*maps)


def test_a_replay_takes_the_view_as_the_answer_did(model: Classifier, view: torch.Tensor) -> None:
    [response] = answered(model, asked(encoded(view), **ROBUSTNESS))
    replayed = asked(encoded(view), **ROBUSTNESS).request
    for distance in response.robustness.distances:
        found = replay.attack(replayed, distance.norm, model).adversarial
        assert found is not None
        assert found.distance == distance.distance


def test_an_audit_of_views_measures_them_as_they_are(model: Classifier, view: torch.Tensor) -> None:
    options = asked(b"", **ROBUSTNESS).request.robustness
    image = encoded(view)
    plain, resized = (measure(model, [image], [0], options, seed=0, view=is_view)[0] for is_view in (True, False))
    assert isinstance(plain, Measured)
    assert isinstance(resized, Measured)
    assert plain.distances[0].distance == pytest.approx(2 / 255, rel=1e-2)
    assert resized.distances[0].distance != pytest.approx(2 / 255, rel=1e-2)
