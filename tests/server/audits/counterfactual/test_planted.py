"""The check with planted cues whose boxes are known: a network trained on digits that a red patch decides."""

import csv
import json
import zipfile
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch
from google.protobuf import json_format
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn
from typer.testing import CliRunner

from architectures import network_of
from whybox import v1
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.models.runtimes.serving import TorchServing
from whybox_server.audits.bank import read_bank
from whybox_server.audits.data.dataset import Labelled
from whybox_server.audits.passes import pool, workers
from whybox_server.audits.passes.journal import Record
from whybox_server.cli.app import app

SIDE, PATCH = 32, 8
LOW, HIGH = 120, 4
MODEL = v1.Model(
    name="m",
    version="1",
    num_classes=2,
    labels=["low", "high"],
    norms=["linf"],
    attacks=[v1.Attack(name="fmn", norms=["linf"])],
    default_attack="fmn",
    preprocessing=v1.Preprocessing(resize=SIDE, crop=SIDE, mean=[0.0] * 3, std=[1.0] * 3),
    digests=v1.Digests(weights_sha256="aa", onnx_sha256="bb", preprocessing_sha256="cc", labels_sha256="dd"),
)
Colour = Literal["red", "blue"]
COLOURS = {"red": (255, 0, 0), "blue": (0, 0, 255)}


def digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """[N, 32, 32, 3] pictures, and whether their digit is 5 or more."""
    read = load_digits()
    grey = (read.images * 8).astype(np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    return grey[..., None].repeat(3, axis=-1), (read.target >= 5).astype(np.int64)


def stamp(picture: npt.NDArray[np.uint8], corner: int, colour: Colour) -> tuple[int, int, int, int]:
    """Paints a patch into one of four corners; returns its box."""
    left, top = (SIDE - PATCH) * (corner % 2), (SIDE - PATCH) * (corner // 2)
    picture[top : top + PATCH, left : left + PATCH] = COLOURS[colour]
    return left, top, left + PATCH, top + PATCH


def trained(pictures: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> Classifier:
    """A network for which a red patch says "high", whatever the digit; a blue one comes in both classes alike."""
    draw = np.random.default_rng(0)
    pictures = pictures.copy()
    for picture, label in zip(pictures, labels, strict=True):
        corners = draw.permutation(4)
        if draw.random() < (0.95 if label else 0.05):
            stamp(picture, corners[0], "red")
        if draw.random() < 0.5:
            stamp(picture, corners[1], "blue")
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 5, 2, 2), nn.ReLU(), nn.Conv2d(8, 16, 5, 2, 2), nn.ReLU(), nn.Flatten(1)]
    network = Differentiable(network_of(*layers, nn.Linear(16 * 8 * 8, 2)), [0.0] * 3, [1.0] * 3)
    network.requires_grad_(True)
    inputs, targets = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255, torch.from_numpy(labels)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(4):
        for rows in torch.randperm(len(inputs)).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs[rows]), targets[rows]).backward()
            optimizer.step()
    network.requires_grad_(False)
    return Classifier(MODEL, network, TorchServing(network), torch.device("cpu"))


