"""Audits of redrawn pictures: what is flagged, by distance and by other criteria, where the truth is known."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from planted import mmd_critic
from planted.digits import LABELS
from planted.stored import Stored
from whybox_server.audits.criticism.columns import KINDS
from whybox_server.audits.criticism.find import find
from whybox_server.audits.criticism.findings import Flag
from whybox_server.audits.criticism.options import CriticismOptions, Q
from whybox_server.audits.criticism.pictures import Booleans, Floats, Integers
from whybox_server.audits.criticism.verdicts import FLAGGED

PICTURES = 200
"""Audited pictures of each class."""

PLANTED = "planted"
"""The attribute is the cue."""

NULLS = ("permuted", "irrelevant", "confounder only")
"""Attributes without an effect: the cue's values at random places; a coin toss on pictures without the cue; and a coin
that shows the cue in four of five pictures, while the audit is told of the cue."""

_FOLLOWS = 0.8
# The share of a class that is a prototype, and that is a criticism.
_TAIL = 0.2


@dataclass(frozen=True)
class Trial:
    """What was found on one class of one redraw.

    Attributes:
        attribute: `PLANTED` or one of `NULLS`.
        redraw: Its number.
        label: Index of the class.
        n_with: Number of correct pictures with the attribute.
        n_without: Number of those without it.
        p_value: Of the test of the distances; NaN if they were not tested.
        flagged: By the name of the criterion: whether it flags the attribute. `KINDS` are those of the audit.
    """

    attribute: str
    redraw: int
    label: int
    n_with: int
    n_without: int
    p_value: float
    flagged: dict[str, bool]


CONFIDENCE, MMD_CRITIC = "confidence", "MMD-critic"
"""Baselines: the decision on distances, made on confidences; and a test of the shares among MMD-critic's choices."""


class Redraws:
    """Redraws of the audited pictures of one network."""

    def __init__(self, stored: Stored, pictures: int = PICTURES) -> None:
        """Redraws of `pictures` pictures a class, or of all if there are fewer."""
        self._stored = stored
        self._rows = [np.flatnonzero(stored.labels == label) for label in range(len(LABELS))]
        self._pictures = pictures
        # Of both versions of each picture of the class: the unstamped ones first.
        self._kernels = [
            mmd_critic.kernel(stored.embeddings[:, rows].reshape(2 * len(rows), -1)) for rows in self._rows
        ]

    def trials(self, attribute: str, redraw: int, *, baselines: bool) -> Iterator[Trial]:
        """One redraw, audited.

        Args:
            attribute: `PLANTED` or one of `NULLS`.
            redraw: Its number, which is also its seed.
            baselines: Whether the baselines are asked too.

        Yields:
            A trial for each class.
        """
        generator = np.random.default_rng(redraw)
        drawn = [generator.choice(len(rows), min(self._pictures, len(rows)), replace=False) for rows in self._rows]
        rows = np.concatenate([of[places] for of, places in zip(self._rows, drawn, strict=True)])
        coin = generator.random(len(rows)) < 0.5
        stamped, having = _attribute(attribute, coin, generator)
        confounders = ("cue",) if attribute == NULLS[2] else ()
        options = CriticismOptions(confounders=confounders, seed=redraw)
        found = {
            (flag.kind, flag.class_index): flag
            for flag in find(self._stored.audited(rows, stamped, having), LABELS, options).flags
        }
        flagged = {kind: [_flagged(found[kind, label]) for label in range(len(LABELS))] for kind in KINDS}
        if baselines:
            confident = find(self._stored.audited(rows, stamped, having, of_confidence=True), LABELS, options)
            flagged[CONFIDENCE] = [_flagged(flag) for flag in confident.flags if flag.kind == KINDS[0]]
            flagged[MMD_CRITIC] = self._by_mmd(drawn, stamped, having)
        for label in range(len(LABELS)):
            flag = found[KINDS[0], label]
            yield Trial(
                attribute,
                redraw,
                label,
                flag.n_with,
                flag.n_without,
                np.nan if flag.p_value is None else flag.p_value,
                {criterion: of[label] for criterion, of in flagged.items()},
            )

    def _by_mmd(self, drawn: list[Integers], stamped: Booleans, having: Booleans) -> list[bool]:
        """Whether prototypes or criticisms of each class have the attribute more or less often than its others."""
        ends = np.cumsum([len(places) for places in drawn])[:-1]
        p_values = [
            shares(kernel[np.ix_(version, version)], has)
            for kernel, rows, places, with_, has in zip(
                self._kernels, self._rows, drawn, np.split(stamped, ends), np.split(having, ends), strict=True
            )
            for version in [places + len(rows) * with_]
        ]
        return list((stats.false_discovery_control(p_values).reshape(len(drawn), 2) < Q).any(axis=1).tolist())


def _attribute(name: str, coin: Booleans, generator: np.random.Generator) -> tuple[Booleans, Booleans]:
    """[M] each: which pictures have the cue, and which have the attribute."""
    if name == PLANTED:
        return coin, coin
    if name == "permuted":
        return coin, generator.permutation(coin)
    if name == "irrelevant":
        return np.zeros(len(coin), dtype=bool), coin
    return coin, coin == (generator.random(len(coin)) < _FOLLOWS)


def shares(similar: Floats, having: Booleans) -> list[float]:
    """The p-values of the attribute's share among prototypes, and among criticisms, against the rest of the class."""
    number = round(_TAIL * len(having))
    central = mmd_critic.prototypes(similar, number)
    return [
        _fisher(np.isin(np.arange(len(having)), chosen), having)
        for chosen in (central, mmd_critic.criticisms(similar, central, number))
    ]


def _fisher(chosen: Booleans, having: Booleans) -> float:
    table = [[int((one & other).sum()) for other in (having, ~having)] for one in (chosen, ~chosen)]
    return float(stats.fisher_exact(table).pvalue)


def _flagged(flag: Flag) -> bool:
    return flag.state == FLAGGED
