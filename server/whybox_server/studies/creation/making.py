"""Runs the processes that make what people see, and writes their files."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from rich.console import Console

from whybox_server.audits.passes.pool import Progress
from whybox_server.audits.passes.processes import cores, in_processes
from whybox_server.audits.passes.progress import ProgressDisplay
from whybox_server.audits.passes.signals import Stop
from whybox_server.studies.creation.asked import Encoded, Made, MadeCell, Making, Wanted
from whybox_server.studies.creation.cells import Shown, merged
from whybox_server.studies.creation.kept import Kept
from whybox_server.studies.errors import StudyError
from whybox_server.studies.protocol import Example, File, Item, Label

_TITLE = "making pictures"
# Faults that a message tells.
_TOLD = 3


def make_all(
    making: Making, wanted: Sequence[Wanted], save: Path, labels: Sequence[str], workers: int | None, err: Console
) -> Mapping[Wanted, tuple[Item, ...]]:
    """Makes and writes what people see; what an interrupted run made is kept.

    Call it from the main thread: it handles SIGINT and SIGTERM.

    Args:
        making: What is the same for all pictures.
        wanted: The pictures.
        save: Folder of the study.
        labels: Labels of the model's classes.
        workers: Number of processes; None for one per core. A GPU is used by one process.
        err: Console for the progress.

    Returns:
        The items of each picture. The cells of a known picture have no name yet.

    Raises:
        StudyError: A picture cannot be shown as the cells want it.
        AuditError: A process died.
        InterruptedAuditError: SIGINT or SIGTERM arrived.
        WhyboxError: The model cannot be loaded.
        OSError: A file cannot be read or written.
    """
    # Imported here: the module loads torch, and only its processes need it.
    from whybox_server.studies.creation.stimuli import make

    kept = Kept(save, making)
    items = {each: found for each in wanted if (found := kept.items(each)) is not None}
    todo = [each for each in wanted if each not in items]
    faults: list[Made] = []
    stop, total, before = Stop(), len(wanted), len(items)
    number = 1 if making.device == "cuda" else max(min(workers or cores(), len(todo)), 1)
    with stop.noted(), ProgressDisplay(err, None, _TITLE) as display:
        display.show(Progress(before, total, before), ())
        with closing(in_processes(partial(make, making), todo, 1, number, stop)) as results:
            for done, [made] in enumerate(results, start=before + 1):
                if made.fault:
                    faults.append(made)
                else:
                    items[made.wanted] = merged(_shown(save, labels, cell) for cell in made.cells)
                    kept.keep(made.wanted, items[made.wanted])
                display.show(Progress(done, total, before), ())
    if before:
        err.print(f"{_TITLE}: {before} of {total} pictures were made by an earlier run", soft_wrap=True)
    if faults:
        told = "; ".join(f"{made.wanted.file}: {made.fault}" for made in sorted(faults, key=_file)[:_TOLD])
        more = f"; and {len(faults) - _TOLD} more" if len(faults) > _TOLD else ""
        raise StudyError(f"{len(faults)} of {total} pictures cannot be shown in all cells: {told}{more}")
    return items


def _file(made: Made) -> str:
    return made.wanted.file


def _shown(save: Path, labels: Sequence[str], made: MadeCell) -> Shown:
    return Shown(
        cell=made.cell,
        label=Label(index=made.label, text=labels[made.label]),
        picture=_written(save, made.picture),
        explanation=None if made.explanation is None else _written(save, made.explanation),
        examples=tuple(
            Example(
                file=_written(save, example.thumbnail), label=Label(index=example.label, text=labels[example.label])
            )
            for example in made.examples
        ),
    )


def _written(save: Path, encoded: Encoded) -> File:
    """The file, named by its digest: a name gives no label away, and pictures that are the same are one file."""
    digest = hashlib.sha256(encoded.content).hexdigest()
    path = f"{encoded.folder}/{digest[:32]}{encoded.ending}"
    target = save / path
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(encoded.content)
    return File(path=path, sha256=digest, width=encoded.width, height=encoded.height)
