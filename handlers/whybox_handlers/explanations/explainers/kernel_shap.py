"""Kernel SHAP: Shapley values of superpixels (Lundberg & Lee, arXiv:1705.07874)."""

from collections.abc import Iterator
from itertools import islice
from math import comb

import torch
from torch import Tensor

from whybox.v1 import errors
from whybox_handlers.explanations.explainers import removal
from whybox_handlers.explanations.explainers.attribution import Attribution, Question
from whybox_handlers.explanations.superpixels import segments_of
from whybox_handlers.passes.account import Passes, StoppedBy

# More pieces do not make a map easier to read, and each needs its evaluations.
_MOST_PIECES = 50
_EVALUATIONS_PER_PIECE = 40
# 65,536 coalitions; more would take too long.
_MOST_EXACT_PIECES = 16
# With fewer pairs of coalitions for each piece, the regression follows their noise.
_PAIRS_PER_PIECE = 2
_BATCH = 8


async def kernel_shap(passes: Passes, question: Question) -> Attribution:
    """Shapley values of the game v(S) = objective(x in superpixels S, the baseline elsewhere), [H, W], in logits.

    phi_i is the mean, over all orders of the M superpixels, of what i adds to v(those before it). It is spread evenly
    over the pixels of i; the map sums to objective(x) - objective(b).

    phi is exact if the evaluations suffice for all 2^M coalitions. Otherwise it is the least-squares fit of
    v(S) = v(none) + sum of phi over S to coalitions drawn from the Shapley kernel, under the constraint that all of phi
    sum to v(all) - v(none). Coalitions come in pairs with their complements (Covert & Lee, arXiv:2012.01536), which
    removes the even part of the game from the noise. The residual is the standard error by the jackknife that leaves
    out one pair at a time. It is 0 for exact values, and unknown if no coalition changed the objective by more than
    rounding: then nothing was seen, and the map is 0.

    Raises:
        DeadlineExceededError: The deadline passed before there were enough pairs to fit.
    """
    budget = removal.grant(passes, question, 2**_MOST_PIECES).count
    superpixels = segments_of(question.picture, _pieces(budget))
    segments = superpixels.labels
    sizes = segments.flatten().bincount()
    pieces = len(sizes)
    baseline_value = await removal.value_of_baselines(passes, question)
    fit = _Fit(sizes, question.value - baseline_value)
    # The baseline alone and the whole picture have been seen: neither is in a pair.
    exact = pieces <= _MOST_EXACT_PIECES and 2**pieces - 1 <= budget
    pairs = 2 ** (pieces - 1) - 1 if exact else (budget - 1) // 2
    coalitions = (_all if exact else _drawn)(pieces, question.generator())
    stopped_by: StoppedBy = "done" if exact else "evaluations"
    farthest, rounding = abs(question.value - baseline_value), removal.rounding_of(question)
    while pairs:
        granted = removal.grant(passes, question, 2 * min(_BATCH, pairs))
        drawn = granted.count // 2
        if not drawn:
            stopped_by = granted.stopped_by
            break
        pairs -= drawn
        batch = torch.stack(list(islice(coalitions, drawn)))
        kept = torch.cat([batch, ~batch])[:, segments].float()
        values = await removal.value_of(passes, question, kept)
        farthest = max(farthest, float((values - baseline_value).abs().max()))
        ours, others = values.chunk(2)
        fit.add(batch, (ours - others) / 2, _kernel(batch) if exact else torch.ones_like(ours))
        if not exact and question.options.tolerance and fit.determined and farthest > rounding:
            residual = fit.residual()
            if residual is not None and residual <= question.options.tolerance:
                stopped_by = "tolerance"
                break
    if stopped_by != "done" and not fit.determined:
        raise errors.DeadlineExceededError(
            "the deadline passed before there were enough coalitions to fit; allow more time or lower max_evaluations"
        )
    phi, residual = fit.values(), 0.0 if stopped_by == "done" else fit.residual()
    if farthest <= rounding:
        phi, residual = torch.zeros_like(phi), None
    return Attribution(
        (phi / sizes)[segments].float(),
        "logit",
        signed=True,
        stopped_by=stopped_by,
        residual=residual,
        baseline_value=baseline_value,
        complete=True,
        segmentation=superpixels.method,
    )


