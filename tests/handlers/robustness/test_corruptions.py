"""Common corruptions against what defines them, and what they do to the real network's answer."""

import dataclasses
import math
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from google.rpc import code_pb2
from PIL import Image
from scipy.ndimage import correlate1d
from torch import Tensor

from clocks import Clock
from explaining import subject_of
from linear import Watched, linear, picture
from whybox import v1
from whybox.v1.errors import CancelledError
from whybox_handlers.models.case import Case
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import Task, run
from whybox_handlers.pictures.decoding import decode, preprocess
from whybox_handlers.robustness import corruption_levels
from whybox_handlers.robustness.corruption_levels import measure_corruptions
from whybox_handlers.robustness.corruptions import CORRUPTIONS
from whybox_handlers.robustness.corruptions.blur import (
    Motion,
    filtered,
    smoothed,
    trail,
)
from whybox_handlers.robustness.corruptions.weather import clouds

GREY = torch.full((3, 64, 64), 0.5)
# Where the mean of 64 x 64 x 3 draws of deviation 1 is, at five standard errors.
FIVE_ERRORS = 5 / math.sqrt(3 * 64 * 64)


@pytest.fixture(scope="module")
def view(dalmatian: bytes) -> Tensor:
    return preprocess(decode(dalmatian), 256, 224)[0]


def spoilt(name: str, picture: Tensor, severity: int, seed: int = 0) -> Tensor:
    """Without cutting and rounding; one picture, or several."""
    corruption = CORRUPTIONS[name]
    generator = torch.Generator().manual_seed(seed)
    result: Tensor = corruption.spoil(picture, corruption.strengths[severity - 1], generator)
    return result


# How much each changes a picture, at the least and the most, in grey levels of 255 (root mean square) at severity 3;
# ImageNet-C's own code changes this picture so much, give or take a tenth. None where it has no such corruption.
CHANGES = {
    "gaussian_noise": 41.6,
    "shot_noise": 40.8,
    "impulse_noise": 43.6,
    "speckle_noise": 33.3,
    "gaussian_blur": 23.3,
    "defocus_blur": 25.6,
    "motion_blur": 31.2,
    "zoom_blur": 33.5,
    "fog": 61.0,
    "snow": 74.3,
    "brightness": 68.0,
    "contrast": 42.2,
    "saturate": 13.3,
    "pixelate": 16.6,
    "jpeg_compression": 12.4,
    "elastic_transform": 29.2,
    "shift": None,
    "zoom": None,
    "rotation": None,
    "mirror": None,
    "upside_down": None,
}


def test_every_corruption_has_a_row() -> None:
    assert list(CHANGES) == list(CORRUPTIONS)


@pytest.mark.parametrize("name", [name for name, change in CHANGES.items() if change is not None])
def test_strength_is_imagenet_cs(name: str, view: Tensor) -> None:
    [picture] = CORRUPTIONS[name].pictures(view, 3, seed=0)
    assert float((picture - view).square().mean().sqrt()) * 255 == pytest.approx(CHANGES[name], rel=0.1)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_pictures_of_8_bits_that_repeat(name: str, view: Tensor) -> None:
    corruption = CORRUPTIONS[name]
    before = view.clone()
    for severity in range(1, len(corruption.strengths) + 1):
        pictures = corruption.pictures(view, severity, seed=3)
        assert pictures.shape[1:] == view.shape
        assert pictures.dtype == torch.float32
        assert 0 <= float(pictures.min()) <= float(pictures.max()) <= 1
        assert torch.equal(pictures, torch.round(pictures * 255) / 255)
        assert torch.equal(pictures, corruption.pictures(view, severity, seed=3))
        assert not any(torch.equal(picture, view) for picture in pictures)
    assert torch.equal(view, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_seed_decides_where_chance_does(name: str, view: Tensor) -> None:
    one, other = (CORRUPTIONS[name].pictures(view, 1, seed) for seed in (1, 2))
    by_chance = CORRUPTIONS[name].group == "noise" or name in ("motion_blur", "fog", "snow", "elastic_transform")
    assert torch.equal(one, other) != by_chance


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name not in ("saturate", "fog", "snow")])
def test_more_severe_is_farther(name: str, view: Tensor) -> None:
    levels = range(1, len(CORRUPTIONS[name].strengths) + 1)
    sizes = [float((CORRUPTIONS[name].pictures(view, level, 0)[0] - view).square().mean()) for level in levels]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("severity", range(1, 6))
