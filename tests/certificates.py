"""Authorities and certificates for tests of TLS, made by OpenSSL's command."""

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_OPENSSL = shutil.which("openssl")
_SETTINGS = """
[ca]
default_ca = all
[all]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[leaf]
basicConstraints = critical, CA:false
authorityKeyIdentifier = keyid
subjectAltName = {names}
[authority]
basicConstraints = critical, CA:true
"""
_EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
HERE = "DNS:localhost,IP:127.0.0.1,IP:::1"


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key.

    Attributes:
        certificate: PEM file.
        key: PEM file, readable by its owner alone.
    """

    certificate: Path
    key: Path

    @property
    def files(self) -> tuple[Path, Path]:
        return self.certificate, self.key

    def replace(self, other: "Pair") -> None:
        """Puts another certificate and its key in the place of this one."""
        for old, new in zip(self.files, other.files, strict=True):
            part = old.with_suffix(".part")
            shutil.copy2(new, part)
            part.replace(old)


@dataclass
class Authority:
    """A certification authority.

    Attributes:
        folder: Where all its files are.
    """

    folder: Path
    pair: Pair = field(init=False)

    def __post_init__(self) -> None:
        if _OPENSSL is None:
            pytest.skip("openssl is missing: install Debian's package openssl")
        self.folder.mkdir()
        self.pair = Pair(self.folder / "ca.pem", self.folder / "ca.key")
        (self.folder / "index.txt").touch()
        self._run(
            "req", "-x509", *_EC, "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=ca"
        )

    @property
    def certificate(self) -> Path:
        return self.pair.certificate

    def issue(
        self,
        name: str,
        *,
        names: str = HERE,
        start: str = "20200101000000Z",
        end: str = "20991231000000Z",
        passphrase: str = "",
        extensions: str = "leaf",
    ) -> Pair:
        """A certificate of this authority.

        Args:
            name: Its common name, and the stem of its files.
            names: Names of the server, as OpenSSL writes them.
            start: From when on it is valid.
            end: Until when it is.
            passphrase: Of the key; "" for none.
            extensions: "leaf", or "authority" for one that signs others.
        """
        (self.folder / "ca.cnf").write_text(_SETTINGS.format(names=names))
        protected = ["-passout", f"pass:{passphrase}"] if passphrase else ["-nodes"]
        key, request, certificate = f"{name}.key", f"{name}.csr", f"{name}.pem"
        self._run("req", "-new", *_EC, *protected, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        signing = ["-config", "ca.cnf", "-batch", "-notext", "-rand_serial", "-cert", "ca.pem", "-keyfile", "ca.key"]
        what = ["-extensions", extensions, "-startdate", start, "-enddate", end, "-in", request, "-out", certificate]
        self._run("ca", *signing, *what)
        (self.folder / key).chmod(0o600)
        return Pair(self.folder / certificate, self.folder / key)

    def _run(self, *arguments: str) -> None:
        ended = subprocess.run(
            [str(_OPENSSL), *arguments], cwd=self.folder, check=False, capture_output=True, text=True
        )
        assert ended.returncode == 0, ended.stderr
