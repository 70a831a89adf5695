"""Whether a caller may do what it asks for."""

import base64
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from whybox.v1.errors import PermissionDeniedError, UnauthenticatedError, UnavailableError
from whybox_server.access.keys import Key, KeyFile, KeyFileError, Scope, find, utc_now
from whybox_server.access.needs import Door, Need

_log = logging.getLogger(__name__)

# Longer than any key, so that no caller makes the server hash much.
_LONGEST = 512
# Results are about people and links let people in: a server without keys hands out neither.
_NEVER_OPEN = (Scope.STUDIES_READ, Scope.STUDIES_INVITE)


@dataclass(frozen=True)
class Caller:
    """Who calls.

    Attributes:
        key: SHA-256 of the key, by which callers are told apart, because a name may be used again after a key was
            revoked; "" for a call without one.
        scopes: What the caller may do.
        address: From where it calls, as far as that is known.
    """

    key: str = ""
    scopes: tuple[Scope, ...] = ()
    address: str = ""

    @property
    def account(self) -> str:
        """Whom queues and quotas tell apart: keys, and addresses of callers without one."""
        return self.key or self.address

    def require(self, need: Need) -> None:
        """Returns if the caller may do what needs `need`.

        Raises:
            PermissionDeniedError: The scopes allow something else.
        """
        if isinstance(need, Scope) and not any(own.allows(need) for own in self.scopes):
            raise PermissionDeniedError(
                f"this key allows {', '.join(self.scopes)}; this call needs one with the scope {need}"
            )


class Access:
    """Lets callers in by their keys. Without a file of keys everything but the API of studies is open.

    Args:
        path: The file; None without one.
        clock: Tells the time in UTC.
    """

    def __init__(self, path: Path | None, clock: Callable[[], datetime] = utc_now) -> None:
        self._file = None if path is None else KeyFile(path)
        self._clock = clock

    def check_file(self) -> None:
        """Reads the file, so that a server whose file is wrong does not start.

        Raises:
            KeyFileError: It is missing, others can read it, or it is malformed.
        """
        if self._file is not None:
            self._file.read()

    def asks(self, need: Need) -> bool:
        """Whether a caller needs a key for what needs `need`."""
        return need is not Door.OPEN and (self._file is not None or need in _NEVER_OPEN)

    def admit(self, authorization: str | None, need: Need, *, basic: bool = False) -> Caller:
        """The caller, who may do what needs `need`.

        Args:
            authorization: What the caller sent as `Authorization`, "Bearer KEY"; None if nothing.
            need: What the key must allow.
            basic: Whether "Basic" with the key as password is taken too.

        Raises:
            UnauthenticatedError: There is no key, or it is unknown, revoked or expired, or the server has no keys.
            PermissionDeniedError: The key is good, but not for this.
            UnavailableError: The file of keys has become unusable; the log says how.
        """
        if not self.asks(need):
            return Caller("", tuple(Scope) if self._file is None else ())
        if self._file is None:
            raise UnauthenticatedError(
                "this server has no keys, so it lets nobody in here; make one with: whybox-server keys add --name NAME"
                f" --scope {need} --file FILE, and start the server with WHYBOX_KEY_FILE=FILE",
                reason="NO_KEY_FILE",
            )
        key = self._known(self._file, _presented(authorization, need, basic=basic))
        caller = Caller(key.sha256, key.scopes)
        caller.require(need)
        return caller

    def _known(self, file: KeyFile, presented: str) -> Key:
        try:
            keys = file.read()
        except KeyFileError as error:
            _log.error("all callers with a key are refused: %s", error)
            message = "the server cannot read its keys; its log says why"
            raise UnavailableError(message, reason="KEYS_UNREADABLE") from None
        key = find(keys, presented)
        if key is None or key.expired(self._clock()):
            why = "the key is unknown or revoked" if key is None else "the key has expired"
            raise UnauthenticatedError(f"{why}; ask the people who run the server for another", reason="UNKNOWN_KEY")
        return key


def _presented(authorization: str | None, need: Need, *, basic: bool) -> str:
    scheme, _, sent = (authorization or "").strip().partition(" ")
    sent = sent.strip()
    key = ""
    if len(sent) <= _LONGEST:
        match scheme.lower():
            case "bearer":
                key = sent
            case "basic" if basic:
                key = _password(sent)
    if not key:
        which = f"a key with the scope {need}" if isinstance(need, Scope) else "a key"
        raise UnauthenticatedError(f"this call needs {which}; send it as `Authorization: Bearer KEY`")
    return key


def _password(sent: str) -> str:
    """The password of "Basic" (RFC 7617), whatever the name before it; "" if it is malformed."""
    try:
        return base64.b64decode(sent, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""
