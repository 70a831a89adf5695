"""The `whybox` command."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console

from whybox._report import print_analysis, print_models
from whybox._requests import ALL_PARTS, Part
from whybox.client import DEFAULT_URL, Client
from whybox.results import Analysis
from whybox.v1.errors import WhyboxError

app = typer.Typer(
    name="whybox",
    help="Ask an image classifier what it sees, why, how little would change its mind, and for whom it fails.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)

_EXAMPLES = """\
[bold]Examples[/bold]

whybox analyze dog.jpg

whybox analyze dog.jpg --method grad_cam --method integrated_gradients --save maps

whybox analyze dog.jpg --part robustness --norm linf --norm l2 --budget thorough

curl -s https://example.org/dog.jpg | whybox analyze - --json | jq .prediction
"""

_STDIN = Path("-")

Url = Annotated[str, typer.Option(envvar="WHYBOX_URL", help="grpc://host:port, http://host:port or https://host:port.")]
Timeout = Annotated[float, typer.Option(min=0.001, help="Seconds to wait for the answer.")]


def _existing(picture: Path) -> Path:
    # Typer's own check would look for a file called "-".
    if picture != _STDIN and not picture.is_file():
        raise typer.BadParameter(f"{picture} is no file.")
    return picture


@app.command(epilog=_EXAMPLES)
def analyze(
    picture: Annotated[
        Path,
        typer.Argument(callback=_existing, help="A file, or - to read standard input."),
    ],
    url: Url = DEFAULT_URL,
    model: Annotated[str | None, typer.Option(help="A served model; default: the first of `whybox models`.")] = None,
    part: Annotated[
        list[str] | None, typer.Option(metavar="PART", help=f"Of {', '.join(ALL_PARTS)}; default: all.")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option(metavar="METHOD", help="Method to explain with; default: grad_cam.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of integrated_gradients.")] = None,
    target_class: Annotated[int | None, typer.Option(min=0, help="Class to explain; default: the predicted.")] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Number of classes to show.")] = 5,
    norm: Annotated[
        list[str] | None, typer.Option(metavar="NORM", help="Norm to measure robustness in; default: linf.")
    ] = None,
    budget: Annotated[str, typer.Option(help="fast, standard, thorough, or a number of gradients.")] = "standard",
    attribute: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Audited attribute; default: all.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of every method that samples.")] = 0,
    timeout: Timeout = 60.0,
    save: Annotated[Path | None, typer.Option(file_okay=False, metavar="DIR", help="Write the maps as PNG.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")] = False,
) -> None:
    """Ask about one picture: what, why, how robust, and what an audit found.

    --part, --method, --norm and --attribute may be given several times. Exit code 1 means that no answer came, 2 that
    the command line is wrong.

    With --save, each map is drawn over the picture as PICTURE.METHOD.png, and all of them side by side as
    PICTURE.sheet.png.
    """
    with _one_line_errors(), Client(url, model=model, timeout=timeout) as client:
        analysis = client.analyze(
            typer.get_binary_stream("stdin").read() if picture == _STDIN else picture,
            parts=cast(list[Part], part) if part else ALL_PARTS,
            top_k=top_k,
            methods=method or ("grad_cam",),
            target_class=target_class,
            steps=steps,
            norms=norm or ("linf",),
            budget=budget,
            attributes=attribute or (),
            seed=seed,
        )
        if json:
            typer.echo(analysis.to_json())
        else:
            print_analysis(_console(), analysis)
        if save is not None:
            stem = "stdin" if picture == _STDIN else picture.stem
            for path in _save(analysis, save, stem):
                # Beside JSON, standard output must stay JSON.
                typer.echo(f"wrote {path}", err=json)


@app.command()
def models(url: Url = DEFAULT_URL, timeout: Timeout = 60.0) -> None:
    """List the served models, and what each can be asked."""
    with _one_line_errors(), Client(url, timeout=timeout) as client:
        print_models(_console(), client.models())


def _console() -> Console:
    return Console(highlight=False)


def _save(analysis: Analysis, folder: Path, stem: str) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for explanation in analysis.explanations:
        if explanation.error is None:
            path = folder / f"{stem}.{explanation.method}.png"
            explanation.overlay().save(path)
            yield path
    path = folder / f"{stem}.sheet.png"
    analysis.contact_sheet().save(path)
    yield path


@contextmanager
def _one_line_errors() -> Iterator[None]:
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
