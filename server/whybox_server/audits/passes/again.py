"""Some pictures of a finished pass measured once more, with another attack or budget: the same pass in a small."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from whybox_server.audits.data.columns import Column
from whybox_server.audits.data.dataset import DataSet, Labelled, Row
from whybox_server.audits.passes.duplicates import Copies
from whybox_server.audits.passes.journal import JOURNAL, ROUNDS, Journal
from whybox_server.audits.passes.pictures import PICTURES, write_pictures
from whybox_server.audits.passes.run import Pass, attack_options, measure, record_settings
from whybox_server.audits.passes.tally import Faults, faults


@dataclass(frozen=True)
class Round:
    """How pictures are measured once more.

    Attributes:
        attack: Name of the attack.
        norm: The only norm.
        budget: Number of gradient evaluations.
    """

    attack: str
    norm: str
    budget: int

    @property
    def table(self) -> str:
        """Path of the table below the folder of the results, the same for the same round."""
        return f"{ROUNDS}/{self.attack}-{self.norm}-{self.budget}/{PICTURES}"


class Again(NamedTuple):
    """A finished round.

    Attributes:
        table: The file with a row for each picture that was measured; see `write_pictures`.
        missing: The pictures that were not measured.
    """

    table: Path
    missing: Faults


class _Chosen:
    """Some pictures of a data set, without their cells."""

    columns: tuple[Column, ...] = ()

    def __init__(self, data: DataSet, files: Collection[str]) -> None:
        self._data = data
        self._files = frozenset(files)

    def __len__(self) -> int:
        return len(self._files)

    def pictures(self) -> Iterator[Labelled]:
        return (picture for picture in self._data.pictures() if picture.file in self._files)

    def rows(self) -> Iterator[Row]:
        return (Row(row.file, row.label, ()) for row in self._data.rows() if row.file in self._files)


def measured_again(done: Pass, copies: Copies, how: Round, files: Collection[str], title: str, err: Console) -> Again:
    """Measures some pictures of a pass once more, with the workers of the pass and a journal of their own.

    After an interrupt the same call continues, and pictures that an earlier round of the same kind measured are not
    measured again.

    Args:
        done: The pass; its journal is open, and keeps other runs out of the folder.
        copies: Which of its pictures are copies.
        how: The attack.
        files: The pictures.
        title: What is measured, for the progress.
        err: Console for the progress.

    Raises:
        WhyboxError: The attack does not measure in the norm.
        Exception: As `measure`.
    """
    asked = replace(done.asked, norms=(how.norm,), budget=str(how.budget), attack=how.attack)
    options = attack_options(asked, done.model)
    settings = record_settings(asked, done.model, options)
    table = done.save / how.table
    table.parent.mkdir(parents=True, exist_ok=True)
    chosen = _Chosen(done.data, files)
    # --fresh has deleted all rounds with the journal of the pass.
    with Journal(table.with_name(JOURNAL), settings) as journal:
        measure(asked, done.archive, options, chosen, journal, err, title)
        write_pictures(table, chosen, journal, copies, done.model.labels, [how.norm])
        return Again(table, faults(chosen, journal))
