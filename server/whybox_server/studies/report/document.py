"""results.json: the subject and the outcome in one object."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from whybox_server.studies.report.claims import claims
from whybox_server.studies.report.subject import Subject
from whybox_server.studies.results.outcome import Outcome

NUMBERS = "results.json"
"""Name of the file in the folder of the results."""

REDRAWS = 2000
"""Redraws behind each interval."""

_LAYOUT = 1
# What an outcome says about a model's error; questions that are not one model's answers have none.
_OF_A_MODEL = ("errors", "correct", "standard_error", "unasked_errors", "unasked_correct")


def document(subject: Subject, outcome: Outcome) -> dict[str, Any]:
    """The content of results.json.

    The fields of `Subject` and `Outcome` stand side by side. Those about a model's error are null if the subject has
    no model.
    """
    values = asdict(outcome) | {"estimand": subject.estimand(outcome)}
    if not subject.model:
        values |= dict.fromkeys(_OF_A_MODEL)
        values["cells"] = [cell | {"standard_error": None, "rectified": None} for cell in values["cells"]]
    return {"layout": _LAYOUT, **asdict(subject), **values, "claims": asdict(claims(subject, outcome))}


def rendered(subject: Subject, outcome: Outcome) -> str:
    """The text of results.json."""
    return f"{json.dumps(document(subject, outcome), ensure_ascii=False, indent=1, allow_nan=False)}\n"


def write_document(folder: Path, subject: Subject, outcome: Outcome) -> Path:
    """Writes `NUMBERS` and returns its path."""
    path = folder / NUMBERS
    part = folder / f"{NUMBERS}.part"
    part.write_text(rendered(subject, outcome), encoding="utf-8")
    part.replace(path)
    return path
