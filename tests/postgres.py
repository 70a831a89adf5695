"""A PostgreSQL server of the tests' own, from Debian's package: free port, temporary folder, gone afterwards."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

_PASSWORD = "tops3cret"  # noqa: S105 (of a server that lives as long as the tests)
_START_SECONDS = 60
_PR_SET_PDEATHSIG = 1


def binaries() -> Path | None:
    """The folder of the newest server; None where Debian's package `postgresql` is missing."""
    versions = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    return max(versions, key=lambda path: float(path.parent.name), default=None)


@dataclass
class Postgres:
    """A server that runs.

    Attributes:
        port: On the loopback interface.
        password: Of the user `whybox`.
    """

    port: int
    password: str = _PASSWORD

    def url(self, database: str, password: str = _PASSWORD) -> str:
        return f"postgresql://whybox:{password}@127.0.0.1:{self.port}/{database}"

    def fresh(self, name: str, template: str = "template1") -> str:
        """The URL of a new database; one of this name is dropped before.

        Args:
            name: Of the database.
            template: Database that it is a copy of.
        """
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        return self.url(name)


@contextmanager
def started(folder: Path, *, durable: bool = False) -> Iterator[Postgres]:
    """A server.

    Args:
        folder: Its programs; see `binaries`.
        durable: Whether it waits for the disk at each commit, as servers do; what tests write may get lost with the
            machine.
    """
    # A server refuses to run as root. Its folder lies outside of those of the tests, which others may not enter.
    user = "postgres" if os.geteuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="whybox-postgres-"))
    try:
        if user:
            shutil.chown(home, user, user)
        with _running(folder, home, user, [] if durable else ["-F"]) as port:
            yield Postgres(port)
    finally:
        shutil.rmtree(home)


@contextmanager
def _running(folder: Path, home: Path, user: str | None, options: list[str]) -> Iterator[int]:
    data, words = home / "data", home / "password"
    words.write_text(_PASSWORD)
    words.chmod(0o644)
    groups: list[str | int] | None = [] if user else None
    subprocess.run(
        [folder / "initdb", "-D", data, "-U", "whybox", "-A", "scram-sha-256", f"--pwfile={words}", "-E", "UTF8", "-N"],
        check=True,
        stdout=subprocess.DEVNULL,
        user=user,
        group=user,
        extra_groups=groups,
        cwd="/",
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    log = home / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [folder / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", home, *options],
            stdout=output,
            stderr=output,
            user=user,
            group=user,
            extra_groups=groups,
            cwd="/",
            preexec_fn=_end_with_parent,
        )
    try:
        _wait(server, port, log)
        yield port
    finally:
        # At once: what it wrote is deleted anyway.
        server.send_signal(signal.SIGQUIT)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _end_with_parent() -> None:
    """The server ends even if the tests are killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _wait(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(Postgres(port).url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start: {log.read_text()}") from error
            time.sleep(0.1)
        else:
            return