@pytest.mark.parametrize(
    ("name", "deviation"),
    [
        ("gaussian_noise", lambda strength: strength),
        ("shot_noise", lambda photons: math.sqrt(0.5 / photons)),
        ("speckle_noise", lambda strength: 0.5 * strength),
    ],
)
def test_noise_has_its_mean_and_deviation(name: str, severity: int, deviation: Callable[[float], float]) -> None:
    noise = spoilt(name, GREY, severity) - GREY
    expected = deviation(CORRUPTIONS[name].strengths[severity - 1])
    assert float(noise.mean()) == pytest.approx(0, abs=FIVE_ERRORS * expected)
    assert float(noise.std()) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("severity", range(1, 6))
def test_impulse_noise_is_half_black_and_half_white(severity: int) -> None:
    picture, share = spoilt("impulse_noise", GREY, severity), CORRUPTIONS["impulse_noise"].strengths[severity - 1]
    for value in (0, 1):
        assert float((picture == value).float().mean()) == pytest.approx(share / 2, abs=FIVE_ERRORS / 2)
    assert set(picture.flatten().tolist()) == {0, 0.5, 1}


@pytest.mark.parametrize("name", ["gaussian_blur", "defocus_blur", "motion_blur", "zoom_blur", "contrast"])
@pytest.mark.parametrize("severity", range(1, 6))
def test_nothing_to_blur_in_a_plain_picture(name: str, severity: int) -> None:
    assert torch.allclose(spoilt(name, GREY, severity), GREY, atol=1e-6)


def test_filtering_is_convolution() -> None:
    torch.manual_seed(0)
    picture, kernel = torch.rand(3, 20, 24), torch.rand(7)
    expected = correlate1d(picture.numpy(), kernel.flip(0).numpy(), axis=2, mode="nearest")
    assert np.allclose(filtered(picture, kernel[None]).numpy(), expected, atol=1e-5)


def test_smoothing_is_a_gaussian() -> None:
    point = torch.zeros(1, 41, 41)
    point[0, 20, 20] = 1
    values, steps = smoothed(point, 3.0)[0], torch.arange(41) - 20.0
    assert float(values.sum()) == pytest.approx(1, abs=1e-4)
    assert float((values.sum(dim=0) * steps**2).sum()) == pytest.approx(9, rel=0.01)


@pytest.mark.parametrize("angle", [0.0, 0.5, -0.7])
def test_a_trail_leads_from_the_centre(angle: float) -> None:
    kernel = trail(Motion(10, 3), angle)
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-6)
    centre = kernel.shape[0] // 2
    assert float(kernel[centre, centre]) == float(kernel.max())
    rows, columns = kernel.nonzero().T - centre
    assert bool((columns >= 0).all())
    assert bool(((rows - torch.tan(torch.tensor(angle)) * columns).abs() <= 1).all())


@pytest.mark.parametrize("smoothness", [1.4, 2.0])
def test_clouds_fill_the_range(smoothness: float) -> None:
    sky = clouds((50, 60), smoothness, torch.Generator().manual_seed(0))
    assert sky.shape == (50, 60)
    assert (float(sky.min()), float(sky.max())) == (0, 1)


def test_contrast_and_colours(view: Tensor) -> None:
    means = view.mean(dim=(1, 2))
    assert torch.allclose(spoilt("contrast", view, 1).mean(dim=(1, 2)), means, atol=1e-5)
    assert float(spoilt("contrast", view, 1).std()) < float(view.std())
    # Value is the largest channel.
    brighter = spoilt("brightness", view, 2)
    assert torch.allclose(brighter.amax(dim=0), (view.amax(dim=0) + 0.2).clamp(max=1), atol=1e-5)
    pale = spoilt("saturate", view, 2)
    assert float((pale.amax(dim=0) - pale.amin(dim=0)).mean()) == pytest.approx(
        0.1 * float((view.amax(dim=0) - view.amin(dim=0)).mean()), rel=0.01
    )


