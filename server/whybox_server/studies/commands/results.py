"""What the answers of a study say: its results, and every vote."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from whybox_server.studies.commands.common import Database, StudyId, told, with_store
from whybox_server.studies.errors import StudyError


def results(
    study: StudyId,
    database: Database = None,
    save: Annotated[
        Path | None, typer.Option(help="Folder for the results. Default: results-STUDY.", metavar="DIR")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the redraws behind the intervals.")] = 0,
) -> None:
    """Say how many of the model's errors people accept, and how many of its correct answers they reject.

    The command writes results.json (all numbers) and results.html (tables and plots). It may run while people answer.

    [cyan]whybox-server study results photos[/]
    """
    # Imported here: the other commands start sooner without libraries that draw.
    from whybox_server.studies.report.of_study import subject_of
    from whybox_server.studies.report.write import write_results
    from whybox_server.studies.results.reading import columns

    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    with told(err):
        raw = with_store(database, lambda store: store.votes(study))
        votes, design = columns(raw)
        write_results(save or Path(f"results-{study}"), subject_of(raw), votes, design, out, err, seed=seed)


def export(
    study: StudyId,
    save: Annotated[Path, typer.Option(help="File to write; its ending says how: .csv or .parquet.", metavar="FILE")],
    database: Database = None,
) -> None:
    """Write every answer of a study as a table, under pseudonyms.

    A row is one answer: kind (item, gold or practice), annotator, picture, source, cell, label, answer, time. Only
    items count.

    [cyan]whybox-server study export photos --save votes.parquet[/]
    """
    from whybox_server.studies.report.export import export_votes

    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    with told(err):
        raw = with_store(database, lambda store: store.votes(study))
        try:
            number = export_votes(save, raw)
        except OSError as error:
            raise StudyError(f"{save} cannot be written ({error.strerror or error}); give another --save") from None
        out.print(f"saved {number:,} answers in {save}", markup=False, soft_wrap=True)
