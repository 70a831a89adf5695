"""The command `whybox certify`."""

from collections.abc import Iterator
from contextlib import closing
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from whybox._commands import shared as commands
from whybox._commands.report import print_analysis
from whybox.client import DEFAULT_URL, Client
from whybox.options import AnalyzeOptions
from whybox.results import Analysis
from whybox.v1.errors import InternalError

EXAMPLES = """\
[bold]Examples[/bold]

whybox certify dog.jpg --sigma 0.05

whybox certify dog.jpg --sigma 0.25 --samples 10000 --timeout 600

whybox certify dog.jpg --sigma 0.05 --json | jq .certified.radius
"""


def certify(
    picture: commands.Picture,
    sigma: Annotated[
        float, typer.Option(metavar="NOISE", help="Standard deviation of the noise, for pixel values in 0 to 1.")
    ],
    samples: commands.Samples = None,
    alpha: commands.Alpha = None,
    url: commands.Url = DEFAULT_URL,
    model: commands.Model = None,
    seed: commands.Seed = 0,
    timeout: commands.Timeout = 120.0,
    json: commands.Json = False,
) -> None:
    """Prove a radius within which no change of the picture changes the answer of the smoothed classifier.

    That one (randomised smoothing) answers with the class that the model gives most often for noisy copies of the
    picture; it is not the model itself. Where no class has surely more than half of the copies, it abstains.

    --sigma trades reach for accuracy: the radius is at most a few times the noise, and a model answers badly under
    noise that it was not trained with. Start with 0.05 for an ordinary model, with 0.25 for one that was trained with
    noise, and lower it where the answer is an abstention.

    --samples trades time for reach: each is one pass through the network, so that 1000 take 10 to 20 seconds for a
    small network on one core. With 1000 no radius above 2.5 times the noise can be certified, with 10000 none above
    3.2 times. At the end of --timeout the certificate is made from the samples drawn by then, and says so.
    """
    options: AnalyzeOptions = {"parts": "certified", "sigma": sigma, "samples": samples, "alpha": alpha, "seed": seed}
    with commands.one_line_errors(), Client(url, model=model, timeout=timeout) as client:
        with closing(client.stream(commands.content(picture), **options)) as analyses:
            analysis = last_of(analyses, Console(stderr=True))
        if analysis is None:
            raise InternalError("The server's answer is empty.", reason="MALFORMED_ANSWER")
        if json:
            typer.echo(analysis.to_json())
        else:
            print_analysis(commands.output(), analysis)


def last_of(analyses: Iterator[Analysis], console: Console) -> Analysis | None:
    """The complete answer, None without one; a terminal sees it grow."""
    analysis = None
    columns = (TextColumn("samples"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        for analysis in analyses:
            if analysis.certified is not None:
                progress.update(task, completed=analysis.certified.samples, total=analysis.certified.wanted_samples)
    return analysis