def _pieces(budget: int) -> int:
    """The number of superpixels: as many as can be sampled well, or solved exactly if that is more; at least 2.

    One piece would make the map flat, and its value, known without any coalition, would pass for exact.
    """
    sampled = min(budget // _EVALUATIONS_PER_PIECE, _MOST_PIECES)
    solved = min(budget.bit_length() - 1, _MOST_EXACT_PIECES)
    return max(sampled, solved, 2)


def _kernel(coalitions: Tensor) -> Tensor:
    """The Shapley kernel (M - 1) / (C(M, s) s (M - s)) of coalitions [N, M] of s superpixels each: [N]."""
    pieces = coalitions.shape[1]
    return torch.tensor(
        [(pieces - 1) / (comb(pieces, s) * s * (pieces - s)) for s in coalitions.sum(dim=1).tolist()],
        dtype=torch.float64,
    )


def _all(pieces: int, generator: torch.Generator) -> Iterator[Tensor]:
    """One coalition, [M] bool, of each pair in which neither is empty; in random order, because time may end."""
    bits = torch.arange(pieces)
    for number in torch.randperm(2 ** (pieces - 1) - 1, generator=generator):
        yield (number + 1 >> bits & 1).bool()


def _drawn(pieces: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Coalitions, [M] bool, with probabilities in proportion to the Shapley kernel; for ever."""
    sizes = torch.arange(1, pieces, dtype=torch.float64)
    odds = 1 / (sizes * (pieces - sizes))
    while True:
        size = 1 + int(torch.multinomial(odds, 1, generator=generator))
        coalition = torch.zeros(pieces, dtype=torch.bool)
        coalition[torch.randperm(pieces, generator=generator)[:size]] = True
        yield coalition


class _Fit:
    """phi that minimises the sum of w_S (g_S - sum_i phi_i (S_i - 1/2))^2 and adds up to a total.

    g_S = (v(S) - v(complement)) / 2: for a pair, that is all that the least squares of the class of v depend on.

    Args:
        sizes: [M]: pixels of each superpixel.
        total: v(all) - v(none).
    """

    def __init__(self, sizes: Tensor, total: float) -> None:
        pieces = len(sizes)
        self._sizes = sizes.double()
        self._even = total / pieces
        # Columns span the vectors that add up to 0, so that the constraint holds by construction.
        self._basis = torch.linalg.qr(torch.eye(pieces, dtype=torch.float64) - 1 / pieces).Q[:, :-1]
        self._inputs = torch.zeros(0, pieces - 1, dtype=torch.float64)
        self._outputs = torch.zeros(0, dtype=torch.float64)

    @property
    def determined(self) -> bool:
        """Whether there are pairs enough."""
        return len(self._inputs) >= _PAIRS_PER_PIECE * len(self._sizes)

    def add(self, coalitions: Tensor, halves: Tensor, weights: Tensor) -> None:
        """Adds one coalition of each pair, [N, M] bool, its g [N] and its w [N]."""
        deviations, scale = coalitions.double() - 0.5, weights.sqrt()
        outputs = halves - self._even * deviations.sum(dim=1)
        self._inputs = torch.cat([self._inputs, scale[:, None] * (deviations @ self._basis)])
        self._outputs = torch.cat([self._outputs, scale * outputs])

    def values(self) -> Tensor:
        """phi, [M]."""
        free: Tensor = self._inverse() @ self._inputs.T @ self._outputs
        values: Tensor = self._even + self._basis @ free
        return values

    def errors(self) -> Tensor:
        """Standard errors of phi, [M]."""
        inverse, count = self._inverse(), len(self._inputs)
        gaps = self._outputs - self._inputs @ (inverse @ self._inputs.T @ self._outputs)
        leverages = (self._inputs @ inverse * self._inputs).sum(dim=1)
        # By how much each pair moves phi; in closed form, without a fit for each.
        moves = (self._inputs * (gaps / (1 - leverages).clamp(min=1e-9))[:, None]) @ inverse @ self._basis.T
        variances: Tensor = (count - 1) * moves.var(dim=0, correction=0)
        return variances.sqrt()

    def residual(self) -> float | None:
        """See `removal.residual_of`; of the map, in which each superpixel counts by its pixels."""
        share = self._sizes.rsqrt()
        return removal.residual_of(self.values() * share, self.errors() * share)

    def _inverse(self) -> Tensor:
        inverse: Tensor = torch.linalg.pinv(self._inputs.T @ self._inputs, hermitian=True)
        return inverse
