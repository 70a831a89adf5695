"""Common corruptions and changes of geometry: which change the answer, and at which severity."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from whybox import v1
from whybox.v1.errors import CancelledError, DeadlineExceededError
from whybox.v1.vocabulary import DEADLINE
from whybox_handlers.failures import note
from whybox_handlers.models.case import Case
from whybox_handlers.models.subject import is_answer, predicted_class
from whybox_handlers.passes.account import Passes
from whybox_handlers.passes.computations import serve_alone
from whybox_handlers.robustness.corruptions import CORRUPTIONS, Corruption

# Share of the time left that may be spent: making the next picture takes time too, which no pass tells.
_SHARE = 0.8


async def measure_corruptions(case: Case, names: Iterable[str], passes: Passes) -> list[v1.Corruption]:
    """The answers to the picture under each of the corruptions, severity by severity.

    A corruption that fails has only a status. Those that the deadline cuts short keep their first levels.

    Args:
        case: Model, picture and seed.
        names: Names in `CORRUPTIONS`.
        passes: Its limits hold; its account is left alone.

    Raises:
        CancelledError: The caller is gone.
    """
    own = passes.with_budget(None, "forward", _SHARE)
    measured: list[v1.Corruption] = []
    for name in names:
        late = bool(measured) and measured[-1].stopped_by == DEADLINE
        described = v1.Corruption(name=name, group=CORRUPTIONS[name].group, status={})
        try:
            levels = [] if late else await _levels(case, CORRUPTIONS[name], own)
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 (the distances have been found, whatever happens here)
            note(described.status, error, case.request_id)
        else:
            described.levels.extend(levels)
            described.stopped_by = "" if len(levels) == len(CORRUPTIONS[name].strengths) else DEADLINE
            if flips := [level.severity for level in levels if level.flips]:
                described.first_flip = flips[0]
        measured.append(described)
    return measured


async def _levels(case: Case, corruption: Corruption[Any], passes: Passes) -> list[v1.CorruptionLevel]:
    """Severity by severity, as far as time allows."""
    levels: list[v1.CorruptionLevel] = []
    for severity in range(1, len(corruption.strengths) + 1):
        logits = await _logits(case, corruption, severity, passes)
        if logits is None:
            break
        levels.append(_level(case, severity, logits))
    return levels


async def _logits(case: Case, corruption: Corruption[Any], severity: int, passes: Passes) -> Tensor | None:
    """[N, classes] for the corrupted pictures; None if there is no time for them."""
    if not passes.grant(1):
        return None
    pictures = corruption.pictures(case.subject.picture, severity, case.seed)
    try:
        (logits,) = await passes.forward(serve_alone, pictures)
    except DeadlineExceededError:
        return None
    return logits


def _level(case: Case, severity: int, logits: Tensor) -> v1.CorruptionLevel:
    """The worst direction: the first in which the answer changes; if it changes in none, the first with an answer."""
    answers = sorted((row for row in logits if is_answer(row)), key=case.subject.flips, reverse=True)
    level = v1.CorruptionLevel(severity=severity)
    if answers:
        level.flips = case.subject.flips(answers[0])
        level.predicted_class.CopyFrom(case.classifier.score(answers[0], predicted_class(answers[0])))
    return level
