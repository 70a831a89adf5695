"""Signed invitations, completion codes, and what is kept of a name that a crowd platform gives."""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime

from itsdangerous import BadData, URLSafeSerializer

from whybox_server.studies.errors import InvitationError

_REMEDY = "ask the people who run the study for a new one"


def new_secret() -> bytes:
    """The secret of a new study, 256 bits."""
    return secrets.token_bytes(32)


def new_name() -> str:
    """A random name of a person, 128 bits in 22 characters."""
    return secrets.token_urlsafe(16)


class Signer:
    """Signs for one study, by HMAC-SHA-256. Signatures are compared in constant time.

    Args:
        secret: Of the study.
        study_id: Signed with everything, should two studies ever have the same secret.
    """

    def __init__(self, secret: bytes, study_id: str) -> None:
        self._secret, self._study_id = secret, study_id
        self._invitations = URLSafeSerializer(
            secret,
            salt=f"whybox/invitation/{study_id}".encode(),
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )

    def invitation(self, annotator_id: str, until: datetime) -> str:
        """A token that lets the person in until then; a URL may hold it."""
        signed = self._invitations.dumps([annotator_id, int(until.timestamp())])
        return signed if isinstance(signed, str) else signed.decode()

    def invited(self, token: str, now: datetime) -> str:
        """The name of the person whom a token lets in.

        Raises:
            InvitationError: The token is forged, of another study, or expired.
        """
        try:
            annotator_id, until = self._invitations.loads(token)
        except (BadData, UnicodeError):
            raise InvitationError(f"this is no invitation to this study; {_REMEDY}") from None
        if now.timestamp() >= until:
            raise InvitationError(f"the invitation has expired; {_REMEDY}")
        return str(annotator_id)

    def hidden(self, external_id: str) -> str:
        """What is kept of a name: its HMAC, 64 hexadecimal digits."""
        return self._mac("external", external_id).hex()

    def completion_code(self, annotator_id: str) -> str:
        """What a person shows to be paid: 12 letters and digits."""
        return base64.b32encode(self._mac("completion", annotator_id)).decode()[:12]

    def page_key(self) -> bytes:
        """The key by which pages sign what browsers keep, 256 bits; it tells nothing about the secret."""
        return self._mac("pages", "")

    def _mac(self, purpose: str, text: str) -> bytes:
        return hmac.digest(self._secret, f"whybox/{purpose}/{self._study_id}/{text}".encode(), "sha256")
