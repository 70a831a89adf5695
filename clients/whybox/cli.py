"""The `whybox` command."""

from pathlib import Path
from typing import Annotated, cast

import typer

from whybox._commands import certify as _certify_command
from whybox._commands import shared as commands
from whybox._commands.report import print_analysis, print_models
from whybox._commands.saving import save_pictures
from whybox.client import DEFAULT_URL, Client
from whybox.options import ALL_MEASUREMENTS, ALL_PARTS, AnalyzeOptions

app = typer.Typer(
    name="whybox",
    help="Ask an image classifier what it sees, why, how little would change its mind, and for whom it fails.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)

_ANALYZE_EXAMPLES = """\
[bold]Examples[/bold]

whybox analyze dog.jpg

whybox analyze dog.jpg --method grad_cam --method integrated_gradients --save maps

whybox analyze dog.jpg --part explanations --target dalmatian --target 178 --quality all

whybox analyze dog.jpg --method integrated_gradients --contrast pointer --baseline blur --max-evaluations 200

whybox analyze dog.jpg --method rise --tolerance 0.05 --encoding uint8 --encoding regions --save maps

whybox analyze dog.jpg --part robustness --norm linf --norm l2 --budget thorough

whybox analyze dog.jpg --part robustness --attack ddn --norm l2 --picture adversarial --transfer

whybox analyze dog.jpg --part robustness --twin grad_cam --corruption noise --corruption fog --save pictures

curl -s https://example.org/dog.jpg | whybox analyze - --json | jq .prediction
"""


@app.command(epilog=_ANALYZE_EXAMPLES)
def analyze(
    picture: commands.Picture,
    url: commands.Url = DEFAULT_URL,
    model: commands.Model = None,
    part: Annotated[
        list[str] | None, typer.Option(metavar="PART", help=f"Of {', '.join(ALL_PARTS)}; default: all but the last.")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option(metavar="METHOD", help="Method to explain with; default: grad_cam.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(metavar="CLASS", help="Index or label to explain; default: the predicted class.")
    ] = None,
    contrast: Annotated[
        str | None, typer.Option(metavar="CLASS", help="Explain why the target rather than this index or label.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE", help='What stands for "nothing there": black, grey, blur, mean, or a picture.'
        ),
    ] = None,
    max_evaluations: Annotated[
        int | None, typer.Option(min=1, help="The most that a method may spend; default: see `whybox models`.")
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option(min=0, help="The residual at which a method stops; 0 spends all it may.")
    ] = None,
    encoding: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="Numbers: uint8 (the default), float16 or float32; pictures: heat_map, overlay, regions.",
        ),
    ] = None,
    quality: Annotated[
        list[str] | None,
        typer.Option(metavar="WHAT", help=f"Measure the maps: {', '.join(ALL_MEASUREMENTS)}, or all of them."),
    ] = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="Number of classes to show; default: 5.")] = None,
    norm: Annotated[
        list[str] | None, typer.Option(metavar="NORM", help="Norm to measure robustness in; default: linf.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="fast, standard (the default), thorough, a number of gradients, or deadline: all the time."),
    ] = None,
    attack: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who searches for the change; default: see `whybox models`.")
    ] = None,
    pictures: Annotated[
        list[str] | None,
        typer.Option("--picture", metavar="KIND", help="Pictures of each change: adversarial, change."),
    ] = None,
    transfer: Annotated[
        bool, typer.Option("--transfer", help="Show the adversarial picture to the other models too.")
    ] = False,
    twin: Annotated[
        str | None,
        typer.Option(metavar="METHOD", help="Explain the adversarial picture too, beside the one that was sent."),
    ] = None,
    corruption: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Corrupt the picture: a name or a group of names of `whybox models`, or all."
        ),
    ] = None,
    attribute: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Audited attribute; default: all.")
    ] = None,
    sigma: Annotated[
        float | None, typer.Option(metavar="NOISE", help="Certify the answer under such noise; see `whybox certify`.")
    ] = None,
    samples: commands.Samples = None,
    alpha: commands.Alpha = None,
    seed: commands.Seed = 0,
    timeout: commands.Timeout = 60.0,
    save: Annotated[
        Path | None, typer.Option(file_okay=False, metavar="DIR", help="Write all pictures as PNG.")
    ] = None,
    json: commands.Json = False,
) -> None:
    """Ask about one picture: what, why, how robust, and what an audit found.

    --part, --method, --target, --encoding, --quality, --norm, --picture, --corruption and --attribute may be given
    several times. Exit code 1 means that no answer came, 2 that the command line is wrong.

    --save draws each map over the picture as PICTURE.METHOD.png. With --encoding heat_map, overlay and regions, what
    the server drew goes to PICTURE.METHOD.heat_map.png and .overlay.png, the regions to .sufficient.png and
    .necessary.png. PICTURE.sheet.png shows all side by side. With several targets, METHOD is followed by the class.
    With --picture, the changes go to PICTURE.robustness.NORM.adversarial.png and .change.png; with --twin, the maps
    of the two pictures to .before.png and .after.png.
    """
    options = {
        "parts": part,
        "top_k": top_k,
        "methods": method,
        "target": [_class(name) for name in target or ()],
        "contrast": None if contrast is None else _class(contrast),
        "baseline": None if baseline is None else _baseline(baseline),
        "max_evaluations": max_evaluations,
        "tolerance": tolerance,
        "encodings": encoding,
        "quality": quality,
        "norms": norm,
        "budget": budget,
        "attack": attack,
        "pictures": pictures,
        "transfer": transfer or None,
        "twin": twin,
        "corruptions": corruption,
        "attributes": attribute,
        "sigma": sigma,
        "samples": samples,
        "alpha": alpha,
        "seed": seed,
    }
    # An option that was given no value was not given.
    given = cast(AnalyzeOptions, {name: value for name, value in options.items() if value not in (None, [])})
    with commands.one_line_errors(), Client(url, model=model, timeout=timeout) as client:
        analysis = client.analyze(commands.content(picture), **given)
        if json:
            typer.echo(analysis.to_json())
        else:
            print_analysis(commands.output(), analysis)
        if save is not None:
            stem = "stdin" if picture == commands.STDIN else picture.stem
            for path in save_pictures(analysis, save, stem):
                # Beside JSON, standard output must stay JSON.
                typer.echo(f"wrote {path}", err=json)


app.command(epilog=_certify_command.EXAMPLES)(_certify_command.certify)


@app.command()
def models(url: commands.Url = DEFAULT_URL, timeout: commands.Timeout = 60.0) -> None:
    """List the served models, and what each can be asked."""
    with commands.one_line_errors(), Client(url, timeout=timeout) as client:
        print_models(commands.output(), client.models())


def _class(name: str) -> int | str:
    """An index where it is a number, else a label."""
    return int(name) if name.isdecimal() else name


def _baseline(given: str) -> str | Path:
    """A name where it is a bare word, else a file."""
    path = Path(given)
    if path.suffix or path.name != given:
        if not path.is_file():
            raise typer.BadParameter(f"{given} is no file.", param_hint="--baseline")
        return path
    return given
