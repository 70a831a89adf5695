"""results.html of studies in a real browser, at the widths of phones and of a desk."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from rich.console import Console
from typer.testing import CliRunner

from browsing import SIZES, Looks, opened
from clients.served_studies import answers
from server.studies.imports.publications import label_errors
from whybox_server.cli.app import app
from whybox_server.studies.report.of_study import subject_of
from whybox_server.studies.report.write import write_results
from whybox_server.studies.results.reading import columns


def of_a_study(folder: Path) -> None:
    raw = answers()
    votes, design = columns(raw)
    quiet = Console(quiet=True)
    write_results(folder, subject_of(raw), votes, design, quiet, quiet, redraws=100)


def of_published_votes(folder: Path) -> None:
    (folder / "published").mkdir(parents=True)
    pictures = [(5, 0, 0, 0), (0, 5, 0, 0), (1, 1, 3, 0), (0, 1, 0, 4), (2, 2, 1, 0)] * 4
    published = label_errors(folder / "published", pictures)
    command = ["study", "import", "label-errors", published, "--save", folder]
    outcome = CliRunner().invoke(app, list(map(str, command)))
    assert outcome.exit_code == 0, outcome.output


@pytest.fixture(scope="module", params=[of_a_study, of_published_votes])
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write: Callable[[Path], None] = request.param
    write(folder)
    return folder / "results.html"


@pytest.mark.parametrize("size", SIZES)
def test_results(chromium: Browser, results: Path, size: str, scheme: str, request: pytest.FixtureRequest) -> None:
    with opened(chromium, size, scheme) as context:
        page = context.new_page()
        looks = Looks(page, f"results-{request.node.callspec.id}")
        page.goto(results.as_uri())
        looks.at("top")
        assert page.get_by_role("heading", level=1).inner_text()
        for link in page.get_by_role("navigation").get_by_role("link").all():
            link.click()
            # The whole heading is in sight.
            target = (link.get_attribute("href") or "").removeprefix("#")
            assert page.evaluate("(id) => document.getElementById(id).getBoundingClientRect().top", target) >= 0
