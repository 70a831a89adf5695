"""Keys of callers: a file that holds the hash of each, with what its holder may do.

A key is 256 random bits, so its SHA-256 alone tells nothing: no list of likely keys can be tried, and a salt or a slow
hash, which passwords need because people choose them, would add nothing. The key itself is shown once, when it is made,
and never stored.
"""

import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

PREFIX = "whybox_"
"""How every key begins, so that scanners of secrets, and people, recognise one that was published."""

_LAYOUT = 1
_OTHERS = 0o077
# A file of some thousand keys; a larger one is another file.
_MAX_BYTES = 2**20


class KeyFileError(Exception):
    """The file of keys cannot be used; the message says what to do."""


class Scope(StrEnum):
    """What a key allows; `needs` says what for."""

    PREDICT = "predict"
    ANALYZE = "analyze"
    STUDIES_READ = "studies:read"
    STUDIES_INVITE = "studies:invite"
    METRICS = "metrics"
    ADMIN = "admin"

    def allows(self, wanted: "Scope") -> bool:
        """Whether a key with this scope may do what needs `wanted`.

        A caller who may analyse may predict too. An admin may do everything.
        """
        return self in (wanted, Scope.ADMIN) or (self, wanted) == (Scope.ANALYZE, Scope.PREDICT)


def _one_line(name: str) -> str:
    if not name.isprintable() or name != name.strip():
        raise ValueError("a name has printable characters, and no space at its ends")
    return name


class Key(BaseModel):
    """What is stored of a key.

    Attributes:
        name: Who or what holds it.
        sha256: SHA-256 of the key, in lower-case hexadecimal.
        scopes: What it allows.
        created: When it was made.
        expires: From when on it allows nothing; None if it does not expire.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_one_line)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$", repr=False)]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    created: AwareDatetime
    expires: AwareDatetime | None = None

    def expired(self, now: datetime) -> bool:
        """Whether it allows nothing any more."""
        return self.expires is not None and now >= self.expires


class _File(BaseModel):
    """The content of a file of keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: int = _LAYOUT
    keys: tuple[Key, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> "_File":
        if self.layout != _LAYOUT:
            raise ValueError(f"its layout is {self.layout}, not {_LAYOUT}: another version of Whybox wrote it")
        if len({key.name for key in self.keys}) < len(self.keys):
            raise ValueError("two keys have the same name")
        return self


def digest(key: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def find(keys: Iterable[Key], presented: str) -> Key | None:
    """The key that was presented; all are compared, each in constant time."""
    hashed = digest(presented)
    found = None
    for key in keys:
        if hmac.compare_digest(key.sha256, hashed):
            found = key
    return found


class KeyFile:
    """The file of keys.

    Args:
        path: The file. It must be readable by its owner alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, ...] = ()
        self._keys: tuple[Key, ...] = ()

    def read(self) -> tuple[Key, ...]:
        """The keys; the file is read again if it changed.

        Raises:
            KeyFileError: It is missing, others can read it, or it is malformed.
        """
        try:
            # The very file that is checked is read.
            with self.path.open("rb") as file:
                told = os.fstat(file.fileno())
                if told.st_mode & _OTHERS:
                    raise KeyFileError(
                        f"{self.path}: others than its owner may use this file of keys; run: chmod 600 {self.path}"
                    )
                seen = (told.st_dev, told.st_ino, told.st_mtime_ns, told.st_ctime_ns, told.st_size)
                if seen != self._seen:
                    self._keys = self._parsed(file.read(_MAX_BYTES + 1))
                    self._seen = seen
        except FileNotFoundError:
            raise KeyFileError(
                f"{self.path}: there is no such file of keys; make it with: whybox-server keys add --name NAME --scope"
                f" {Scope.ANALYZE} --file {self.path}"
            ) from None
        except OSError as error:
            raise KeyFileError(f"{self.path}: the file of keys cannot be read ({error.strerror})") from None
        return self._keys

    def add(
        self, name: str, scopes: Iterable[Scope], *, now: datetime, expires: datetime | None = None
    ) -> tuple[Key, str]:
        """Makes a key, and the file if it is not there.

        Returns:
            What is stored, and the key itself, which is nowhere else.

        Raises:
            KeyFileError: There is a key of this name, the name is malformed, or the file cannot be used or written.
        """
        secret = PREFIX + secrets.token_urlsafe(32)
        scopes = tuple(dict.fromkeys(scopes))
        try:
            key = Key(name=name, sha256=digest(secret), scopes=scopes, created=now, expires=expires)
        except ValidationError:
            raise KeyFileError(
                "a key has a name of 1 to 100 printable characters without spaces at its ends, and at least one scope"
            ) from None

        def added(keys: tuple[Key, ...]) -> tuple[Key, ...]:
            if any(other.name == name for other in keys):
                raise KeyFileError(f"{self.path} has a key named {name}; choose another name, or revoke that one first")
            return (*keys, key)

        self._rewrite(added, begins=True)
        return key, secret

    def revoke(self, name: str) -> None:
        """Takes a key out of the file: from now on it opens nothing.

        Raises:
            KeyFileError: There is none of this name, or the file cannot be used or written.
        """

        def rest(keys: tuple[Key, ...]) -> tuple[Key, ...]:
            left = tuple(key for key in keys if key.name != name)
            if len(left) == len(keys):
                raise KeyFileError(f"{self.path} has no key named {name!r}; whybox-server keys list shows the names")
            return left

        self._rewrite(rest, begins=False)

    def _parsed(self, content: bytes) -> tuple[Key, ...]:
        if len(content) > _MAX_BYTES:
            raise KeyFileError(f"{self.path}: more than {_MAX_BYTES:,} bytes, which is no file of keys")
        try:
            return _File.model_validate(json.loads(content)).keys
        except ValidationError as error:
            # The input may be a key that someone pasted: only the place and the fault are told.
            wrong = error.errors(include_input=False, include_url=False, include_context=False)[0]
            place = ".".join(str(part) for part in wrong["loc"]) or "the file"
            why = f"{place}: {wrong['msg'].removeprefix('Value error, ')}"
        except (ValueError, RecursionError):
            why = "it is not JSON"
        raise KeyFileError(
            f"{self.path}: malformed file of keys ({why}); mend it, or move it away and make new keys with:"
            " whybox-server keys add"
        )

    def _rewrite(self, change: Callable[[tuple[Key, ...]], tuple[Key, ...]], *, begins: bool) -> None:
        """Writes the file anew in one step, alone among processes, readable by its owner alone."""
        try:
            with _locked(self.path.absolute().parent):
                keys = change(() if begins and not self.path.exists() else self.read())
                text = _File(keys=keys).model_dump_json(indent=1)
                part = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
                try:
                    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                    with os.fdopen(descriptor, "w") as file:
                        file.write(f"{text}\n")
                        file.flush()
                        os.fsync(descriptor)
                    part.replace(self.path)
                finally:
                    part.unlink(missing_ok=True)
        except OSError as error:
            raise KeyFileError(f"{self.path}: the file of keys cannot be written ({error.strerror})") from None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Alone among the processes that write keys in a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)
