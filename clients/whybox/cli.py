"""The `whybox` command."""

import re
from pathlib import Path
from typing import Annotated

import typer

from whybox._commands import audits, certify, shared, studies
from whybox._commands.report import print_analysis, print_models
from whybox._commands.saving import save_pictures
from whybox._messages.requests import implied_parts
from whybox.client import DEFAULT_SECONDS, DEFAULT_URL
from whybox.options import ALL_PARTS
from whybox.v1.vocabulary import (
    BASELINES,
    BUDGETS,
    CHANGE_PICTURES,
    DEADLINE,
    DEFAULT_METHOD,
    ENCODINGS,
    MAX_EXAMPLES,
    MEASUREMENTS,
    SET_METHODS,
)

app = typer.Typer(
    name="whybox",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)
app.callback()(shared.secure)

_ANALYZE_EXAMPLES = """\
[bold]Examples[/bold]

whybox analyze dog.jpg

whybox analyze dog.jpg --part prediction --set aps --set-alpha 0.05

whybox analyze dog.jpg --method grad_cam --method integrated_gradients --save maps

whybox analyze dog.jpg --part explanations --target dalmatian --target 178 --quality all

whybox analyze dog.jpg --method integrated_gradients --contrast pointer --baseline blur --max-evaluations 200

whybox analyze dog.jpg --method rise --tolerance 0.05 --encoding uint8 --encoding regions --save maps

whybox analyze dog.jpg --method example --examples 5 --thumbnails --save neighbours

whybox analyze dog.jpg --part robustness --norm linf --norm l2 --budget thorough

whybox analyze dog.jpg --part robustness --attack ddn --norm l2 --picture adversarial --transfer

whybox analyze answer/dog.robustness.linf.adversarial.png --view

whybox analyze dog.jpg --part robustness --twin grad_cam --corruption noise --corruption fog --save pictures

curl -s https://example.org/dog.jpg | whybox analyze - --json | jq .prediction
"""


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def _class(name: str) -> int | str:
    """Digits are an index, other text a label, as for the server."""
    return int(name) if re.fullmatch("-?[0-9]+", name) else name


def _baseline(text: str) -> str | Path:
    """A bare word is a name, other text a file."""
    path = Path(text)
    if path.suffix or path.name != text:
        if not path.is_file():
            raise typer.BadParameter(f"{text} is no file.", param_hint="--baseline")
        return path
    return text


