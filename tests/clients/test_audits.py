"""Audits through the client: the same values and the same bytes over both transports."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clients.audited import AUDIT, FILES, FLAGS, serve_audit
from clients.gateways import FakeGateway
from clients.results.test_results import assert_same
from whybox import Client, InternalError, NotFoundError


def test_the_audits_of_a_model(client: Client, gateway: FakeGateway) -> None:
    listed = serve_audit(gateway)
    [audit] = client.audits()
    assert_same(listed, audit)
    assert audit == client.model().audit
    assert client.audits("lite2") == ()
    assert client.audits("lite0", version="1.0") == (audit,)
    for model, version in (("other", None), ("lite0", "9")):
        with pytest.raises(NotFoundError):
            client.audits(model, version=version)


def test_an_audit_with_its_flags_and_files(client: Client, gateway: FakeGateway, tmp_path: Path) -> None:
    serve_audit(gateway)
    report = client.audit(AUDIT, version="1.0", timeout=7)
    assert report.audit == client.audits()[0]
    assert [(flag.state, flag.attribute, flag.effect, flag.message) for flag in report.flags] == [
        (flag["state"], flag["attribute"], flag["effect"], flag["message"]) for flag in FLAGS
    ]
    assert [repeat.what for repeat in report.flags[1].repeats] == ["norm l2"]
    assert report.flags[0].reasons == ("3 pictures with it",)
    saved = report.save(tmp_path / "new" / "folder")
    assert [path.name for path in saved] == ["audit.json", "audit.html"]
    assert [path.read_bytes() for path in saved] == [*FILES.values()]
    assert report.html is not None
    assert report.html.encode() == FILES["html"]
    assert "DOCTYPE" not in repr(report)


def test_the_page_may_stay_away(client: Client, gateway: FakeGateway, tmp_path: Path) -> None:
    serve_audit(gateway)
    del gateway.files["html"]
    report = client.audit(AUDIT, "lite0", page=False)
    assert (report.html, report.json.encode()) == (None, FILES["json"])
    assert report.save(tmp_path) == (tmp_path / "audit.json",)


@pytest.mark.parametrize(
    ("audit", "model"),
    [
        *((audit, None) for audit in ("other", "../x", "..", ".", "x" * 300)),
        ("a/b", "lite0"),
        (AUDIT, "lite2"),
    ],
)
def test_an_unknown_audit(client: Client, gateway: FakeGateway, audit: str, model: str | None) -> None:
    serve_audit(gateway)
    with pytest.raises(NotFoundError) as caught:
        client.audit(audit, model)
    assert caught.value.reason == "UNKNOWN_AUDIT"


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [({"id": 5}, TypeError, "id"), ({"id": ""}, ValueError, "id"), ({"id": AUDIT, "page": "no"}, TypeError, "page")],
)
def test_wrong_arguments_send_nothing(
    client: Client, given: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        client.audit(**given)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda files: files.update(json=files["json"] + b" "), "is not the file json of audit"),
        (lambda files: files.update(html=b"other"), "is not the file html of audit"),
    ],
)
def test_another_file_than_the_listed_one_is_an_error(
    client: Client, gateway: FakeGateway, spoil: Callable[[dict[str, bytes]], None], words: str
) -> None:
    serve_audit(gateway)
    spoil(gateway.files)
    # Over REST the promised length does not come.
    gateway.models[0].audit.files[0].size = len(gateway.files["json"])
    gateway.models[0].audit.files[1].size = len(gateway.files["html"])
    with pytest.raises(InternalError, match=words) as caught:
        client.audit(AUDIT)
    assert caught.value.reason == "MALFORMED_ANSWER"
