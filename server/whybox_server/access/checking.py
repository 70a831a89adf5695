"""Whether a caller may do what it asks for."""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from whybox.v1.errors import PermissionDeniedError, UnauthenticatedError, UnavailableError
from whybox_server.access.keys import Key, KeyFile, KeyFileError, Scope, find, utc_now

_log = logging.getLogger(__name__)

_SCHEME = "bearer"
# Longer than any key, so that no caller makes the server hash much.
_LONGEST = 512


class Access:
    """Lets callers in by their keys. Without a file of keys nobody gets in.

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

    def require(self, authorization: str | None, scope: Scope) -> Key:
        """The key of a caller who may do what needs `scope`.

        Args:
            authorization: What the caller sent as `Authorization`, "Bearer KEY"; None if nothing.
            scope: What the key must allow.

        Raises:
            UnauthenticatedError: There is no key, or it is unknown, revoked or expired, or the server has no keys.
            PermissionDeniedError: The key is good, but not for this.
            UnavailableError: The file of keys has become unusable; the log says how.
        """
        if self._file is None:
            raise UnauthenticatedError(
                "this server has no keys, so it lets nobody in here; make one with: whybox-server key new --name NAME"
                f" --scope {scope} --file FILE, and start the server with WHYBOX_KEY_FILE=FILE",
                reason="NO_KEY_FILE",
            )
        try:
            keys = self._file.read()
        except KeyFileError as error:
            _log.error("all callers with a key are refused: %s", error)
            message = "the server cannot read its keys; its log says why"
            raise UnavailableError(message, reason="KEYS_UNREADABLE") from None
        key = find(keys, _presented(authorization, scope))
        if key is None:
            _refuse("the key is unknown or revoked")
        if key.expired(self._clock()):
            _refuse("the key has expired")
        if not key.allows(scope):
            raise PermissionDeniedError(
                f"this key allows {', '.join(key.scopes)}; this call needs one with the scope {scope}"
            )
        return key


def _presented(authorization: str | None, scope: Scope) -> str:
    scheme, _, key = (authorization or "").strip().partition(" ")
    key = key.strip()
    if scheme.lower() != _SCHEME or not key or len(key) > _LONGEST:
        raise UnauthenticatedError(
            f"this call needs a key with the scope {scope}; send it as `Authorization: Bearer KEY`"
        )
    return key


def _refuse(why: str) -> NoReturn:
    raise UnauthenticatedError(f"{why}; ask the people who run the server for another", reason="UNKNOWN_KEY")
