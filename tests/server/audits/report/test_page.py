"""The page of an audit: every number and name on it is looked up, and it needs nothing but itself."""

import base64
import hashlib
import json
import statistics
import zipfile
from collections.abc import Generator, Iterable
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from google.protobuf import json_format
from PIL import Image
from pyarrow import parquet
from rich.console import Console
from typer.testing import CliRunner

from server.audits.criticism.planted import measured, shifted
from whybox import v1
from whybox_server.audits.calibration.run import Calibrated
from whybox_server.audits.counterfactual.check import with_checks
from whybox_server.audits.counterfactual.plan import CheckOptions
from whybox_server.audits.criticism.find import find
from whybox_server.audits.criticism.findings import CounterfactualCheck, Findings, Shift
from whybox_server.audits.criticism.options import CriticismOptions
from whybox_server.audits.criticism.pictures import Measurements
from whybox_server.audits.data.dataset import Labelled
from whybox_server.audits.passes.journal import INTRINSIC, Outcome, Record
from whybox_server.audits.passes.pictures import PICTURES
from whybox_server.audits.passes.workers import Work
from whybox_server.audits.report.groups import groups
from whybox_server.audits.report.manifest import MANIFEST, audit_id, column_entries, write_manifest
from whybox_server.audits.report.page import write
from whybox_server.audits.report.page.citations import FORMATS, Citations
from whybox_server.audits.report.page.figures import strips
from whybox_server.audits.report.page.write import LIMITS, PAGE, write_page
from whybox_server.audits.report.rounds import Rounds
from whybox_server.cli.app import app

HOSTILE = "</style><script>alert(1)</script>\"'&amp;<img src=x onerror=alert(1)>{{ 7 * 7 }}"
VOID = {"meta", "img", "br", "link"}


