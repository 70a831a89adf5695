"""Who asks, and whether the person's own page asks: signed cookies, tokens of forms, seals of pictures."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from itsdangerous import BadSignature, Signer, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import Response

_COOKIE = "whybox_study"
_DAYS = 60
_SECONDS = _DAYS * 24 * 3600
# Without both, a signature of one thing would do for another.
_COOKIE_SALT, _FORM_SALT, _PICTURE_SALT = "session of a study", "form of a study", "picture of a study"


@dataclass(frozen=True)
class Session:
    """A person in one browser.

    Attributes:
        study_id: The study.
        annotator_id: The person.
        nonce: Random; another one for each browser.
    """

    study_id: str
    annotator_id: str
    nonce: str


class Keyring:
    """Signs for one study.

    Args:
        study_id: The study.
        key: Its secret key.
    """

    def __init__(self, study_id: str, key: bytes) -> None:
        self._study_id, self._key = study_id, key
        self._cookies = URLSafeTimedSerializer(
            key, salt=_COOKIE_SALT, signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"}
        )

    def begin(self, request: Request, response: Response, annotator_id: str) -> None:
        """Begins a session: the cookie goes with the response, and comes back for this study alone."""
        value = self._cookies.dumps([self._study_id, annotator_id, secrets.token_urlsafe(16)])
        response.set_cookie(
            _COOKIE,
            value,
            max_age=_SECONDS,
            path=_path(request, self._study_id),
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )

    def end(self, request: Request, response: Response) -> None:
        """Ends a session in this browser."""
        response.delete_cookie(
            _COOKIE,
            path=_path(request, self._study_id),
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )

    def session(self, request: Request) -> Session | None:
        """The session of a request; None without a cookie of this study that is signed and at most 60 days old."""
        try:
            study_id, annotator_id, nonce = self._cookies.loads(request.cookies.get(_COOKIE, ""), max_age=_SECONDS)
        except BadSignature:
            return None
        return Session(study_id, annotator_id, nonce) if study_id == self._study_id else None

    def form_token(self, session: Session) -> str:
        """What every form of the session carries."""
        return self._sign(_FORM_SALT, session.nonce)

    def is_form_token(self, session: Session, token: str) -> bool:
        """Whether a form is of this session."""
        return hmac.compare_digest(self.form_token(session).encode(), token.encode())

    def seal(self, annotator_id: str, digest: str) -> str:
        """Lets the person see a file: it stands in addresses that only the person's own questions hold."""
        return self._sign(_PICTURE_SALT, f"{annotator_id}/{digest}")

    def is_seal(self, annotator_id: str, digest: str, seal: str) -> bool:
        """Whether the person was shown the file."""
        return hmac.compare_digest(self.seal(annotator_id, digest).encode(), seal.encode())

    def _sign(self, salt: str, value: str) -> str:
        signer = Signer(self._key, salt=salt, digest_method=hashlib.sha256, key_derivation="hmac")
        return signer.get_signature(value).decode()


def is_own_page(request: Request) -> bool:
    """Whether a form was sent by a page of this server. Browsers that say nothing are told by the token alone."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    same_host = origin is None or urlsplit(origin).netloc == request.headers.get("host", "")
    return site == "same-origin" and same_host


def _path(request: Request, study_id: str) -> str:
    return f"{request.scope.get('root_path', '')}/{study_id}"
