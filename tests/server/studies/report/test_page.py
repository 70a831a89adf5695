"""results.json and results.html: what stands in them, and what must not."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from server.studies.answers import raw, vote
from studying import CLEAN, COLLIE, picture, protocol
from whybox_server.studies.errors import StudyError
from whybox_server.studies.protocol import Answer, Cell, Protocol
from whybox_server.studies.report.of_study import subject_of
from whybox_server.studies.report.write import write_results
from whybox_server.studies.results.outcome import ESTIMAND, EXTRAPOLATED
from whybox_server.studies.results.reading import columns
from whybox_server.studies.state import RawVotes

ADVERSARIAL = Cell(arm="none", version="adversarial")
CELLS = (*CLEAN, ADVERSARIAL)
NONE, FEATURE, TWIN = (cell.name for cell in CELLS)
PEOPLE = ("a", "b", "c", "d", "e")
HOSTILE = "<script>alert(1)</script>"

# Number of yes of five, by picture and cell.
YES = {
    ("p0", NONE): 5, ("p0", FEATURE): 5, ("p0", TWIN): 1,
    ("p1", NONE): 2, ("p1", FEATURE): 3, ("p1", TWIN): 0,
    ("p2", NONE): 4, ("p2", FEATURE): 4, ("p2", TWIN): 3,
    ("p3", NONE): 1, ("p3", FEATURE): 5, ("p3", TWIN): 2,
}  # fmt: skip


def study(**policy: Any) -> Protocol:
    """Two errors (p0, p1) and two correct answers (p2, p3), of 10 and 30."""
    pictures = [picture(f"p{number}", CELLS) for number in range(4)]
    pictures[2:] = [each.model_copy(update={"stratum": "correct", "given": COLLIE}) for each in pictures[2:]]
    pictures[0] = pictures[0].model_copy(update={"source": f"{HOSTILE}.jpg"})
    made = protocol(pictures, cells=CELLS, contrasts=[(FEATURE, NONE)], **policy)
    return made.model_copy(update={"source": made.source.model_copy(update={"errors": 10, "correct": 30})})


def answered(**fields: Any) -> RawVotes:
    votes = [
        vote(who, name, cell, answer=Answer.YES if place < YES[name, cell] else Answer.NO, milliseconds=900)
        for (name, cell), (place, who) in product(YES, enumerate(PEOPLE))
    ]
    return raw(study(), *votes, **fields)


def quiet() -> tuple[Console, Console]:
    return Console(quiet=True), Console(quiet=True)


def written(folder: Path, answers: RawVotes) -> tuple[dict[str, Any], str]:
    votes, design = columns(answers)
    write_results(folder, subject_of(answers), votes, design, *quiet(), redraws=100)
    return json.loads((folder / "results.json").read_text()), (folder / "results.html").read_text()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    return written(tmp_path_factory.mktemp("results"), answered())


def test_numbers(results: tuple[dict[str, Any], str]) -> None:
    numbers, _ = results
    assert numbers["study"] == "dogs"
    assert numbers["digest"] == study().digest
    assert numbers["estimand"] == ESTIMAND
    assert numbers["standard_error"] == 0.25
    cells = {cell["cell"]: cell for cell in numbers["cells"]}
    # One of two errors is accepted, and one of two correct answers rejected: 0.25 x 0.5 + 0.75 x 0.5.
    assert cells[NONE]["rectified"]["majority"] == pytest.approx(0.5)
    assert cells[FEATURE]["rectified"]["majority"] == pytest.approx(0)
    (registered,) = (row for row in numbers["contrasts"] if row["registered"])
    assert (registered["plus"], registered["minus"]) == ([FEATURE], [NONE])
    assert registered["difference"]["majority"] == pytest.approx(0.5)


def test_bounds_and_agreement_say_what_they_are_of(tmp_path: Path) -> None:
    """One of 3 errors and 5 of 30 correct answers could not be asked about."""
    answers = answered()
    votes, design = columns(answers)
    design = replace(design, errors=3, unasked_errors=1, correct=30, unasked_correct=5)
    write_results(tmp_path, subject_of(answers), votes, design, *quiet(), redraws=100)
    numbers = json.loads((tmp_path / "results.json").read_text())
    cell, row = numbers["cells"][0], numbers["claims"]["errors"][0]
    assert cell["accepted"]["estimate"] - cell["accepted_at_least"] == pytest.approx(5 / 33)
    assert cell["accepted_at_most"] - cell["accepted"]["estimate"] == pytest.approx(1 / 33)
    assert row["rectified"]["estimate"] - row["rectified_at_least"] == pytest.approx(1 / 33)
    assert row["rectified_at_most"] - row["rectified"]["estimate"] == pytest.approx(5 / 33)
    assert [(row["scope"], row["cell"]) for row in numbers["agreement"]] == [
        ("all_cells", None),
        *(("cell", cell["cell"]) for cell in numbers["cells"]),
    ]


def test_claims(results: tuple[dict[str, Any], str]) -> None:
    claims = results[0]["claims"]
    assert [(row["arm"], row["standard"]) for row in claims["errors"]] == [("none", 0.25), ("feature", 0.25)]
    (adversarial,) = claims["adversarial"]
    # A majority accepts the twin of p2 only, one of two in the stratum of three quarters.
    assert (adversarial["arm"], adversarial["accepted"]["majority"]) == ("none", pytest.approx(0.375))


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_else(results: tuple[dict[str, Any], str]) -> None:
    page = Elements(results[1])
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.elements}
    addresses = [value for _, attributes in page.elements for name in ("href", "src", "xlink:href")
                 if (value := attributes.get(name))]  # fmt: skip
    assert addresses
    assert all(address.startswith("#") for address in addresses)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    targets = [address.removeprefix("#") for address in addresses]
    assert set(targets) <= set(ids)


def test_names_are_text(results: tuple[dict[str, Any], str]) -> None:
    assert HOSTILE not in results[1]
    assert HOSTILE in Elements(results[1]).text


def test_each_section_with_intervals_has_the_estimand(results: tuple[dict[str, Any], str]) -> None:
    sections = re.findall(r"<section.*?</section>", results[1], re.DOTALL)
    with_intervals = [section for section in sections if 'class="whole">(' in section]
    assert len(with_intervals) == 4  # claims, accepted, contrasts, sensitivity
    assert all(ESTIMAND in section.replace("&#39;", "'") for section in with_intervals)


def test_each_plot_is_there_in_words_and_at_two_widths(results: tuple[dict[str, Any], str]) -> None:
    plots = [attributes for tag, attributes in Elements(results[1]).elements if tag == "svg" and "role" in attributes]
    words = [attributes["aria-label"] for attributes in plots]
    assert len(words) == 2 * (4 + len(CELLS))  # errors, accepted, contrasts, agreement, and the answers of each cell
    assert all(words.count(each) == 2 for each in words)
    assert any("no explanation: standard error 25.0" in each for each in words if each)


def test_equal_answers_make_equal_files(tmp_path: Path, results: tuple[dict[str, Any], str]) -> None:
    assert written(tmp_path, answered()) == results


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "The study is still open: these results will change."),
        ({"kind": "pilot"}, "This was a pilot"),
        ({"kind": "preview"}, "This was a preview"),
    ],
)
def test_limits(tmp_path: Path, fields: dict[str, Any], told: str) -> None:
    numbers, page = written(tmp_path, answered(**fields))
    assert any(limit.startswith(told) for limit in numbers["limits"])
    assert told in page


def test_an_early_end_keeps_its_reason(tmp_path: Path) -> None:
    whole = answered(state="closed", close_reason="the money is spent")
    assert written(tmp_path, whole)[0]["limits"] == []
    early = raw(study(), *whole.items[:-1], state="closed", close_reason="the money is spent")
    numbers, page = written(tmp_path, early)
    (limit,) = numbers["limits"]
    assert limit.endswith("Reason: the money is spent")
    assert limit in page
    assert numbers["counts"][0] == {"what": "questions with at least 5 answers", "number": 11, "of": 12}


@pytest.mark.parametrize(
    ("votes", "message"),
    [
        ([], "dogs has no answers yet"),
        ([vote("a", "p0", NONE, answer=Answer.CANNOT_JUDGE)], "dogs has no results: nobody voted"),
    ],
)
def test_nothing_to_say(tmp_path: Path, votes: list[Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        written(tmp_path / "results", raw(study(), *votes))


def test_estimates_from_fewer_than_five_votes_are_marked(tmp_path: Path) -> None:
    whole = answered()
    few = replace(whole, items=tuple(one for one in whole.items if one.annotator_id != "e"))
    for answers, marked in ((whole, False), (few, True)):
        numbers, page = written(tmp_path / str(marked), answers)
        assert numbers["extrapolated"] == (EXTRAPOLATED if marked else "")
        assert all(cell["accepted"]["extrapolated"] is marked for cell in numbers["cells"])
        assert all(one["difference"]["extrapolated"] is marked for one in numbers["contrasts"])
        assert (EXTRAPOLATED in page, page.count(" extrapolated") > 10) == (marked, marked)
