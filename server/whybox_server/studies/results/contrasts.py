"""Differences between cells on the same pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from statsmodels.stats.multitest import multipletests

from .counted_cells import Population
from .outcome import Contrast, Decision
from .redraws import groups, shares
from .tally import counts
from .votes import CORRECT, ERROR, Questions, Votes

_ARMS = (("feature", "none"), ("example", "none"), ("example", "feature"))


@dataclass(frozen=True)
class Asked:
    """A difference that is computed; see `Contrast`."""

    name: str
    plus: tuple[str, ...]
    minus: tuple[str, ...]
    registered: bool


def contrasts(
    votes: Votes,
    asked: Sequence[Asked],
    maybe: Decision,
    ties: Decision,
    population: Population,
    *,
    seed: int,
    redraws: int,
    redrawn: Callable[[int], object] | None = None,
) -> list[Contrast]:
    """The differences on the pictures that all their cells have.

    A stratum without such a picture is left out of the difference; one without any picture is no difference. `redrawn`
    is told the number of new redraws, `redraws` for each of `asked`. Redraws are those of `shares`, so that
    pictures and annotators that cells share cancel out. The p-value is two-sided, 2 (1 + b) / (B + 1) with b redraws on
    the rarer side of 0 among B (Davison & Hinkley 1997, section 4.2), so it is never below 2 / (B + 1). Registered
    ones are corrected together (Holm 1979).
    """
    found = [
        contrast
        for one in asked
        if (contrast := _contrast(votes, one, maybe, ties, population, seed, redraws, redrawn)) is not None
    ]
    found.sort(key=lambda contrast: not contrast.registered)
    tested = [contrast.p for contrast in found if contrast.registered]
    corrected = multipletests(tested, method="holm")[1].tolist() if tested else []
    return [replace(contrast, p_holm=p) for contrast, p in zip(found, corrected, strict=False)] + found[
        len(corrected) :
    ]


def asked_contrasts(cells: Sequence[str], registered: Sequence[tuple[str, str]]) -> list[Asked]:
    """Registered differences, and all others between arms for the model's label.

    Between arms: feature - none, example - none and example - feature, for clean and for adversarial pictures, and
    adversarial - clean of each, which is registered if both its differences are.
    """
    pairs = dict.fromkeys(registered, True)
    versions = ("clean", "adversarial")
    between = {
        (first, second): tuple((f"{first}/{version}/model", f"{second}/{version}/model") for version in versions)
        for first, second in _ARMS
    }
    for both in between.values():
        for pair in both:
            if (pair[1], pair[0]) not in pairs:
                pairs.setdefault(pair, False)
    asked = [Asked(f"{plus} - {minus}", (plus,), (minus,), known) for (plus, minus), known in pairs.items()]
    for clean, adversarial in between.values():
        asked.append(
            Asked(
                f"({adversarial[0]} - {adversarial[1]}) - ({clean[0]} - {clean[1]})",
                (adversarial[0], clean[1]),
                (adversarial[1], clean[0]),
                all((pair in registered) or (pair[::-1] in registered) for pair in (clean, adversarial)),
            )
        )
    return [one for one in asked if (one.registered and len(one.plus) == 1) or {*one.plus, *one.minus} <= {*cells}]


def _contrast(
    votes: Votes,
    asked: Asked,
    maybe: Decision,
    ties: Decision,
    population: Population,
    seed: int,
    redraws: int,
    redrawn: Callable[[int], object] | None,
) -> Contrast | None:
    cells = votes.questions.cells
    indices = [cells.index(name) for name in (*asked.plus, *asked.minus)]
    voted = counts(votes).sum(axis=1) > 0
    pictures = votes.questions.picture
    common = np.ones(int(pictures.max(initial=-1)) + 1, bool)
    for cell in indices:
        inside = np.zeros_like(common)
        inside[pictures[voted & (votes.questions.cell == cell)]] = True
        common &= inside
    kept = voted & np.isin(votes.questions.cell, indices) & common[pictures]
    if not kept.any():
        if redrawn is not None:
            redrawn(redraws)
        return None
    some = _only(votes, kept)
    found = shares(some, maybe, ties, seed=seed, redraws=redraws, redrawn=redrawn)
    group = groups(some)
    factors: dict[int, float] = {}
    for index, cell in enumerate(indices):
        sign = 1.0 if index < len(asked.plus) else -1.0
        of = population.asking(np.any(group == 2 * cell + ERROR).item(), np.any(group == 2 * cell + CORRECT).item())
        factors.update((key, sign * share) for key, share in of.accepted_of_asked(cell).items())
    draws = found.draws[:, list(factors)] @ np.array(list(factors.values()))
    rarer = min(np.count_nonzero(draws <= 0), np.count_nonzero(draws >= 0))
    return Contrast(
        name=asked.name,
        plus=asked.plus,
        minus=asked.minus,
        registered=asked.registered,
        pictures=len(np.unique(some.questions.picture)),
        difference=found.combine(factors),
        p=float(min(2 * (1 + rarer) / (redraws + 1), 1.0)),
        p_holm=None,
    )


def _only(votes: Votes, kept: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Votes:
    """The votes on some questions."""
    questions = votes.questions
    place = np.cumsum(kept) - 1
    some = votes.only(kept[votes.question])
    return replace(
        some,
        question=place[some.question],
        questions=Questions(
            questions.picture[kept],
            questions.cell[kept],
            questions.stratum[kept],
            questions.weight[kept],
            tuple(name for name, keep in zip(questions.names, kept.tolist(), strict=True) if keep),
            questions.cells,
            None if questions.item is None else questions.item[kept],
        ),
    )
