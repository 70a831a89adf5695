"""The parts of an answer: one row for each, which is all that the gateway and the transports know of it.

To add a part: its .proto file, its options in `validation/`, its row here, and its work in the handlers' analyzer.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from whybox import v1
from whybox_server.gateway.deadlines import Deadline
from whybox_server.gateway.pools import Backend, PoolKind
from whybox_server.gateway.sizes.explanations import explanation_sizes
from whybox_server.gateway.sizes.robustness import robustness_sizes
from whybox_server.gateway.sizes.scores import bias_sizes, certified_sizes, prediction_sizes
from whybox_server.gateway.sizes.served import Sizes
from whybox_server.gateway.transfer import fill_transfers
from whybox_server.validation.bias import BiasOptions
from whybox_server.validation.certified import CertifiedOptions
from whybox_server.validation.explanations import ExplanationOptions, fill_explanation
from whybox_server.validation.options import PartOptions
from whybox_server.validation.prediction import PredictionOptions
from whybox_server.validation.request import is_asked
from whybox_server.validation.robustness import RobustnessOptions

Split = Iterator[tuple[v1.AnalyzeRequest, tuple[int, ...]]]
"""Requests for one unit of work each; of a repeated part also the positions of its entries in the whole request."""


def common(request: v1.AnalyzeRequest) -> v1.AnalyzeRequest:
    """What of a request belongs to no part, without the picture."""
    return v1.AnalyzeRequest(model=request.model, version=request.version, seed=request.seed, view=request.view)


def _whole(request: v1.AnalyzeRequest) -> Split:
    yield request, ()


def _by_method(request: v1.AnalyzeRequest) -> Split:
    """Maps of one method are one unit of work: they cost the same, and share their passes."""
    for method in dict.fromkeys(options.method for options in request.explanations):
        indices = tuple(index for index, options in enumerate(request.explanations) if options.method == method)
        of_method = common(request)
        of_method.explanations.extend(request.explanations[index] for index in indices)
        yield of_method, indices


def _as_it_is(work: v1.Work, model: v1.Model) -> None:
    """Adds nothing to the request."""


def _with_twin(work: v1.Work, model: v1.Model) -> None:
    """Adds the options of the twin's maps, with the same defaults as those of maps that are asked for."""
    if work.request.robustness.twin:
        work.twin.method = work.request.robustness.twin
        fill_explanation(work.twin, model, "robustness.twin")


async def _done(
    result: v1.WorkResult,
    others: Sequence[v1.Model],
    backend: Backend,
    *,
    request_id: str,
    deadline: Deadline,
    caller: str,
) -> None:
    """Leaves the result as the worker made it."""


@dataclass(frozen=True)
class Part:
    """One part of an answer.

    Attributes:
        name: Field of `AnalyzeRequest` and `AnalyzeResponse`; a repeated one has an entry for each map, with the fields
            `index`, `method` and `status`.
        kind: What metrics call it.
        action: The action of the REST interface that asks for this part alone.
        summary: What it tells, for people.
        options: What can be asked of it.
        pool: The workers that make it. All that a request asks of the prediction pool is one unit of work, because it
            rests on the prediction and costs nothing beyond it.
        sizes: How large it can be, piece by piece; see `gateway.sizes`.
        costly: Whether a request for everything leaves it out unless one of its options is given.
        split: From a request for this part alone to its units of work.
        prepare: Adds what a worker needs beyond the request. Called with the work and the model.
        finish: Completes what a worker answered, in the result itself. Called with the result, the other served models
            and the backend; it ends before the deadline's `answer`.
    """

    name: str
    kind: str
    action: str
    summary: str
    options: PartOptions
    pool: PoolKind
    sizes: Sizes
    costly: bool = False
    split: Callable[[v1.AnalyzeRequest], Split] = _whole
    prepare: Callable[[v1.Work, v1.Model], None] = _as_it_is
    finish: Callable[..., Awaitable[None]] = _done

    @property
    def is_repeated(self) -> bool:
        """Whether a request may have several entries of it."""
        return bool(v1.AnalyzeRequest.DESCRIPTOR.fields_by_name[self.name].is_repeated)

    def is_asked(self, request: v1.AnalyzeRequest) -> bool:
        """Whether a request asks for it."""
        return is_asked(request, self.name)


PARTS: Mapping[str, Part] = {
    part.name: part
    for part in (
        Part(
            name="prediction",
            kind="prediction",
            action="predict",
            summary="The most probable classes",
            options=PredictionOptions(),
            pool=PoolKind.PREDICT,
            sizes=prediction_sizes,
        ),
        Part(
            name="explanations",
            kind="explanation",
            action="explain",
            summary="Which pixels or regions spoke for a class, or which known pictures are like this one",
            options=ExplanationOptions(),
            pool=PoolKind.ANALYZE,
            sizes=explanation_sizes,
            split=_by_method,
        ),
        Part(
            name="robustness",
            kind="robustness",
            action="robustness",
            summary="How small a change makes the model change its mind",
            options=RobustnessOptions(),
            pool=PoolKind.ANALYZE,
            sizes=robustness_sizes,
            prepare=_with_twin,
            finish=fill_transfers,
        ),
        Part(
            name="bias",
            kind="bias",
            action="bias",
            summary="What an audit found about the predicted class",
            options=BiasOptions(),
            pool=PoolKind.PREDICT,
            sizes=bias_sizes,
        ),
        Part(
            name="certified",
            kind="certified",
            action="certify",
            summary="The radius within which no change of the picture changes the smoothed classifier's answer, proven",
            options=CertifiedOptions(),
            pool=PoolKind.ANALYZE,
            sizes=certified_sizes,
            costly=True,
        ),
    )
}
"""All parts, in the order in which they are described and, within a pool, begun."""


OPTIONS: Sequence[PartOptions] = [part.options for part in PARTS.values()]


def asked_parts(request: v1.AnalyzeRequest) -> list[str]:
    """The names of the parts that a request asks for."""
    return [part.name for part in PARTS.values() if part.is_asked(request)]
