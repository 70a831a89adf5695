"""Notes of reviewers on the page of an audit: each flag that it puts in words has a place for them."""

import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from markupsafe import Markup

from whybox_server.audits.notes import Note, by_flag

_OTHERS = "others"
_PLACE = re.compile(r"<!--notes ([0-9a-z]+)-->.*?<!--/notes-->", re.DOTALL)


def place(flag: str = _OTHERS) -> Markup:
    """The empty place of a flag's notes; without a flag that of notes on all flags without a place of their own."""
    return Markup("<!--notes {}--><!--/notes-->").format(flag)


def write_notes(page: Path, notes: Sequence[Note]) -> None:
    """Writes a page again with some notes, and no others; all else stays as it is, to the byte.

    Args:
        page: The page.
        notes: The notes.

    Raises:
        OSError: The page cannot be read or written.
    """
    written = page.read_text(encoding="utf-8")
    told = by_flag(notes)
    own = {flag: told.pop(flag, []) for flag in _PLACE.findall(written) if flag != _OTHERS}
    others = list(chain.from_iterable(told.values()))

    def filled(found: re.Match[str]) -> str:
        here = others if found[1] == _OTHERS else own[found[1]]
        return f"<!--notes {found[1]}-->{_listed(here, with_question=found[1] == _OTHERS)}<!--/notes-->"

    part = page.with_name(f"{page.name}.part")
    part.write_text(_PLACE.sub(filled, written), encoding="utf-8")
    part.replace(page)


def _listed(notes: Sequence[Note], *, with_question: bool) -> str:
    """A list of notes; "" for none."""
    if not notes:
        return ""
    lines = Markup("").join(
        Markup("<li>{}<b>{}</b>, {}, when it was {} in audit {}: {}</li>\n").format(
            Markup("{}. ").format(note.question) if with_question else "",
            *(note.name, note.date, note.state.replace("_", " "), note.audit, note.text),
        )
        for note in notes
    )
    heading = "Notes on other questions" if with_question else "Notes of reviewers"
    return Markup('\n<div class="notes">\n<h4>{}</h4>\n<ul>\n{}</ul>\n</div>\n').format(heading, lines)
