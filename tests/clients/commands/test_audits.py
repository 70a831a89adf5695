"""`whybox audits`: the list, one audit, and its files."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from clients.audited import AUDIT, FILES, serve_audit
from clients.gateways import FakeGateway


def words(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def test_the_list_shows_what_is_flagged(run: Callable[..., Result], gateway: FakeGateway) -> None:
    serve_audit(gateway)
    for arguments in ([], ["lite0"]):
        told = words(run("audits", *arguments))
        assert "model audit data set pictures flags" in told
        assert f"lite0 {AUDIT} chairs 264 1 flagged, 1 insufficient" in told
        assert "wheelchair = 1 (adversarial criticism): flagged. " in told
        assert "are easier to attack: Größe." in told
        assert "Too few pictures" not in told
        assert "1 other finding" in told


def test_models_without_audits(run: Callable[..., Result]) -> None:
    told = "no audit is packed with {}; pack one with: whybox-server pack SPEC --bank AUDIT"
    assert words(run("audits")) == told.format("lite0, lite2")
    assert words(run("audits", "lite2")) == told.format("lite2")
    assert json.loads(run("audits", "--json").stdout) == {"lite0": [], "lite2": []}


def test_the_list_as_json(run: Callable[..., Result], gateway: FakeGateway) -> None:
    serve_audit(gateway)
    listed = json.loads(run("audits", "--json").stdout)
    assert (listed["lite2"], listed["lite0"][0]["id"]) == ([], AUDIT)
    assert listed["lite0"][0]["flags"] == {"flagged": 1, "insufficient_data": 1}
    assert [file["size"] for file in listed["lite0"][0]["files"]] == [len(content) for content in FILES.values()]


def test_an_audit_shows_every_flag_the_flagged_ones_first(run: Callable[..., Result], gateway: FakeGateway) -> None:
    serve_audit(gateway)
    told = words(run("audits", "lite0", AUDIT))
    assert f"audit {AUDIT}: 264 pictures of chairs, 1 class; attributes: wheelchair, wide" in told
    assert told.index("easier to attack") < told.index("wide (calibration): insufficient data. Too few pictures.")
    assert "other finding" not in told


def test_a_stale_audit_says_so(run: Callable[..., Result], gateway: FakeGateway) -> None:
    serve_audit(gateway, differences=["weights"])
    for arguments in (["audits"], ["audits", "lite0", AUDIT]):
        assert "stale: the audited version 0.9 had other weights" in words(run(*arguments))


@pytest.mark.parametrize("json_too", [False, True])
def test_the_files_are_written_as_they_are(
    run: Callable[..., Result], gateway: FakeGateway, folder: Path, json_too: bool
) -> None:
    serve_audit(gateway)
    given = ["--json"] if json_too else []
    result = run("audits", "lite0", AUDIT, "--save", "saved", "--html", "page.html", *given)
    assert result.exit_code == 0, result.output
    assert (folder / "page.html").read_bytes() == (folder / "saved" / "audit.html").read_bytes() == FILES["html"]
    assert (folder / "saved" / "audit.json").read_bytes() == FILES["json"]
    told = [f"wrote {path}" for path in ("saved/audit.json", "saved/audit.html", "page.html")]
    if json_too:
        assert result.stdout.encode() == FILES["json"]
        assert result.stderr.splitlines() == told
    else:
        assert result.stdout.splitlines()[-3:] == told


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["lite0", "other"], 1, "lite0 has no audit 'other'"),
        (["lite9"], 1, "there is no model 'lite9'"),
        (["--html", "page.html"], 2, "name a model and an audit whose files are written"),
        (["lite0", "--save", "saved"], 2, "name a model and an audit whose files are written"),
        (["lite0", AUDIT, "--save", "dog.png"], 1, "dog.png"),
    ],
)
def test_what_cannot_be_done(
    run: Callable[..., Result], gateway: FakeGateway, folder: Path, arguments: list[str], status: int, told: str
) -> None:
    serve_audit(gateway)
    result = run("audits", *arguments)
    assert result.exit_code == status
    assert told in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.output
    assert not (folder / "page.html").exists()
    assert not (folder / "saved").exists()


def test_the_help_teaches(run: Callable[..., Result]) -> None:
    told = words(run("audits", "--help"))
    for taught in ("for whom they fail", "--save", "--html", "whybox audits efficientnet-lite0"):
        assert taught in told
