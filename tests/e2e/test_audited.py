"""A model audited by the real command, packed with what was found, and served: flags and percentiles on its answers."""

import csv
import io
import json
import math
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
from whybox import Client, NotFoundError
from whybox.cli import app as client_app
from whybox_server.cli.app import app

MODEL = "efficientnet-lite0"
DALMATIAN = 251


@pytest.fixture(scope="module")
def calibration(pictures: dict[Path, int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 160 pictures: the corners of each of the 20, upright and upside down."""
    folder = tmp_path_factory.mktemp("calibration")
    rows = [["file", "label"]]
    for path, label in pictures.items():
        picture = Image.open(path).convert("RGB")
        across, down = picture.width * 2 // 3, picture.height * 2 // 3
        for corner in range(4):
            left, top = corner % 2 * (picture.width - across), corner // 2 * (picture.height - down)
            part = picture.crop((left, top, left + across, top + down))
            for turned in (part, ImageOps.flip(part)):
                rows.append([f"{len(rows):03}.png", str(label)])
                turned.save(folder / rows[-1][0])
    with (folder / "corners.csv").open("w", newline="") as table:
        csv.writer(table).writerows(rows)
    return folder / "corners.csv"


@pytest.fixture(scope="module")
def audit(archive: Path, dalmatian: bytes, calibration: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    given += ["--calibration", calibration, "--calibration-folder", calibration.parent]
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
        assert f"with audit {report(audit)['audit']} of dogs (12 pictures); callers see thumbnails" in done.stdout
        assert "4 in audit.html and 12 in example" in done.stdout
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
        assert "the model was trained on 1 of the 12 audited pictures" in distance.percentile_note
        [note] = distance.observations
        assert (note.kind, note.state, note.value) == ("criticism_like", "not_measured", None)
        assert note.message.startswith("12 correctly classified pictures of class 'dalmatian' in audit")
    [distance] = client.robustness(audit.parent / "dogs" / hardest, budget=3).distances
    assert distance.percentile is None
    assert distance.percentile_note.endswith("were attacked with the budget 2, not 3")


def test_the_model_says_which_audit_it_carries(client: Client, audit: Path) -> None:
    carried = present(client.model(MODEL).audit)
    assert (carried.id, carried.data_set, carried.pictures, carried.classes) == (report(audit)["audit"], "dogs", 12, 1)
    sets = present(carried.calibration)
    assert (sets.state, sets.data_set, sets.methods) == ("ok", "corners", ("aps", "lac"))
    assert (carried.attributes, carried.budget, carried.trained_on, carried.differences) == (("mirrored",), 2, 1, ())
    [listed] = client.models()
    assert listed.audit == carried


@pytest.mark.parametrize("method", ["aps", "lac"])
@pytest.mark.parametrize("view", [False, True])
def test_the_set_has_the_classes_up_to_the_threshold(
    client: Client, audit: Path, calibration: Path, method: str, view: bool
) -> None:
    rows = parquet.read_table(audit / "calibration.parquet").to_pylist()
    scores = sorted(row[method] for row in rows if row["part"] == "calibration")
    picture = Image.open(calibration.parent / rows[40]["file"])
    shown = np.asarray(picture.resize((224, 224)) if view else picture)
    answer = client.predict(shown, top_k=1000, set_method=method, set_alpha=0.2, view=view)
    found = present(answer.prediction_set)
    assert (found.state, found.method, found.alpha) == ("ok", method, 0.2)
    assert (found.n, found.data_set) == (len(scores), "corners")
    limit = scores[math.ceil((len(scores) + 1) * 0.8 - 1e-9) - 1]
    assert found.threshold == limit
    shares = np.array([score.probability for score in answer.classes])
    inside = (np.cumsum(shares) - shares if method == "aps" else 1 - shares) <= limit
    inside[0] = True
    expected = [score.index for score, kept in zip(answer.classes, inside, strict=True) if kept]
    assert [score.index for score in found.classes] == expected
    levels = report(audit)["calibration"]["sets"]
    [level] = [each for each in levels if (each["method"], each["alpha"]) == (method, 0.2)]
    evidence = (found.coverage, found.ci_low, found.ci_high, found.coverage_n)
    assert evidence == tuple(level[name] for name in ("coverage", "ci_low", "ci_high", "n"))
    assert found.message.startswith("If requests resemble data set corners, the set contains the right class in at le")


def test_a_set_can_have_all_classes(client: Client, dalmatian: bytes) -> None:
    found = present(client.predict(dalmatian, top_k=1, set_method="lac", set_alpha=0.0001).prediction_set)
    assert len(found.classes) == 1000
    assert found.threshold is None
    assert "The set has all classes" in found.message


def test_json_has_the_evidence(server: Server, dalmatian: bytes) -> None:
    answer = httpx.post(
        f"{server.rest}/v1/models/{MODEL}:bias", content=dalmatian, headers={"Content-Type": "image/jpeg"}, timeout=60
    ).json()
    assert {flag["state"] for flag in answer["bias"]["flags"]} == {"insufficient_data"}
    assert answer["bias"]["criticisms"][0]["distance"] > 0


def test_the_audit_itself_over_both_transports(client: Client, audit: Path, tmp_path: Path) -> None:
    [listed] = client.audits()
    assert listed == client.model(MODEL).audit
    assert listed.flags == {"insufficient_data": len(report(audit)["flags"])}
    found = client.audit(listed.id, MODEL)
    assert [flag.message for flag in found.flags] == [flag["message"] for flag in report(audit)["flags"]]
    for saved in found.save(tmp_path):
        assert saved.read_bytes() == (audit / saved.name).read_bytes()
    for unknown in ("..", "other", "x" * 300):
        with pytest.raises(NotFoundError, match=f"it has {listed.id}") as caught:
            client.audit(unknown)
        assert caught.value.reason == "UNKNOWN_AUDIT"


def test_a_browser_gets_the_page(server: Server, audit: Path) -> None:
    address = f"{server.rest}/v1/models/{MODEL}/audits/{report(audit)['audit']}"
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    page = httpx.get(address, headers={"Accept": accept})
    assert page.content == (audit / "audit.html").read_bytes()
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    again = httpx.get(address, headers={"Accept": accept, "If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert httpx.get(address).content == (audit / "audit.json").read_bytes()
    head = httpx.head(address)
    assert (head.content, head.headers["content-length"]) == (b"", str((audit / "audit.json").stat().st_size))
    assert httpx.get(address, headers={"Accept": "image/png"}).status_code == 406


def test_the_command_shows_the_audit(server: Server, audit: Path, tmp_path: Path) -> None:
    for url in (server.rest, server.grpc):
        listed = CliRunner().invoke(client_app, ["audits", "--url", url])
        assert listed.exit_code == 0, listed.output
        assert report(audit)["audit"] in listed.stdout
        given = [MODEL, report(audit)["audit"], "--url", url, "--html", str(tmp_path / "page.html")]
        shown = CliRunner().invoke(client_app, ["audits", *given])
        assert shown.exit_code == 0, shown.output
        assert "mirrored = yes (error rate): insufficient data" in " ".join(shown.stdout.split())
        assert (tmp_path / "page.html").read_bytes() == (audit / "audit.html").read_bytes()


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
