"""Every command sends the key, from a file or from the environment."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from clients.gateways import FakeGateway
from clients.served_studies import AUTHORIZATION, KEY

COMMANDS = (["analyze", "dog.png"], ["certify", "dog.png", "--sigma", "0.1"], ["models"], ["audits"])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("file", "variable", "sent"),
    [(None, KEY, AUTHORIZATION), (f"{KEY}\n", "whybox_other", AUTHORIZATION), (None, "", None)],
)
def test_where_the_key_comes_from(
    run: Callable[..., Result],
    gateway: FakeGateway,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    file: str | None,
    variable: str,
    sent: str | None,
) -> None:
    monkeypatch.setenv("WHYBOX_KEY", variable)
    if file is not None:
        (folder / "key.txt").write_text(file)
    result = run(*command, *(["--key-file", "key.txt"] if file is not None else []))
    assert set(gateway.authorizations) == {sent}
    assert KEY not in result.output