# The parameters bear the names of the client's options, which `shared.given` picks out.
@app.command(epilog=_ANALYZE_EXAMPLES)
def analyze(
    picture: shared.Picture,
    url: shared.Url = DEFAULT_URL,
    key_file: shared.KeyFile = None,
    model: shared.Model = None,
    parts: Annotated[
        list[str] | None,
        typer.Option(
            "--part", metavar="PART", help=f"Part to compute, one of {_listed(ALL_PARTS)}; default: all but the last."
        ),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", metavar="METHOD", help=f"Method to explain with; default: {DEFAULT_METHOD}."),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS", help="Index or label of the class to explain; default: the predicted class."),
    ] = None,
    contrast: Annotated[
        str | None,
        typer.Option(metavar="CLASS", help="Explain why the target rather than this class: its index or label."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help=f'Input that stands for "nothing there": {_listed(BASELINES)}, or a picture.',
        ),
    ] = None,
    max_evaluations: Annotated[
        int | None, typer.Option(min=1, help="Limit on evaluations per map; default: see `whybox models`.")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, help="Stop a method at this residual; 0 spends all evaluations of --max-evaluations."),
    ] = None,
    encodings: Annotated[
        list[str] | None,
        typer.Option(
            "--encoding",
            metavar="KIND",
            help=f"What to send of each map, one of {_listed(ENCODINGS)}; default: {ENCODINGS[0]}.",
        ),
    ] = None,
    quality: Annotated[
        list[str] | None,
        typer.Option(metavar="WHAT", help=f"Measure each map, one of {_listed(MEASUREMENTS)}, or all."),
    ] = None,
    examples: Annotated[
        int | None,
        typer.Option(
            min=1, max=MAX_EXAMPLES, help="Number of audited pictures of each kind, for --method example; default: 3."
        ),
    ] = None,
    thumbnails: Annotated[bool | None, typer.Option("--thumbnails", help="Send a thumbnail of each of them.")] = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="Number of classes to show; default: 5.")] = None,
    set_method: Annotated[
        str | None,
        typer.Option(
            "--set",
            metavar="METHOD",
            help=f"Show the prediction set, the classes that may be right, by one of {_listed(SET_METHODS)}; default:"
            " no set.",
        ),
    ] = None,
    set_alpha: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Share of right classes that sets may miss; default: 0.1."),
    ] = None,
    norms: Annotated[
        list[str] | None,
        typer.Option("--norm", metavar="NORM", help="Norm to measure robustness in; default: linf."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help=f"What the attack may spend, one of {_listed((*BUDGETS, DEADLINE))}, or a number of gradients; "
            "default: standard. deadline uses the whole --timeout."
        ),
    ] = None,
    attack: Annotated[
        str | None, typer.Option(metavar="NAME", help="Attack to use, one of `whybox models`; default: see there.")
    ] = None,
    pictures: Annotated[
        list[str] | None,
        typer.Option(
            "--picture", metavar="KIND", help=f"Picture of each change to send, one of {_listed(CHANGE_PICTURES)}."
        ),
    ] = None,
    transfer: Annotated[
        bool | None, typer.Option("--transfer", help="Let the other models classify the adversarial picture too.")
    ] = None,
    twin: Annotated[
        str | None,
        typer.Option(metavar="METHOD", help="Explain the adversarial picture beside the picture with this method."),
    ] = None,
    corruptions: Annotated[
        list[str] | None,
        typer.Option(
            "--corruption",
            metavar="NAME",
            help="Corruption to apply: a name or a group of `whybox models`, or all.",
        ),
    ] = None,
    attributes: Annotated[
        list[str] | None,
        typer.Option("--attribute", metavar="NAME", help="Audited attribute to report; default: all."),
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(metavar="NOISE", help="Certify the answer under noise of this size; see `whybox certify`."),
    ] = None,
    samples: shared.Samples = None,
    alpha: shared.Alpha = None,
    view: shared.View = None,
    seed: shared.Seed = 0,
    timeout: shared.Timeout = DEFAULT_SECONDS,
    save: Annotated[
        Path | None, typer.Option(file_okay=False, metavar="DIR", help="Write all pictures into this folder.")
    ] = None,
    json: shared.Json = False,
) -> None:
    """Ask about one picture: the prediction, explanations, robustness, and what an audit found.

    --part, --method, --target, --encoding, --quality, --norm, --picture, --corruption and --attribute may be repeated.
    Exit code 1 means that no answer came, 2 that the command line is wrong.

    --save writes each map over the picture as PICTURE.METHOD.png, and everything side by side as PICTURE.sheet.png.
    With --encoding heat_map, overlay and regions, the server's drawings go to PICTURE.METHOD.heat_map.png and
    .overlay.png, the regions to .sufficient.png and .necessary.png. With several targets, the index of the class
    follows METHOD. With --picture, the changes go to PICTURE.robustness.NORM.adversarial.png and .change.png; with
    --twin, the maps of both pictures go to .before.png and .after.png. With --thumbnails, those go to
    PICTURE.example.prototypes.1.jpg and so on.
    """
    options = shared.given(locals())
    if parts:
        # A person who types an option of a part wants that part.
        options["parts"] = implied_parts(options)
    if sigma is None and (samples is not None or alpha is not None or "certified" in (parts or ())):
        raise typer.BadParameter("a certificate needs a level of noise; there is no default", param_hint="--sigma")
    if target:
        options["target"] = [_class(name) for name in target]
    if contrast is not None:
        options["contrast"] = _class(contrast)
    if baseline is not None:
        options["baseline"] = _baseline(baseline)
    with shared.connected(url, key_file) as client:
        analysis = client.analyze(shared.content(picture), **options)
        if json:
            typer.echo(analysis.to_json())
        else:
            print_analysis(shared.output(), analysis)
        if save is not None:
            stem = "stdin" if picture == shared.STDIN else picture.stem
            for path in save_pictures(analysis, save, stem):
                # Beside JSON, standard output must stay JSON.
                typer.echo(f"wrote {path}", err=json)


app.command(epilog=certify.EXAMPLES)(certify.certify)
app.command(epilog=audits.EXAMPLES)(audits.audits)
app.add_typer(studies.app, name="study")


@app.command()
def models(
    url: shared.Url = DEFAULT_URL, key_file: shared.KeyFile = None, timeout: shared.Timeout = DEFAULT_SECONDS
) -> None:
    """List the served models with their methods, attacks and corruptions."""
    with shared.connected(url, key_file, timeout=timeout) as client:
        print_models(shared.output(), client.models())
