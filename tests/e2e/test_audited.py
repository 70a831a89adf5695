"""A model audited by the real command, packed with what was found, and served: flags and percentiles on its answers."""

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from pyarrow import parquet
from typer.testing import CliRunner

from presence import present
from servers import Server, serving
from whybox import Client
from whybox_server.cli import app

MODEL = "efficientnet-lite0"
DALMATIAN = 251


@pytest.fixture(scope="module")
def audit(archive: Path, dalmatian: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The audit of one picture in twelve variants, half of them mirrored, attacked with two gradients each."""
    folder = tmp_path_factory.mktemp("audit")
    data = folder / "dogs"
    data.mkdir()
    picture = Image.open(io.BytesIO(dalmatian)).convert("RGB")
    rows = [["file", "label", "mirrored", "trained_on"]]
    for number in range(12):
        variant = ImageEnhance.Brightness(picture).enhance(0.8 + 0.04 * number)
        (ImageOps.mirror(variant) if number % 2 else variant).save(data / f"{number:02}.png")
        rows.append([f"{number:02}.png", str(DALMATIAN), "yes" if number % 2 else "no", "1" if number == 3 else "0"])
    with (folder / "dogs.csv").open("w", newline="") as table:
        csv.writer(table).writerows(rows)
    given = [data, "--labels", folder / "dogs.csv", "--model-store", archive.parent, "--save", folder / "audit"]
    done = CliRunner().invoke(app, ["audit", *map(str, given), "--model", MODEL, "--workers", "1", "--budget", "2"])
    assert done.exit_code == 0, done.output
    return folder / "audit"


@pytest.fixture(scope="module")
def store(archive: Path, spec_path: Path, audit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packed model with the bank."""
    store = tmp_path_factory.mktemp("audited")
    shutil.copy(archive, store)
    for outcome in ("ONNX Runtime agrees", "is up to date"):
        done = CliRunner().invoke(app, ["pack", str(spec_path), "--store", str(store), "--bank", str(audit)])
        assert done.exit_code == 0, done.output
        assert outcome in done.stdout
        assert f"with audit {report(audit)['audit']} of dogs (12 pictures, 12 thumbnails)" in done.stdout
    return store


@pytest.fixture(scope="module")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(store, tmp_path_factory.mktemp("logs")) as running:
        yield running


@pytest.fixture(params=["grpc", "rest"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[Client]:
    with Client(getattr(server, request.param), timeout=120) as connected:
        yield connected


def report(audit: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((audit / "audit.json").read_text())
    return found


def test_the_flags_of_the_predicted_class(client: Client, audit: Path, dalmatian: bytes) -> None:
    found = report(audit)
    bias = client.bias(dalmatian)
    assert [(flag.kind, flag.state, flag.attribute, flag.value, flag.message) for flag in bias.flags] == [
        tuple(flag[name] for name in ("kind", "state", "attribute", "value", "message")) for flag in found["flags"]
    ]
    assert {flag.state for flag in bias.flags} == {"insufficient_data"}
    assert {flag.audit_id for flag in bias.flags} == {bias.audit_id} == {found["audit"]}
    assert {(flag.n_with, flag.n_without) for flag in bias.flags if flag.kind == "error_rate"} == {(6, 6)}
    [criticised] = found["classes"]
    for name in ("prototypes", "criticisms"):
        listed = [(example["file"], example["distance"]) for example in criticised[name]]
        assert [(example.id, example.distance) for example in getattr(bias, name)] == listed
        assert len(listed) == 2
    assert client.bias(dalmatian, attributes="mirrored").flags == bias.flags
    [flag] = client.bias(dalmatian, attributes="age").flags
    assert (flag.state, flag.attribute) == ("not_audited", "age")
    assert flag.message == f"Audit {found['audit']} of dogs has no attribute 'age'; it has mirrored."


def test_a_class_outside_the_audit(client: Client, pictures: dict[Path, int]) -> None:
    bias = client.bias(next(path for path, label in pictures.items() if label == 22))
    [flag] = bias.flags
    assert (flag.state, flag.attribute, bias.prototypes, bias.audit_id) == ("not_audited", "", (), "")
    assert "of dogs has no picture of class" in flag.message


def test_the_percentile_of_an_audited_picture(client: Client, audit: Path) -> None:
    [criticised] = report(audit)["classes"]
    hardest, easiest = (criticised[name][0]["file"] for name in ("prototypes", "criticisms"))
    for file, easier in ((hardest, criticised["right"] - 1), (easiest, 0)):
        [distance] = client.robustness(audit.parent / "dogs" / file, budget=2).distances
        assert distance.percentile_n == criticised["right"] == 12
        percentile = present(distance.percentile)
        assert percentile == pytest.approx(100 * easier / 12)
        low, high = present(distance.percentile_ci_low), present(distance.percentile_ci_high)
        assert 0 <= low <= percentile <= high <= 100
        assert "the model was trained on 1 of the 12 reference pictures" in distance.percentile_note
    [distance] = client.robustness(audit.parent / "dogs" / hardest, budget=3).distances
    assert distance.percentile is None
    assert distance.percentile_note.endswith("were attacked with the budget 2, not 3")


def test_the_model_says_which_audit_it_carries(client: Client, audit: Path) -> None:
    carried = present(client.model(MODEL).audit)
    assert (carried.id, carried.data_set, carried.pictures, carried.classes) == (report(audit)["audit"], "dogs", 12, 1)
    assert (carried.attributes, carried.budget, carried.trained_on, carried.differences) == (("mirrored",), 2, 1, ())
    [listed] = client.models()
    assert listed.audit == carried


def test_json_has_the_evidence(server: Server, dalmatian: bytes) -> None:
    answer = httpx.post(
        f"{server.rest}/v1/models/{MODEL}:bias", content=dalmatian, headers={"Content-Type": "image/jpeg"}, timeout=60
    ).json()
    assert {flag["state"] for flag in answer["bias"]["flags"]} == {"insufficient_data"}
    assert answer["bias"]["criticisms"][0]["distance"] > 0


def test_the_examples_of_an_audited_picture(client: Client, audit: Path) -> None:
    """They are those of brute force over the audit's table, and the picture itself is left out."""
    rows = [row for row in parquet.read_table(audit / "audit.parquet").to_pylist() if row["counted"]]
    features = np.array([row["embedding"] for row in rows])
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    [criticised] = report(audit)["classes"]
    asked = rows[0]["file"]
    similarities = {row["file"]: float(cosine) for row, cosine in zip(rows, features @ features[0], strict=True)}
    [found] = client.explain(audit.parent / "dogs" / asked, "example", examples=2, thumbnails=True)
    examples = present(found.examples)
    assert (found.target_class, examples.pictures, examples.nearest, examples.agreement) == (DALMATIAN, 12, 10, 1.0)
    assert examples.others == ()
    for name in ("prototypes", "criticisms"):
        listed = {entry["file"]: entry["distance"] for entry in criticised[name] if entry["file"] != asked}
        nearest = sorted(listed, key=lambda file: -similarities[file])[:2]
        neighbours = getattr(examples, name)
        assert [neighbour.id for neighbour in neighbours] == nearest
        for neighbour in neighbours:
            assert neighbour.similarity == pytest.approx(similarities[neighbour.id], abs=2e-3)
            assert neighbour.distance == listed[neighbour.id]
            assert (neighbour.class_index, neighbour.right, neighbour.agrees) == (DALMATIAN, True, True)
            with Image.open(io.BytesIO(present(neighbour.thumbnail_jpeg))) as small:
                assert min(small.size) == 96
    [other] = client.explain(audit.parent / "dogs" / asked, "example", target=0)
    examples = present(other.examples)
    assert (examples.prototypes, examples.criticisms, examples.agreement) == ((), (), 0.0)
    assert len(examples.others) == 3
    assert asked not in {neighbour.id for neighbour in examples.others}
    assert {neighbour.thumbnail_jpeg for neighbour in examples.others} == {None}


def test_examples_over_rest_and_beside_maps(server: Server, dalmatian: bytes) -> None:
    url, headers = f"{server.rest}/v1/models/{MODEL}", {"Content-Type": "image/jpeg"}
    asked = {"method": ["example", "grad_cam"]}
    answer = httpx.post(f"{url}:explain", params=asked, content=dalmatian, headers=headers, timeout=60).json()
    example, cam = answer["explanations"]
    assert len(example["examples"]["prototypes"]) == 2
    assert "examples" not in cam
    for refused, accept in (({"quality": "all"}, "application/json"), ({}, "image/png")):
        problem = httpx.post(
            f"{url}:explain",
            params={"method": "example", **refused},
            content=dalmatian,
            headers=headers | {"Accept": accept},
            timeout=60,
        )
        assert (problem.status_code, "example" in problem.json()["detail"]) == (400, True)