class Parsed(HTMLParser):
    """What the page holds: numbers and texts with their places, elements, and the rest of its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.numbers: list[tuple[dict[str, str | None], str]] = []
        self.words: list[tuple[str, str]] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(page)
        self.close()
        assert not self._open, "elements are not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append((tag, dict(attrs), ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        opened, attributes, text = self._open.pop()
        assert opened == tag
        if tag == "data":
            self.numbers.append((attributes, text))
        elif "data-from" in attributes:
            self.words.append((attributes["data-from"] or "", text))

    def handle_data(self, data: str) -> None:
        if not self._open:
            return
        tag, attributes, text = self._open.pop()
        self._open.append((tag, attributes, text + data))
        drawn = any(name in ("svg", "style", "title", "cite") for name, *_ in self._open)
        cited = "data-from" in attributes or attributes.get("class") == "cell"
        if not (drawn or cited):
            self.text += data


class Audited:
    """An audit of measurements, with its page."""

    def __init__(
        self,
        folder: Path,
        measurements: Measurements,
        labels: list[str],
        options: CriticismOptions | None = None,
        pictures: Path | None = None,
        faults: int = 0,
        calibrated: Calibrated | None = None,
    ) -> None:
        options = options or CriticismOptions()
        folder.mkdir(exist_ok=True)
        encoded = {file: (pictures / file).read_bytes() if pictures else b"" for file in measurements.files}
        digests = [hashlib.sha256(content).hexdigest() for content in encoded.values()]
        parquet.write_table(pa.table({"file": list(measurements.files), "sha256": digests}), folder / PICTURES)
        inputs = "0123456789abcdef" * 4
        findings = find(measurements, labels, options, audit_id=audit_id(inputs))
        checking = CheckOptions("blur", options.primary_norm, options.seed)
        findings = with_a_check(with_checks(findings, measurements, None, checking, Console(quiet=True)))
        settings = {
            "model": HOSTILE,
            "version": "1.0",
            "digests": {"weights_sha256": "ab"},
            "attack": "fmn",
            "budget": 6,
            "norms": list(measurements.distances),
            "confirm": None,
            "choice": {"where": ["a=<b>"]},
        }
        data = {
            "folder": HOSTILE,
            "pictures": 1234,
            "measured": 1200,
            "counted": len(measurements),
            "same": 3,
            "near": 4,
            "contradictory": 5,
            "not_of_the_model": 6,
            "left_out": 7,
            "unlabelled": 8,
            "failed": [],
            "unreadable": [{"file": f"{HOSTILE}{number}.jpg", "error": "<damaged>"} for number in range(faults)],
        }
        self.manifest = write_manifest(
            *(
                folder,
                inputs,
                settings,
                data,
                column_entries([], findings),
                groups(measurements),
                findings,
                Rounds(findings),
            ),
            calibrated,
        )
        write_page(folder, self.manifest, measurements, options, pictures)
        self.page = (folder / PAGE).read_text(encoding="utf-8")
        self.parsed = Parsed(self.page)


def calibrated(state: str = "ok", name: str = "others") -> Calibrated:
    """A calibration with two levels and two classes, or with too few pictures."""
    shares = {"covered": 45, "n": 50, "coverage": 0.9, "ci_low": 0.7819, "ci_high": 0.9667}
    classes = [{"class_index": index, "class_label": f"{name} {index}", **shares} for index in range(2)]
    sizes = {"mean_size": 2.25, "median_size": 1.5, "largest_size": 17}
    level = {**shares, **sizes, "by_class": classes}
    sets = [
        {"method": "aps", "alpha": 0.1, "threshold": 0.75, "p_value": 0.037, **level},
        {"method": "lac", "alpha": 0.001, "threshold": None, "p_value": None, **level},
    ]
    entries = {
        "state": state,
        "message": "" if state == "ok" else "99 of 120 calibration pictures are usable",
        "data_set": name,
        "pictures": 120,
        "usable": 99,
        "n": 50,
        "coverage_n": 49,
        "left_out": {"unreadable": 1, "failed": 2, "contradictory": 3, "audited": 4, "copy": 11},
        "confidence": 0.95,
        "min_class": 20,
        "sets": sets if state == "ok" else [],
    }
    return Calibrated(entries, "ab")


def with_a_check(findings: Findings) -> Findings:
    """The findings, where a check was made for the first flagged one."""
    changes = [
        Shift("answer", "share of the pictures", 40, 0.3, 0.05, 0.25, 0.125, 0.375),
        Shift("margin", "logits", 40, -1.5, -0.25, -1.25, -1.75, -0.75),
        Shift("margin_size", "logits", 40, 1.75, 0.5, 1.25, 0.75, 1.5),
        Shift("distance", "distance in linf", 31, -0.0015, -0.0005, -0.001, -0.0025, -0.0001),
    ]
    check = CounterfactualCheck(
        "checked", "", "blur", 40, 5, 3, 2, 7, tuple(changes), f"Without {HOSTILE} the margin is smaller."
    )
    found = list(findings.findings)
    for place, finding in enumerate(found):
        if finding.flag.state == "flagged":
            found[place] = replace(finding, flag=replace(finding.flag, counterfactual=check))
            break
    return replace(findings, findings=tuple(found))


def planted(attribute: str = "cue", label: str = "cat", seed: int = 0) -> tuple[Measurements, list[str]]:
    """One class with a strong effect, one with none, and one with too few pictures; some answers are wrong."""
    generator = np.random.default_rng(seed)
    strong, first = shifted(60, 61, -0.6, generator)
    weak, second = shifted(40, 40, 0.0, generator)
    distances = np.array([*strong, *weak, *generator.exponential(1.0, 8)])
    distances[::9] = 0
    distances[130] = np.inf
    values = np.array([*first, *second, *([0, 1] * 4)])
    measurements = measured(
        distances,
        {attribute: values, f"{attribute} too": generator.integers(0, 3, len(values)), "constant": ["x"] * len(values)},
        labels=[0] * 121 + [1] * 80 + [2] * 8,
        confidence=generator.uniform(0.3, 1, len(values)),
        radii=np.where(np.isinf(distances), 100.0, distances),
        other_norms={"l2": np.where(distances > 0, distances * generator.uniform(0.5, 2, len(values)), 0)},
        reasons=generator.random(len(values)) < 0.1,
        confounders={"wide": generator.integers(0, 2, len(values))},
    )
    return measurements, [label, "dog", "owl"]


@pytest.fixture(scope="module", params=[CriticismOptions(), CriticismOptions(confounders=("wide",))])
def audited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Audited:
    folder = tmp_path_factory.mktemp("audit")
    return Audited(folder, *planted(HOSTILE, HOSTILE), request.param, faults=2, calibrated=calibrated(name=HOSTILE))


def looked_up(manifest: dict[str, Any], place: str) -> Any:
    found: Any = manifest
    for key in place.split("/")[1:]:
        found = found[int(key) if isinstance(found, list) else key]
    return found


def test_every_number_is_that_of_the_findings(audited: Audited) -> None:
    numbers = [(attributes, text) for attributes, text in audited.parsed.numbers]
    cited = [entry for entry in numbers if not str(entry[0]["data-from"]).startswith(("/limits/", "/drawn/"))]
    assert len(cited) > 150
    for attributes, text in cited:
        expected = looked_up(audited.manifest, attributes["data-from"] or "")
        if isinstance(expected, list):
            name, _, wanted = (attributes.get("data-where") or "").partition("=")
            expected = sum(not name or entry[name] == wanted for entry in expected)
        assert float(attributes["value"] or "") == expected
        assert text in {form(expected) for form in FORMATS.values()}
    assert {place for place, _ in ((str(a["data-from"]), t) for a, t in numbers) if "/limits/" in place} <= {
        f"/limits/{name}" for name in vars(LIMITS)
    }


def test_each_question_has_its_numbers_below_their_headings(audited: Audited) -> None:
    forms = {"effect": "signed", "ci_low": "signed", "ci_high": "signed", "n_with": "count", "n_without": "count"}
    forms |= {"q_value": "size", "minimum_detectable_effect": "ratio"}
    headings = "effectintervaln with / withoutqdetectable"
    assert headings in audited.parsed.text
    numbers = [(str(attributes["data-from"]), text) for attributes, text in audited.parsed.numbers]
    for place, flag in enumerate(audited.manifest["flags"]):
        row = [
            (f"/flags/{place}/{name}", FORMATS[form](flag[name]))
            for name, form in forms.items()
            if flag[name] is not None
        ]
        assert any(numbers[start : start + len(row)] == row for start in range(len(numbers))), place


def test_every_name_and_sentence_is_that_of_the_findings(audited: Audited) -> None:
    assert len(audited.parsed.words) > 100
    for place, text in audited.parsed.words:
        expected = str(looked_up(audited.manifest, place))
        # The id of the audit stands at the head of the page alone.
        assert text in (expected, expected.replace("_", " ")) or (
            place.endswith("/message") and expected.endswith(text[1:])
        )


def test_no_number_stands_outside_of_a_citation(audited: Audited) -> None:
    assert not [word for word in audited.parsed.text.split() if any(letter.isdigit() for letter in word)]


def test_each_state_has_its_sentences_and_its_mark(audited: Audited) -> None:
    states = {flag["state"] for flag in audited.manifest["flags"]}
    assert states == {"flagged", "not_detected", "insufficient_data"}
    messages = [place for place, _ in audited.parsed.words if place.endswith("/message")]
    told = [place for place in messages if not place.endswith("/counterfactual/message")]
    assert len(messages) == len(told) + 1
    flags = audited.manifest["flags"]
    shown = [looked_up(audited.manifest, place.removesuffix("/message"))["state"] for place in told]
    flagged = sum(flag["state"] == "flagged" for flag in flags)
    assert shown == ["flagged"] * flagged + ["not_detected"] * LIMITS.others
    assert all(mark in audited.parsed.text for mark in ("■", "○", "…"))
    assert "unbiased" not in audited.parsed.text


def test_distances_are_those_of_the_groups(audited: Audited) -> None:
    measurements, _ = planted(HOSTILE, HOSTILE)
    assert audited.manifest["statistics"]["options"]["primary_norm"] == "linf"
    medians = {
        str(attributes["data-from"]): float(attributes["value"] or "")
        for attributes, _ in audited.parsed.numbers
        if str(attributes["data-from"]).startswith("/drawn/")
    }
    drawn = [place for place in medians if place.endswith("/median")]
    assert drawn
    if audited.manifest["statistics"]["options"]["confounders"]:
        strata = [f"{wide}" for wide in measurements.confounders["wide"]]
        assert len(set(strata)) == 2  # both are in each group, so that no picture is left out
    for place in drawn:
        _, _, number, side, _ = place.split("/")
        flag = audited.manifest["flags"][int(number)]
        values = measurements.attributes[flag["attribute"]]
        distances = [
            measurements.distances["linf"][row]
            for row in range(len(measurements))
            if measurements.right[row]
            and measurements.labels[row] == flag["class_index"]
            and (values[row] == flag["value"]) == (side == "with")
        ]
        assert medians[place] == statistics.median(distances)
        assert medians[f"/drawn/{number}/{side}/n"] == len(distances) == flag[f"n_{side}"]


def test_hostile_names_stay_text(audited: Audited) -> None:
    tags = {tag for tag, _ in audited.parsed.elements}
    assert "script" not in tags
    assert not any(name.startswith("on") for _, attributes in audited.parsed.elements for name in attributes)
    assert any(text == HOSTILE for _, text in audited.parsed.words)


def test_the_page_asks_for_nothing(audited: Audited) -> None:
    addresses = [
        attributes[name]
        for _, attributes in audited.parsed.elements
        for name in ("src", "href", "srcset", "action")
        if name in attributes
    ]
    assert [address for address in addresses if not str(address).startswith(("#", "data:"))] == [
        "https://arxiv.org/abs/1711.11443"
    ]
    assert {"link", "iframe", "object", "script"}.isdisjoint(tag for tag, _ in audited.parsed.elements)
    style = audited.page[audited.page.index("<style>") : audited.page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_a_check_stands_with_the_finding_before_its_id_and_its_notes(audited: Audited) -> None:
    places = [place for place, _ in audited.parsed.words]
    [check] = (place for place in places if place.endswith("/counterfactual/message"))
    flag = check.removesuffix("/counterfactual/message")
    order = [places.index(place) for place in (f"{flag}/message", check, f"{flag}/id")]
    assert order == sorted(order)
    notes = f"<!--notes {looked_up(audited.manifest, flag)['id']}-->"
    assert audited.page.index(f'"{check}"') < audited.page.index(notes)


def test_no_caption_scrolls_away_with_its_table(audited: Audited) -> None:
    assert "caption" not in {tag for tag, _ in audited.parsed.elements}


def test_figures_and_tables_can_be_read_aloud(audited: Audited) -> None:
    outer = [attributes for tag, attributes in audited.parsed.elements if tag == "svg" and "x" not in attributes]
    assert len(outer) > 5
    assert all(attributes.get("role") == "img" and attributes.get("aria-label") for attributes in outer)
    headings = [attributes for tag, attributes in audited.parsed.elements if tag == "th"]
    assert headings
    assert all(attributes.get("scope") in ("col", "row", "rowgroup") for attributes in headings)
    identities = [attributes["id"] for _, attributes in audited.parsed.elements if "id" in attributes]
    links = [str(attributes["href"]) for tag, attributes in audited.parsed.elements if tag == "a"]
    assert len(set(identities)) == len(identities)
    assert {link[1:] for link in links if link.startswith("#")} == set(identities)


def test_the_same_findings_give_the_same_bytes(tmp_path: Path) -> None:
    pages = [Audited(tmp_path / name, *planted()).page for name in ("a", "b")]
    assert pages[0] == pages[1]


def test_many_classes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    classes, each = 240, 10
    monkeypatch.setattr(write, "LIMITS", write.Limits(classes=5, rows=20))
    measurements = measured(
        generator.exponential(1.0, classes * each) * 1e-3,
        {"cue": generator.integers(0, 2, classes * each)},
        labels=np.repeat(np.arange(classes), each),
    )
    audited = Audited(tmp_path, measurements, [f"class {number}" for number in range(classes)])
    at = [place for place, _ in audited.parsed.words]
    shown = {place.split("/")[2] for place in at if place.startswith("/classes/") and place.endswith("/file")}
    assert len(shown) == 5
    assert sum(place.startswith("/classes/") and place.endswith("/class_label") for place in at) == 5 + 20
    assert "are shown here; audit.json has all of them" in " ".join(audited.parsed.text.split()).replace(" .", ".")


def test_an_audit_without_distances_or_confidence(tmp_path: Path) -> None:
    measurements, labels = planted()
    bare = replace(measurements, distances={}, searched_radius={}, reasons={})
    audited = Audited(tmp_path, replace(bare, confidence=np.full(len(bare), np.nan)), labels)
    headings = {attributes["id"] for _, attributes in audited.parsed.elements if "id" in attributes}
    assert headings == {"about", "findings", "effects", "columns", "left-out", "method"}
    assert {flag["kind"] for flag in audited.manifest["flags"]} == {"error_rate"}


def test_coverage_stands_in_a_row_for_each_level(audited: Audited) -> None:
    numbers = [(str(attributes["data-from"]), text) for attributes, text in audited.parsed.numbers]
    row = [
        ("alpha", "0.1"),
        ("coverage", "90.0\N{NO-BREAK SPACE}%"),
        ("ci_low", "78.2\N{NO-BREAK SPACE}%"),
        ("ci_high", "96.7\N{NO-BREAK SPACE}%"),
        ("covered", "45"),
        ("n", "50"),
        ("p_value", "0.037"),
        ("mean_size", "2.25"),
        ("median_size", "1.5"),
        ("largest_size", "17"),
    ]
    start = numbers.index(("/calibration/sets/0/alpha", "0.1"))
    assert numbers[start : start + len(row)] == [(f"/calibration/sets/0/{name}", text) for name, text in row]
    by_class = [place for place, _ in audited.parsed.words if "/by_class/" in place]
    assert by_class == [
        f"/calibration/sets/{level}/by_class/{number}/class_label" for number in (0, 1) for level in (0, 1)
    ]


def test_a_calibration_with_too_few_pictures_says_so(tmp_path: Path) -> None:
    measurements = measured([1.0, 2.0, 0.0], {"same": ["x"] * 3})
    audited = Audited(tmp_path, measurements, ["cat", "dog", "owl"], calibrated=calibrated("insufficient_data"))
    assert ("/calibration/message", "99 of 120 calibration pictures are usable") in audited.parsed.words
    assert "Too little data:" in audited.parsed.text
    assert not any(
        str(attributes["data-from"]).startswith("/calibration/sets") for attributes, _ in audited.parsed.numbers
    )


def test_an_audit_that_asks_nothing(tmp_path: Path) -> None:
    audited = Audited(tmp_path, measured([1.0, 2.0, 0.0], {"same": ["x"] * 3}), ["cat", "dog", "owl"])
    assert audited.manifest["flags"] == []
    assert "No question could be answered" in audited.parsed.text


def encoded(size: tuple[int, int], color: str, kind: str = "PNG") -> bytes:
    content = BytesIO()
    Image.new("RGB", size, color).save(content, kind)
    return content.getvalue()


@pytest.mark.parametrize(
    ("size", "shown"), [((200, 100), (192, 96)), ((30, 60), (96, 192)), ((96, 96), (96, 96)), ((1000, 100), (192, 96))]
)
def test_thumbnails(tmp_path: Path, size: tuple[int, int], shown: tuple[int, int]) -> None:
    data = tmp_path / "data"
    data.mkdir()
    measurements = measured(np.linspace(0.1, 1, 10), {"cue": [0, 1] * 5})
    for file in measurements.files:
        (data / file).write_bytes(encoded(size, "red"))
    audited = Audited(tmp_path / "audit", measurements, ["cat", "dog", "owl"], pictures=data)
    pictures = [attributes for tag, attributes in audited.parsed.elements if tag == "img"]
    assert len(pictures) == 4  # two prototypes and two criticisms, a fifth of ten each
    for attributes in pictures:
        assert (attributes["width"], attributes["height"]) == tuple(map(str, shown))
        assert "of cat: " in str(attributes["alt"])
        kind, _, content = str(attributes["src"]).partition(",")
        assert kind == "data:image/jpeg;base64"
        picture = Image.open(BytesIO(base64.b64decode(content)))
        assert picture.size == shown
        red, *others = picture.convert("RGB").getpixel((20, 20))  # type: ignore[misc]
        assert red > 240
        assert max(others) < 15


def test_a_picture_that_changed_is_not_shown(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    measurements = measured(np.linspace(0.1, 1, 10), {"cue": [0, 1] * 5})
    for file in measurements.files:
        (data / file).write_bytes(encoded((32, 32), "red"))
    audited = Audited(tmp_path / "audit", measurements, ["cat", "dog", "owl"], pictures=data)
    (data / "0.png").write_bytes(encoded((32, 32), "blue"))
    (data / "1.png").unlink()
    write_page(tmp_path / "audit", audited.manifest, measurements, CriticismOptions(), data)
    parsed = Parsed((tmp_path / "audit" / PAGE).read_text(encoding="utf-8"))
    assert sum(tag == "img" for tag, _ in parsed.elements) == 2
    assert "the file has changed since it was measured" in parsed.text
    assert "the file can no longer be read" in parsed.text


@pytest.mark.parametrize(
    ("distances", "places", "median"),
    [
        ([1e-3, 1e-2, 1e-1], [0.5, 47.0, 94.0], 1e-2),
        ([1e-2, 1e-1, np.inf], [0.5, 94.0, 98.0], 1e-1),
        ([1e-2, np.inf, np.inf], [0.5, 98.0, 98.0], None),
        ([np.inf, np.inf], [98.0, 98.0], None),
    ],
)
def test_strips(distances: list[float], places: list[float], median: float | None) -> None:
    having = strips(np.array(distances), np.array(distances)).having
    assert [dot.x for dot in having.dots] == places
    assert [dot.found for dot in having.dots] == list(np.isfinite(distances))
    assert having.median == median


def test_large_groups_are_drawn_evenly_by_rank() -> None:
    distances = np.linspace(0.1, 1, 10_000)
    drawn = strips(distances, distances[:7])
    assert (drawn.having.n, len(drawn.having.dots), len(drawn.others.dots)) == (10_000, LIMITS.points, 7)
    assert [drawn.having.dots[0].x, drawn.having.dots[-1].x] == [0.5, 94.0]


def test_citations() -> None:
    cite = Citations({"a": [{"n": 1234.5, "s": "x<y"}, {"n": None, "s": "z"}]})
    assert cite("/a/0/n", "signed") == '<data value="1234.5" data-from="/a/0/n">+1234.50</data>'
    assert cite("/a/1/n", none="none <found>") == "none &lt;found&gt;"
    assert cite("/a", s="z") == '<data value="1" data-from="/a" data-where="s=z">1</data>'
    assert cite.words("/a/0/s") == '<span data-from="/a/0/s">x&lt;y</span>'
    with pytest.raises(TypeError, match="no number"):
        cite("/a/0/s")


@pytest.mark.parametrize("options", [[], ["--no-thumbnails"]])
def test_the_command_writes_the_page(options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(work: Work, pictures: Iterable[Labelled], *_: object) -> Generator[list[Record]]:
        for number, picture in enumerate(pictures):
            digest = hashlib.sha256((work.folder / picture.file).read_bytes()).hexdigest()
            found = Outcome("found", 0.1 + number / 100, None, 1.0, None, 0, 2, 9, "evaluations", ())
            looks = dict.fromkeys(INTRINSIC, 1.0)
            told = (picture.file, digest, picture.label, picture.label, 0.9, {"linf": found}, looks, digest[:16])
            yield [Record(*told)]

    monkeypatch.setattr("whybox_server.audits.passes.pool._measured", measure)
    model = v1.Model(name="m", version="1", num_classes=2, labels=["cat", "dog"], norms=["linf"], default_attack="fmn")
    model.attacks.append(v1.Attack(name="fmn", norms=["linf"]))
    with zipfile.ZipFile(tmp_path / "m-1.mar", "w") as archive:
        archive.writestr("manifest.json", json_format.MessageToJson(model))
    (tmp_path / "data").mkdir()
    rows = []
    for number in range(40):
        (tmp_path / "data" / f"{number}.png").write_bytes(encoded((32, 32), f"rgb({number}, 0, 0)"))
        rows.append(f"{number}.png,cat,{number % 2}")
    (tmp_path / "table.csv").write_text("\n".join(["file,label,cue", *rows]))
    given = [tmp_path / "data", "--labels", tmp_path / "table.csv", "--model-store", tmp_path, "--workers", 1]
    save = tmp_path / "audit"
    done = CliRunner().invoke(app, ["audit", *map(str, given), "--save", str(save), *options])
    assert done.exit_code == 0, done.output
    assert f"saved {save / PAGE}" in done.output.replace("\n", "")
    parsed = Parsed((save / PAGE).read_text(encoding="utf-8"))
    assert ("/audit", json.loads((save / MANIFEST).read_text())["audit"]) in parsed.words
    assert sum(tag == "img" for tag, _ in parsed.elements) == (0 if options else 2 * LIMITS.pictures)
    assert ("Thumbnails are left out of this page." in parsed.text) == bool(options)


def test_the_command_writes_a_page_of_predictions(tmp_path: Path) -> None:
    table, save = tmp_path / "predictions.csv", tmp_path / "audit"
    rows = [f"{row}.jpg,{row % 2},{row % 2 if row % 3 else 0},0.9,{row // 2 % 2}" for row in range(200)]
    table.write_text("\n".join(["file,label,predicted,confidence,cue", *rows]))
    done = CliRunner().invoke(app, ["audit", "--predictions", str(table), "--save", str(save)])
    assert done.exit_code == 0, done.output
    parsed = Parsed((save / PAGE).read_text(encoding="utf-8"))
    assert ("/settings/predictions", hashlib.sha256(table.read_bytes()).hexdigest()) in parsed.words
