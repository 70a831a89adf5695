"""What the commands of `whybox` share: arguments, options, the key, and how they end."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, TypedDict, Unpack, cast

import typer
from rich.console import Console

from whybox.client import Client
from whybox.options import AnalyzeOptions
from whybox.v1.errors import WhyboxError

STDIN = Path("-")
KEY = "WHYBOX_KEY"
"""The environment variable with the key."""

_MAX_KEY_BYTES = 4096


def _existing(picture: Path) -> Path:
    # Typer's own check would look for a file called "-".
    if picture != STDIN and not picture.is_file():
        raise typer.BadParameter(f"{picture} is no file.")
    return picture


Picture = Annotated[Path, typer.Argument(callback=_existing, help="Picture to ask about; - reads standard input.")]
Url = Annotated[
    str,
    typer.Option(
        envvar="WHYBOX_URL", help="Server: grpc:// or http://host:port, or with TLS grpcs:// or https://host:port."
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help=f"File with the key that the server's people gave you. Default: the variable {KEY}."
    ),
]
Model = Annotated[str | None, typer.Option(help="Model to ask; default: the first of `whybox models`.")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of every method that samples.")]
View = Annotated[
    bool | None,
    typer.Option(
        "--view",
        help="The picture is the model's view itself, as the pictures of --picture adversarial are: it has the size of "
        "the view and is neither resized nor cropped.",
    ),
]
Timeout = Annotated[float, typer.Option(min=0.001, help="Seconds to wait for the answer.")]
Json = Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")]
Samples = Annotated[int | None, typer.Option(metavar="N", help="Noisy pictures to draw; default: 1000.")]
Alpha = Annotated[
    float | None, typer.Option(metavar="SHARE", help="Chance that the certificate is wrong; default: 0.001.")
]


def given(parameters: Mapping[str, Any]) -> AnalyzeOptions:
    """The parameters of a command that bear the name of an option of the client and were given a value."""
    return cast(
        AnalyzeOptions,
        {
            name: value
            for name, value in parameters.items()
            if name in AnalyzeOptions.__annotations__ and value is not None and value != []
        },
    )


def content(picture: Path) -> bytes | Path:
    """The picture as the client takes it."""
    return typer.get_binary_stream("stdin").read() if picture == STDIN else picture


Ca = Annotated[
    Path | None,
    typer.Option(
        envvar="WHYBOX_CA",
        metavar="FILE",
        help="PEM file with the authorities that may vouch for a server with TLS; default: the usual public ones.",
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option(
        envvar="WHYBOX_CERTIFICATE", metavar="FILE", help="PEM file with your certificate, if the server asks for one."
    ),
]
CertificateKey = Annotated[
    Path | None,
    typer.Option(envvar="WHYBOX_CERTIFICATE_KEY", metavar="FILE", help="PEM file with the private key of it."),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure",
        envvar="WHYBOX_INSECURE",
        help="Send the key to another machine without TLS too, readable on the way.",
    ),
]


class _Security(TypedDict):
    """How every command connects, as `whybox.Client` takes it."""

    ca: Path | None
    certificate: tuple[Path, Path] | None
    insecure: bool


class _Connection(TypedDict, total=False):
    """What some commands give to `whybox.Client`."""

    model: str | None
    timeout: float


_SECURITY: ContextVar[_Security] = ContextVar("security")


def secure(
    ca: Ca = None, certificate: Certificate = None, certificate_key: CertificateKey = None, insecure: Insecure = False
) -> None:
    """Ask an image classifier what it sees, why, how small a change flips its answer, and for whom it fails.

    Options for TLS stand before the command: [cyan]whybox --ca ca.pem analyze dog.jpg --url grpcs://host:8001[/]
    """
    if (certificate is None) != (certificate_key is None):
        raise typer.BadParameter("--certificate and --certificate-key go together")
    own = None if certificate is None or certificate_key is None else (certificate, certificate_key)
    _SECURITY.set({"ca": ca, "certificate": own, "insecure": insecure})


@contextmanager
def connected(url: str, key_file: Path | None, **options: Unpack[_Connection]) -> Iterator[Client]:
    """The client of a command; its errors end the command with one line on standard error."""
    with one_line_errors(), Client(url, key=key(key_file), **_SECURITY.get(), **options) as client:
        yield client


def key(file: Path | None) -> str | None:
    """The key from a file, or from the environment; None from neither: the server then says what it needs.

    It is no option of its own: the arguments of a process stand in lists that others see.
    """
    if file is None:
        return os.environ.get(KEY, "").strip() or None
    with file.open("rb") as opened:
        content = opened.read(_MAX_KEY_BYTES)
    # Only its first line: keys may be kept with a note below.
    return content.decode("ascii", errors="replace").strip().partition("\n")[0].strip()


def output() -> Console:
    """Standard output."""
    return Console(highlight=False)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the command with one line on standard error instead of a traceback."""
    try:
        yield
    except WhyboxError as error:
        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
        typer.echo(f"Error: {error.message} [{error.reason}]{notes}", err=True)
        raise typer.Exit(1) from error
    except OSError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
