"""The command `whybox certify`."""

from collections.abc import Iterator
from contextlib import closing
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from whybox._commands import shared
from whybox._commands.report import print_analysis
from whybox._messages.fields import malformed
from whybox.client import DEFAULT_URL
from whybox.results import Analysis

EXAMPLES = """\
[bold]Examples[/bold]

whybox certify dog.jpg --sigma 0.05

whybox certify dog.jpg --sigma 0.25 --samples 10000 --timeout 600

whybox certify dog.jpg --sigma 0.05 --json | jq .certified.radius
"""


def certify(
    picture: shared.Picture,
    sigma: Annotated[
        float, typer.Option(metavar="NOISE", help="Standard deviation of the noise, for pixel values in 0 to 1.")
    ],
    samples: shared.Samples = None,
    alpha: shared.Alpha = None,
    url: shared.Url = DEFAULT_URL,
    key_file: shared.KeyFile = None,
    model: shared.Model = None,
    view: shared.View = None,
    seed: shared.Seed = 0,
    timeout: shared.Timeout = 120.0,
    json: shared.Json = False,
) -> None:
    """Prove a radius within which no change of the picture changes the answer of the smoothed classifier.

    The smoothed classifier (randomised smoothing) answers with the class that the model predicts most often for noisy
    copies of the picture; it is not the model itself. It abstains if no class was shown to win more than half of the
    votes.

    --sigma trades reach for accuracy. The radius is at most a few times the noise, and a model answers badly under
    noise that it was not trained with. Start with 0.05 for a model that was trained without noise, and with 0.25 for
    a model that was trained with noise; lower it if the smoothed classifier abstains.

    --samples trades time for reach. Each sample is one pass through the network: 1000 samples take a small network 10
    to 20 seconds on one core. The largest radius that can be certified is 2.5 times the noise with 1000 samples, and
    3.2 times with 10000. At the end of --timeout the certificate is made from the samples drawn by then, and says so.
    """
    options = shared.given(locals())
    options["parts"] = "certified"
    with shared.connected(url, key_file) as client:
        with closing(client.stream(shared.content(picture), **options)) as analyses:
            analysis = last_of(analyses, Console(stderr=True))
        if analysis is None:
            raise malformed("is empty")
        if json:
            typer.echo(analysis.to_json())
        else:
            print_analysis(shared.output(), analysis)


def last_of(analyses: Iterator[Analysis], console: Console) -> Analysis | None:
    """The complete answer, or None without one; a terminal shows how the certificate grows."""
    analysis = None
    columns = (TextColumn("samples"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        for analysis in analyses:
            if analysis.certified is not None:
                progress.update(task, completed=analysis.certified.samples, total=analysis.certified.wanted_samples)
    return analysis