@pytest.mark.parametrize(("severity", "quality"), [(1, 25), (2, 18), (3, 15), (4, 10), (5, 7)])
def test_jpeg_is_pillows(severity: int, quality: int, view: Tensor) -> None:
    file = BytesIO()
    Image.fromarray((view * 255).round().byte().permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    levels = (CORRUPTIONS["jpeg_compression"].pictures(view, severity, 0)[0] * 255).round().byte()
    assert np.array_equal(levels.permute(1, 2, 0).numpy(), np.asarray(Image.open(file)))


def test_pixels(view: Tensor) -> None:
    picture = spoilt("pixelate", view, 5)
    blocks = picture.unfold(1, 4, 4).unfold(2, 4, 4)
    assert bool((blocks == blocks[..., :1, :1]).all())


def test_steps_aside(view: Tensor) -> None:
    left, right, up, down = spoilt("shift", view, 5)
    step = 24
    assert torch.allclose(left[:, :, :-step], view[:, :, step:], atol=1e-5)
    assert torch.allclose(right[:, :, step:], view[:, :, :-step], atol=1e-5)
    assert torch.allclose(up[:, :-step], view[:, step:], atol=1e-5)
    assert torch.allclose(down[:, step:], view[:, :-step], atol=1e-5)
    # What comes into view is a mirror image.
    assert torch.allclose(right[:, :, :step], view[:, :, 1 : step + 1].flip(2), atol=1e-5)


def test_zoom_and_rotation_leave_the_centre() -> None:
    # A disk: turned, it stays; zoomed, its area grows with the square.
    steps = torch.arange(101) - 50.0
    radius = (steps[:, None] ** 2 + steps**2).sqrt()
    disk = (radius <= 20).float().expand(3, -1, -1)
    for turned in spoilt("rotation", disk, 5):
        assert float((turned - disk).abs().mean()) < 0.01
    nearer, farther = spoilt("zoom", disk, 5)
    area = float(disk.sum())
    assert float(nearer.sum()) == pytest.approx(1.5**2 * area, rel=0.02)
    assert float(farther.sum()) == pytest.approx(area / 1.5**2, rel=0.02)


@pytest.mark.parametrize(("name", "dimension"), [("mirror", 2), ("upside_down", 1)])
def test_flips(name: str, dimension: int, view: Tensor) -> None:
    [picture] = CORRUPTIONS[name].pictures(view, 1, 0)
    assert torch.allclose(picture.flip(dimension), view, atol=1 / 510 + 1e-6)


def measured(
    classifier: Classifier, views: list[Tensor], names: list[str], limits: Limits | None = None
) -> list[list[v1.Corruption]]:
    """All pictures together, as a batch of requests would be."""
    limits = limits or Limits()
    cases = [Case(classifier, subject_of(classifier, view), seed=5) for view in views]
    tasks = [Task(measure_corruptions(case, names, Passes(limits)), limits) for case in cases]
    run(classifier, tasks)
    return [task.result() for task in tasks]


def test_answers_are_those_of_the_serving_network(classifier: Classifier, pictures: dict[Path, int]) -> None:
    names = ["gaussian_noise", "contrast", "shift", "mirror"]
    views = [classifier.see(path.read_bytes())[0] for path in list(pictures)[::9]]
    parts = measured(classifier, views, names)
    for view, part in zip(views, parts, strict=True):
        label = int(classifier.serve(view[None])[0].argmax())
        assert [corruption.name for corruption in part] == names
        for corruption in part:
            kind = CORRUPTIONS[corruption.name]
            assert corruption.group == kind.group
            assert [level.severity for level in corruption.levels] == list(range(1, len(kind.strengths) + 1))
            flips = []
            for level in corruption.levels:
                answers = [
                    int(classifier.serve(each[None])[0].argmax()) for each in kind.pictures(view, level.severity, 5)
                ]
                others = [answer for answer in answers if answer != label]
                assert level.flips == bool(others)
                assert level.predicted_class.index == [*others, label][0]
                assert 0 < level.predicted_class.probability <= 1
                flips += [level.severity] * level.flips
            assert corruption.HasField("first_flip") == bool(flips)
            assert corruption.first_flip == min(flips, default=0)
            assert corruption.stopped_by == ""
    # Some change the answer, and some do not, or nothing would be told by it.
    assert {corruption.HasField("first_flip") for part in parts for corruption in part} == {True, False}
    [alone] = measured(classifier, views[1:2], names)
    assert alone == parts[1]


def test_the_deadline_leaves_out_what_comes_after_it(classifier: Classifier, view: Tensor) -> None:
    clock = Clock()
    watched = Watched(classifier.serving)
    slow = Classifier(classifier.model, classifier.network, watched, classifier.device)

    def meanwhile(_: Tensor, logits: Tensor) -> Tensor:
        clock.turn(0.05)
        return logits

    watched.meanwhile = meanwhile
    limits = clock.limits(2)
    [part] = measured(slow, [view], list(CORRUPTIONS), limits)
    assert len(part) == len(CORRUPTIONS)
    assert part[0].levels
    assert part[0].stopped_by == ""
    assert not part[-1].levels
    assert part[-1].stopped_by == "deadline"
    assert limits.seconds_left() > 0


@pytest.mark.parametrize("name", ["gaussian_noise", "shift"])
def test_the_deadline_during_a_pass_leaves_what_came_before_it(name: str) -> None:
    linear_classifier, watched = linear(0.1, picture())
    clock, before = Clock(), watched.calls
    limits = clock.limits(600)
    count = len(CORRUPTIONS[name].pictures(picture(), 1, 5))

    def meanwhile(_: Tensor, logits: Tensor) -> Tensor:
        # One call looked at the picture itself; the deadline comes in the midst of severity 3.
        if watched.calls - before == 1 + 2 * count + 1:
            clock.leave(limits, -1)
        return logits

    watched.meanwhile = meanwhile
    [part] = measured(linear_classifier, [picture()], [name, "mirror", "fog"], limits)
    assert [len(corruption.levels) for corruption in part] == [2, 0, 0]
    assert [corruption.stopped_by for corruption in part] == ["deadline"] * 3


def test_a_corruption_that_fails_spoils_only_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> Tensor:
        raise ZeroDivisionError

    failing = dataclasses.replace(CORRUPTIONS["fog"], spoil=fail)
    monkeypatch.setattr(corruption_levels, "CORRUPTIONS", {**CORRUPTIONS, "fog": failing})
    linear_classifier, _ = linear(0.1, picture())
    [part] = measured(linear_classifier, [picture()], ["mirror", "fog", "gaussian_noise"])
    mirror, fog, noise = part
    assert [corruption.status.code for corruption in part] == [code_pb2.OK, code_pb2.INTERNAL, code_pb2.OK]
    assert [len(mirror.levels), len(fog.levels), len(noise.levels)] == [1, 0, 5]
    [record] = caplog.records
    assert record.exc_info


def test_what_is_not_finite_is_no_answer() -> None:
    linear_classifier, watched = linear(0.1, picture())
    nothing = torch.tensor([0.0, float("nan"), 0.0])

    def meanwhile(pictures: Tensor, logits: Tensor) -> Tensor:
        # Every step aside but the last, and what is mirrored; an answer is left to the last.
        broken = watched.calls in steps or torch.equal(pictures[0], mirrored)
        return logits + nothing if broken else logits - torch.tensor([1e6, 0.0, 0.0]) * (watched.calls > steps[-1])

    [mirrored], steps = CORRUPTIONS["mirror"].pictures(picture(), 1, 5), range(watched.calls + 2, watched.calls + 5)
    watched.meanwhile = meanwhile
    [part] = measured(linear_classifier, [picture()], ["shift", "mirror"])
    aside, mirror = part
    assert aside.levels[0].flips
    assert aside.levels[0].predicted_class.index == 1
    [level] = mirror.levels
    assert not level.flips
    assert not level.HasField("predicted_class")
    assert not mirror.HasField("first_flip")


def test_a_caller_who_is_gone(classifier: Classifier, view: Tensor, tmp_path: Path) -> None:
    with pytest.raises(CancelledError):
        measured(classifier, [view], ["fog"], Limits(lease=tmp_path / "removed"))


@pytest.mark.parametrize(
    ("severity", "seed", "error", "words"),
    [
        *(
            (severity, 0, ValueError, f"severity must be an integer from 1 to 5, not {severity}")
            for severity in (0, -1, 6)
        ),
        *((severity, 0, TypeError, "severity must be an integer") for severity in (True, 1.5, "1", None)),
        (1, -1, ValueError, "seed must be an integer from 0 to 4294967295, not -1"),
        (1, 2**32, ValueError, "seed must be an integer"),
        (1, True, TypeError, "seed must be an integer"),
    ],
)
def test_severities_and_seeds_out_of_range(severity: Any, seed: Any, error: type[Exception], words: str) -> None:
    fog = CORRUPTIONS["fog"]
    assert len(fog.strengths) == 5
    with pytest.raises(error, match=words):
        fog.pictures(torch.zeros(3, 32, 32), severity, seed)


def test_a_severity_may_be_a_scalar_of_another_library() -> None:
    picture = torch.full((3, 32, 32), 0.5)
    for severity in (np.int64(2), torch.tensor(2), 2.0):
        given: Any = severity
        assert torch.equal(CORRUPTIONS["fog"].pictures(picture, given, 0), CORRUPTIONS["fog"].pictures(picture, 2, 0))
