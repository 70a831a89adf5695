"""Robustness through the real server: every attack, every picture of it, and what goes with a distance."""

import io
import shutil
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from presence import present
from servers import Server, serving
from whybox import Client, Distance, FailedPreconditionError, PictureError, v1
from whybox_handlers.models.case import Case
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import run_one
from whybox_handlers.pictures import decoding
from whybox_handlers.robustness.attacks import ATTACKS, NORMS
from whybox_handlers.robustness.corruption_levels import measure_corruptions
from whybox_handlers.robustness.corruptions import CORRUPTIONS

MODEL, COPY = "efficientnet-lite0", "copy"
DALMATIAN = 251


@pytest.fixture(scope="module")
def view(dalmatian: bytes) -> torch.Tensor:
    return decoding.preprocess(decoding.decode(dalmatian), 256, 224)[0]


def pixels(png: bytes | None) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(io.BytesIO(present(png))))).permute(2, 0, 1) / 255


def answer_to(classifier: Classifier, picture: torch.Tensor) -> int:
    return int(classifier.serve(picture[None])[0].argmax())


@pytest.mark.parametrize(("attack", "norm"), [(name, norm) for name, row in ATTACKS.items() for norm in row.norms])
def test_every_attack_answers(
    attack: str, norm: str, client: Client, classifier: Classifier, dalmatian: bytes, view: torch.Tensor
) -> None:
    robustness = client.robustness(dalmatian, norms=norm, attack=attack, budget=6, pictures=["adversarial", "change"])
    [distance] = robustness.distances
    assert (distance.state, distance.attack, distance.norm) == ("found", attack, norm)
    assert present(distance.predicted_class).index == DALMATIAN != present(distance.adversarial_class).index
    found = present(distance.distance)
    assert 0.99 * found <= present(distance.unflipped_distance) < found <= present(distance.searched_radius) * 2
    assert distance.percentile is None
    assert distance.gradient_evaluations <= 6
    assert (distance.gradient_evaluations == 0) == (ATTACKS[attack].evaluations == "forward")
    assert 0 < distance.forward_evaluations < 100
    adversarial = pixels(distance.adversarial_png)
    assert answer_to(classifier, adversarial) != DALMATIAN
    assert distance.distance_8bit == pytest.approx(NORMS[norm].size(adversarial - view), rel=1e-6)
    assert present(distance.distance_8bit) >= found * 0.9
    assert pixels(distance.change_png).shape == view.shape


def test_adversarial_pictures_are_views(server: Server, pictures: dict[Path, int]) -> None:
    same_class = 0
    with Client(server.grpc, timeout=120) as grpc, Client(server.rest, timeout=120) as rest:
        for index, path in enumerate(pictures):
            asked, answered = (grpc, rest) if index % 2 else (rest, grpc)
            for distance in asked.robustness(
                path, norms=["linf", "l2"], budget="fast", pictures="adversarial"
            ).distances:
                prediction = answered.predict(present(distance.adversarial_png), view=True)
                assert prediction.classes[0].index != present(distance.predicted_class).index, (path, distance.norm)
                assert present(prediction.view).box == (0, 0, 224, 224)
                same_class += prediction.classes[0].index == present(distance.adversarial_class).index
    # The change is enlarged until 8 bits can hold it, which may lead into a third class.
    assert same_class >= 0.9 * 2 * len(pictures)


def test_a_view_of_another_size_is_refused(client: Client, dalmatian: bytes) -> None:
    with pytest.raises(PictureError, match=r"has \d+ x \d+ pixels, but the model's view has 224 x 224") as caught:
        client.analyze(dalmatian, view=True)
    assert caught.value.field == "image"


def test_both_norms_at_once(client: Client, dalmatian: bytes) -> None:
    distances = client.robustness(dalmatian, norms=["linf", "l2"], budget="fast").distances
    assert [distance.norm for distance in distances] == ["linf", "l2"]
    linf, l2 = (present(distance.distance) for distance in distances)
    # ||x||_inf <= ||x||_2 <= sqrt(n) ||x||_inf holds for one change; these two are the smallest of their kind.
    assert linf < l2 < np.sqrt(3 * 224 * 224) * linf


def test_budgets(client: Client, dalmatian: bytes) -> None:
    def within(budget: str | int) -> Distance:
        [distance] = client.robustness(dalmatian, budget=budget).distances
        return distance

    fast, standard, some = within("fast"), within("standard"), within(40)
    assert [each.gradient_evaluations for each in (fast, standard, some)] == [8, 12, 40]
    distances = [each.distance or 0 for each in (some, standard, fast)]
    # A larger budget may miss by the precision of the refinement, not by more.
    assert distances[0] <= distances[1] * 1.01
    assert distances[1] <= distances[2] * 1.05
    assert all(each.stopped_by == "evaluations" for each in (fast, standard, some))


def test_the_deadline_is_a_budget(client: Client, dalmatian: bytes) -> None:
    timeout = 5
    started = time.monotonic()
    [distance] = client.robustness(dalmatian, budget="deadline", timeout=timeout).distances
    # The margin is for a busy machine; without a deadline the search would take about a minute.
    assert time.monotonic() - started < 2 * timeout
    assert distance.state == "found"
    assert distance.stopped_by == "deadline"
    assert distance.gradient_evaluations > 5