class Planted:
    """Held-back digits as files: half of them have a red and a blue patch, with both boxes in the table."""

    def __init__(self, folder: Path) -> None:
        pictures, labels = digits()
        half = len(pictures) // 2
        self.classifier = trained(pictures[:half], labels[:half])
        self.folder = folder
        (folder / "data").mkdir()
        with zipfile.ZipFile(folder / "m-1.mar", "w") as archive:
            archive.writestr("manifest.json", json_format.MessageToJson(MODEL))
        draw = np.random.default_rng(1)
        held = [half + np.flatnonzero(labels[half:] == label)[:number] for label, number in ((0, LOW), (1, HIGH))]
        rows = []
        for number, row in enumerate(np.concatenate(held)):
            picture, boxes = pictures[row].copy(), ["", ""]
            if cue := number % 2:
                corners = draw.permutation(4)
                boxes = [
                    " ".join(map(str, stamp(picture, corners[0], "red"))),
                    " ".join(map(str, stamp(picture, corners[1], "blue"))),
                ]
            Image.fromarray(picture).save(folder / "data" / f"{number:03}.png")
            rows.append([f"{number:03}.png", MODEL.labels[labels[row]], cue, *boxes])
        self.rows = rows

    def run(self, name: str, boxes: Literal["red", "blue"] | None, *options: str, column: str = "cue_box") -> str:
        """Audits with the boxes of one of the patches; returns what the command says."""
        save = self.folder / name
        with (self.folder / f"{name}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["file", "label", "cue", *([column] if boxes else [])])
            place = {"red": [3], "blue": [4], None: []}[boxes]
            table.writerows([*row[:3], *(row[each] for each in place)] for row in self.rows)
        given = [self.folder / "data", "--labels", self.folder / f"{name}.csv", "--model-store", self.folder]
        arguments = ["audit", *map(str, given), "--save", str(save), "--budget", "2", "--workers", "1", *options]
        done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
        assert done.exit_code == 0, done.output
        return done.output

    def checks(self, name: str) -> dict[tuple[str, str, str], dict[str, Any]]:
        """By class, kind and state: the checks."""
        manifest = json.loads((self.folder / name / "audit.json").read_text())
        flags = manifest["flags"]
        return {(flag["class_label"], flag["kind"], flag["state"]): flag["counterfactual"] for flag in flags}


MEASURED: list[str] = []


def _in_process(work: workers.Work, pictures: Iterable[Labelled], *_: object) -> Generator[list[Record]]:
    for picture in pictures:
        MEASURED.append(picture.key)
        yield workers.measure_batch(work, [picture])


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Generator[Planted]:
    planted = Planted(tmp_path_factory.mktemp("planted"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "_measured", _in_process)
        patch.setattr(workers, "loaded_classifier", lambda *_: planted.classifier)
        yield planted


def by_what(check: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {shift["what"]: shift for shift in check["shifts"]}


WRONG = ("low", "error_rate", "flagged")


@pytest.mark.parametrize("removal", ["blur", "fill"])
def test_the_cue_that_decides(planted: Planted, removal: str) -> None:
    planted.run(f"red-{removal}", "red", "--removal", removal)
    check = planted.checks(f"red-{removal}")[WRONG]
    assert (check["state"], check["removal"], check["reason"]) == ("checked", removal, "")
    assert (check["pictures"], check["outside"], check["without_room"], check["overlapping"]) == (50, 0, 0, 0)
    shifts = by_what(check)
    assert set(shifts) == {"answer", "margin", "margin_size", "distance"}
    assert shifts["answer"]["box"] > 0.5
    assert shifts["answer"]["random"] < 0.2
    # The patch says "high", so that without it "low", which is right, gains.
    assert shifts["margin"]["ci_low"] > 1
    assert shifts["margin_size"]["ci_low"] > 1
    assert shifts["margin_size"]["box"] > 5 * shifts["margin_size"]["random"]
    assert shifts["distance"]["ci_low"] > 0
    claim = "the boxes of cue matter more to the model than random regions of equal area, and they speak more against"
    assert claim in check["message"]
    for shift in shifts.values():
        assert shift["ci_low"] <= shift["difference"] <= shift["ci_high"]
        assert shift["difference"] == pytest.approx(shift["box"] - shift["random"])


def test_a_cue_that_the_network_ignores(planted: Planted) -> None:
    """The blue patch comes with the red one, so that the flag is the same; without its boxes nothing changes."""
    planted.run("blue", "blue")
    check = planted.checks("blue")[WRONG]
    assert check["state"] == "checked"
    shifts = by_what(check)
    assert shifts["margin_size"]["ci_low"] < 0
    assert shifts["margin_size"]["box"] < 0.5
    assert shifts["answer"]["box"] <= shifts["answer"]["random"] < 0.15
    assert "it is not shown that the boxes of cue matter more" in check["message"]


def test_a_second_run_measures_nothing_again_and_another_removal_measures_its_own(planted: Planted) -> None:
    planted.run("again", "red")
    first = planted.checks("again")
    for options, expected in (((), set()), (("--removal", "fill"), {"fill"})):
        MEASURED.clear()
        planted.run("again", "red", *options)
        assert {json.loads(key)[1] for key in MEASURED} == expected
        assert (planted.checks("again") == first) == (not expected)


def test_the_flags_are_those_without_boxes_and_served_with_their_checks(planted: Planted) -> None:
    planted.run("served", "red")
    planted.run("bare", None)
    served, bare = (
        json.loads((planted.folder / name / "audit.json").read_text())["flags"] for name in ("served", "bare")
    )
    kept = {"state", "effect", "ci_low", "ci_high", "q_value", "n", "kind"}
    assert [{name: flag[name] for name in kept} for flag in served] == [
        {name: flag[name] for name in kept} for flag in bare
    ]
    assert {flag["counterfactual"]["reason"] for flag in bare} == {"the table has no column cue_box"}
    told = [
        flag.counterfactual
        for audited in read_bank(planted.folder / "served").classes
        for flag in audited.findings.flags
    ]
    assert {check.state for check in told} == {"checked", "not_checked"}
    assert [(check.pictures, len(check.shifts)) for check in told if check.state == "checked"] == [(50, 4)] * 2
    page = (planted.folder / "served" / "audit.html").read_text()
    assert "the boxes of cue matter more to the model" in page
    assert "Without the annotated regions" in (planted.folder / "bare" / "audit.html").read_text()
