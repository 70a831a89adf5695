"""The findings of an audit as text for a terminal."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from whybox_server.audits.criticism.findings import Findings, Flag
from whybox_server.audits.notes import Note, by_flag, question, without_flag
from whybox_server.audits.report.compare import Comparison
from whybox_server.audits.report.groups import Group

# Flags come first; the others are listed as long as there is room.
_ORDER = ("flagged", "not_detected", "insufficient_data")
_STYLES = {"flagged": "bold red"}
_ROWS = 12
_GROUPS = 40


def sentences(findings: Findings) -> Table | None:
    """The flags as sentences, the flagged ones first, then by q-value; None if nothing was asked."""
    flags = sorted(findings.flags, key=lambda flag: (_ORDER.index(flag.state), flag.q_value or 0))
    if not flags:
        return None
    shown = _shown(flags)
    numbers = Counter(flag.state for flag in flags)
    states = ", ".join(f"{numbers[state]} {state}" for state in _ORDER if numbers[state])
    table = Table(title=f"findings: {states}", show_lines=True)
    if len(shown) < len(flags):
        table.caption = f"{len(flags) - len(shown)} more in audit.json"
    table.add_column("state")
    table.add_column("kind, id")
    table.add_column("finding", ratio=1)
    for flag in shown:
        # As texts: names of classes, columns and values are the caller's, and brackets in them are no markup.
        cells = (flag.state, f"{flag.kind}\n{flag.id}", _here(flag))
        table.add_row(*map(Text, cells), style=_STYLES.get(flag.state))
    return table


def _here(flag: Flag) -> str:
    """The sentence where only one audit is spoken of."""
    sentence = flag.message.removeprefix(f"In audit {flag.audit_id}, ")
    return sentence[:1].upper() + sentence[1:]


def accuracies(groups: Sequence[Group]) -> Table | None:
    """Accuracy by value over all classes, which tests nothing; None for no groups, or too many for a terminal."""
    if not 0 < len(groups) <= _GROUPS:
        return None
    table = Table(title="accuracy by value, over all classes")
    for column in ("attribute", "value", "pictures", "accuracy", "95 % interval", "mean confidence"):
        table.add_column(column, justify="left" if column in ("attribute", "value") else "right")
    for group in groups:
        interval = f"{group.accuracy_low:.1%} to {group.accuracy_high:.1%}"
        sure = "" if group.confidence is None else f"{group.confidence:.1%}"
        cells = (group.attribute, group.value or "(empty)", str(group.n), f"{group.accuracy:.1%}", interval, sure)
        table.add_row(*map(Text, cells))
    return table


def columns_left_out(columns: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A line for each column that is an attribute or could have been one, and is not tested."""
    for column in columns:
        if not column["tested"] and column.get("role") in ("attribute", "other"):
            yield f"column {column['name'] or repr('')} is not tested: {column['reason']}"


def accuracy(group: Group) -> str:
    """The accuracy of some pictures, in a sentence without a full stop."""
    interval = f"95 % interval {group.accuracy_low:.1%} to {group.accuracy_high:.1%}"
    sure = "" if group.confidence is None else f"; mean confidence {group.confidence:.1%}"
    return f"accuracy {group.accuracy:.1%} ({interval}), {group.right} of {group.n} pictures{sure}"


def calibration(entries: Mapping[str, Any]) -> Iterator[str]:
    """The calibration of prediction sets, a line for each method and level; see `calibrate`."""
    if entries["state"] != "ok":
        yield f"prediction sets: {entries['state']}: {entries['message']}"
        return
    measured = (
        f"thresholds from {entries['n']} pictures of {entries['data_set']}, coverage of {entries['coverage_n']} others"
    )
    yield f"prediction sets: {measured}"
    for each in entries["sets"]:
        interval = f"95 % interval {each['ci_low']:.1%} to {each['ci_high']:.1%}"
        size = "all classes" if each["threshold"] is None else f"{each['mean_size']:.2f} classes on average"
        chance = "" if each["p_value"] is None else f"; as low by chance: p = {each['p_value']:.2g}"
        coverage = f"coverage {each['coverage']:.1%} ({interval}{chance})"
        yield f"  {each['method']}, alpha {each['alpha']:g}: {coverage}, {size}"


def changes(comparison: Comparison) -> Iterator[str]:
    """What changed from one audit to another, a line for each thing."""
    alone = f"{comparison.only_first} only in the first, {comparison.only_second} only in the second"
    yield f"audits {comparison.audits[0]} and {comparison.audits[1]}: {comparison.pictures} pictures in both, {alone}"
    for change in comparison.changes:
        interval = f"95 % interval {change.low:+.3g} to {change.high:+.3g}"
        how = f"change {change.change:+.3g}, {interval}"
        if change.measure != "accuracy":
            interval = f"95 % interval {change.low:.3g} to {change.high:.3g}"
            how = f"median ratio {change.change:.3g}, {interval}"
        numbers = f"{change.first:.4g} to {change.second:.4g}"
        yield f"{change.measure}: {numbers} ({how}, p = {change.p_value:.2g}, n = {change.n})"
    for flag in comparison.flags:
        states = f"{flag.first or 'not asked'} to {flag.second or 'not asked'}"
        yield f"{flag.kind} of {flag.class_label} with {flag.attribute} = {flag.value}: {states}"
    if not comparison.flags:
        yield "no flag changed its state"


def lost_notes(notes: Sequence[Note], manifest: Mapping[str, Any]) -> Iterator[str]:
    """A line for each note on a flag that an audit does not have."""
    for note in without_flag(notes, manifest):
        yield f"this audit has no flag {note.flag} ({note.question}), but notes.json keeps a note on it: {_note(note)}"


def noted_flags(notes: Sequence[Note], manifest: Mapping[str, Any]) -> Iterator[str]:
    """The flags of an audit with their ids and notes, a line for each, and the notes on flags that it does not have."""
    own = by_flag(notes)
    flags = sorted(manifest["flags"], key=lambda flag: (_ORDER.index(flag["state"]), flag["q_value"] or 0))
    for flag in flags:
        yield f"{flag['id']}  {flag['state']}  {question(flag)}"
        yield from (f"  {_note(note)}" for note in own.get(flag["id"], ()))
    yield from lost_notes(notes, manifest)


def _note(note: Note) -> str:
    return f"{note.name}, {note.date}, when it was {note.state} in audit {note.audit}: {note.text}"


def _shown(flags: Sequence[Flag]) -> Sequence[Flag]:
    """All flagged ones, and others up to the number of rows; too little data says nothing that needs a row each."""
    telling = [flag for flag in flags if flag.state != "insufficient_data"] or list(flags)
    flagged = sum(flag.state == "flagged" for flag in flags)
    return telling[: max(flagged, _ROWS)]