def test_the_deadline_ends_a_larger_budget(client: Client, dalmatian: bytes) -> None:
    [distance] = client.robustness(dalmatian, budget=1000, timeout=6).distances
    assert distance.state == "found"
    assert distance.stopped_by == "deadline"
    assert not distance.reliable
    assert "deadline" in " ".join(distance.reasons)


def test_the_adversarial_twin_of_an_explanation(client: Client, dalmatian: bytes) -> None:
    [distance] = client.robustness(dalmatian, twin="grad_cam", pictures="adversarial").distances
    twin = present(distance.twin)
    before, after = present(twin.before), present(twin.after)
    assert before.target_class == DALMATIAN
    assert after.target_class == present(distance.adversarial_class).index
    [alone] = client.explain(dalmatian, "grad_cam")
    assert np.array_equal(before.attribution, alone.attribution)
    same_class, new_class = present(twin.same_class), present(twin.new_class)
    for similarity in (same_class, new_class):
        assert -1 <= similarity.ssim <= 1
        assert 0 <= similarity.top_overlap <= 1
        assert -1 <= similarity.rank_correlation <= 1
    # A change that cannot be seen hardly moves the evidence for the same class.
    assert same_class.ssim > new_class.ssim


def test_corruptions(client: Client, classifier: Classifier, dalmatian: bytes, view: torch.Tensor) -> None:
    robustness = client.robustness(dalmatian, budget="fast", corruptions=["geometry", "fog", "contrast"], seed=7)
    names = [name for name, row in CORRUPTIONS.items() if row.group == "geometry" or name in ("fog", "contrast")]
    assert [corruption.name for corruption in robustness.corruptions] == names
    case = Case(classifier, Subject(view, v1.View(), classifier.serve(view[None])[0], None), seed=7)
    measured = run_one(classifier, measure_corruptions(case, names, Passes(Limits())))
    for served, expected in zip(robustness.corruptions, measured, strict=True):
        assert [level.flips for level in served.levels] == [level.flips for level in expected.levels]
        assert served.first_flip == (expected.first_flip if expected.HasField("first_flip") else None)
    [mirror] = [corruption for corruption in robustness.corruptions if corruption.name == "mirror"]
    assert mirror.first_flip is None


def test_all_corruptions_are_in_the_manifest(client: Client) -> None:
    model = client.model(MODEL)
    assert [(kind.name, kind.severities) for kind in model.corruptions] == [
        (name, len(row.strengths)) for name, row in CORRUPTIONS.items()
    ]
    assert {attack.name for attack in model.attacks} == set(ATTACKS)
    assert model.default_attack == "fmn"
    check = present(model.attack_check)
    assert check.reliable, check.reasons


def test_a_constant_picture_has_a_distance(client: Client) -> None:
    file = io.BytesIO()
    Image.new("RGB", (224, 224), (127, 127, 127)).save(file, "PNG")
    for distance in client.robustness(file.getvalue(), norms=["linf", "l2"]).distances:
        assert distance.state == "found"
        assert present(distance.distance) > 0


def test_the_picture_alone(server: Server, classifier: Classifier, dalmatian: bytes) -> None:
    answer = httpx.post(
        f"{server.rest}/v1/models/{MODEL}:robustness",
        params={"norm": "l2"},
        content=dalmatian,
        headers={"Content-Type": "image/jpeg", "Accept": "image/png"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    assert answer_to(classifier, pixels(answer.content)) != DALMATIAN


def test_transfer_needs_another_model(client: Client, dalmatian: bytes) -> None:
    with pytest.raises(FailedPreconditionError, match="only model"):
        client.robustness(dalmatian, transfer=True)


@pytest.fixture
def two_models(archive: Path, tmp_path: Path) -> Iterator[Server]:
    """The model beside a copy of itself under another name."""
    store = tmp_path / "store"
    store.mkdir()
    shutil.copy(archive, store)
    with zipfile.ZipFile(archive) as content, zipfile.ZipFile(store / f"{COPY}-1.0.mar", "w") as copied:
        for name in content.namelist():
            text = content.read(name)
            copied.writestr(name, text.replace(f'"{MODEL}"'.encode(), f'"{COPY}"'.encode()) if "json" in name else text)
    with serving(store, tmp_path / "logs") as running:
        yield running


def test_transfer_shows_the_picture_to_the_other_model(two_models: Server, dalmatian: bytes) -> None:
    for url in (two_models.grpc, two_models.rest):
        with Client(url, model=MODEL, timeout=120) as client:
            robustness = client.robustness(dalmatian, norms=["linf", "l2"], transfer=True, pictures="adversarial")
            for distance in robustness.distances:
                [transfer] = distance.transfers
                assert transfer.error is None
                assert transfer.model == COPY
                # As if that picture had been sent to it.
                [sent, *_] = client.predict(present(distance.adversarial_png), model=COPY).classes
                predicted, adversarial = present(transfer.predicted_class), present(transfer.adversarial_class)
                assert adversarial.index == sent.index
                assert adversarial.probability == pytest.approx(sent.probability, abs=1e-6)
                assert transfer.fooled == (predicted.index != sent.index)
                assert predicted.index == DALMATIAN
