"""Tokens that let people in."""

from datetime import timedelta

import pytest

from studying import UtcClock
from whybox_server.studies.errors import InvitationError
from whybox_server.studies.invitations import Signer, new_name, new_secret

SECRET, NOW = b"s" * 32, UtcClock().now
SIGNER = Signer(SECRET, "dogs")
TOKEN = SIGNER.invitation("anna", NOW + timedelta(hours=1))


def test_a_token_lets_in_until_it_expires() -> None:
    assert SIGNER.invited(TOKEN, NOW) == SIGNER.invited(TOKEN, NOW + timedelta(minutes=59)) == "anna"
    with pytest.raises(InvitationError, match="expired"):
        SIGNER.invited(TOKEN, NOW + timedelta(hours=1))


@pytest.mark.parametrize(
    ("signer", "token"),
    [
        (Signer(SECRET, "cats"), TOKEN),
        (Signer(new_secret(), "dogs"), TOKEN),
        (SIGNER, ""),
        (SIGNER, "."),
        (SIGNER, "é" * 40),
        (SIGNER, "\0"),
        (SIGNER, TOKEN[:-1]),
        (SIGNER, TOKEN.rsplit(".", 1)[0]),
        (SIGNER, f"{TOKEN.rsplit('.', 1)[0]}."),
        (SIGNER, f"{Signer(SECRET, 'dogs').invitation('eva', NOW).rsplit('.', 1)[0]}.{TOKEN.rsplit('.', 1)[1]}"),
    ],
)
def test_no_other_token_lets_in(signer: Signer, token: str) -> None:
    with pytest.raises(InvitationError, match="no invitation to this study"):
        signer.invited(token, NOW)


def test_every_character_of_a_token_counts() -> None:
    """Of the last one only some bits: base64 holds 256 bits in 43 characters."""
    for place in range(len(TOKEN) - 1):
        forged = TOKEN[:place] + ("A" if TOKEN[place] != "A" else "B") + TOKEN[place + 1 :]
        with pytest.raises(InvitationError):
            SIGNER.invited(forged, NOW)


def test_names_and_codes_tell_nothing() -> None:
    assert len({new_name() for _ in range(1000)}) == 1000
    assert len(new_name()) == 22
    assert SIGNER.hidden("worker-7") == SIGNER.hidden("worker-7") != Signer(SECRET, "cats").hidden("worker-7")
    assert "worker" not in SIGNER.hidden("worker-7")
    assert SIGNER.completion_code("anna") != SIGNER.completion_code("eva")
    assert SIGNER.completion_code("anna") != Signer(SECRET, "cats").completion_code("anna")
    assert len(SIGNER.completion_code("anna")) == 12
