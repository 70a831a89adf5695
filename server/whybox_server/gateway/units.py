"""From a request to the units of work that run in parallel, and from their results to parts of the answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from google.rpc.status_pb2 import Status

from whybox import v1
from whybox_server.gateway.parts import PARTS, Part, common
from whybox_server.gateway.pools import PoolKind


class AnsweredPart(NamedTuple):
    """One part of an answer, as timings and metrics know it.

    Attributes:
        name: As in `PartTiming.part`.
        kind: `Part.kind`.
        method: The explainer; empty for a part without a choice.
        status: How it ended.
    """

    name: str
    kind: str
    method: str
    status: Status


@dataclass(frozen=True)
class Unit:
    """What one worker computes together.

    Attributes:
        parts: The parts that it makes.
        request: The options of these parts alone, without the picture.
        indices: Positions of its entries of a repeated part in the whole request.
    """

    parts: Sequence[Part]
    request: v1.AnalyzeRequest
    indices: tuple[int, ...] = ()

    @property
    def pool(self) -> PoolKind:
        """The pool that does it."""
        return self.parts[0].pool

    def work(self, path: Path, model: v1.Model, request_id: str) -> v1.Work:
        """What a worker is sent: the parts that it makes, and the place of the picture, which all units share."""
        work = v1.Work(request_id=request_id, request=self.request, picture_path=str(path))
        for part in self.parts:
            part.prepare(work, model)
        return work

    def answered(self, response: v1.AnalyzeResponse) -> list[AnsweredPart]:
        """The parts of its answer; entries of a repeated part learn their position in the whole request.

        Raises:
            ValueError: The worker answered another number of entries than were asked for.
        """
        parts: list[AnsweredPart] = []
        for part in self.parts:
            if not part.is_repeated:
                parts.append(AnsweredPart(part.name, part.kind, "", getattr(response, part.name).status))
                continue
            for index, entry in zip(self.indices, getattr(response, part.name), strict=True):
                entry.index = index
                parts.append(AnsweredPart(f"{part.name}[{index}]", part.kind, entry.method, entry.status))
        return parts

    def entries(self) -> Iterator["Unit"]:
        """Its parts, and the entries of a repeated one, each as a unit by itself."""
        for part in self.parts:
            if not part.is_repeated:
                yield Unit([part], _only(self.request, [part]))
                continue
            for index, options in zip(self.indices, getattr(self.request, part.name), strict=True):
                alone = common(self.request)
                getattr(alone, part.name).append(options)
                yield Unit([part], alone, (index,))

    def shares(self, response: v1.AnalyzeResponse) -> Iterator[v1.AnalyzeResponse]:
        """The answers of `entries`, each with the receipt of the whole."""
        for part in self.parts:
            content = getattr(response, part.name)
            for entry in content if part.is_repeated else [content]:
                share = v1.AnalyzeResponse(receipt=response.receipt)
                if part.is_repeated:
                    getattr(share, part.name).append(entry)
                else:
                    getattr(share, part.name).CopyFrom(entry)
                yield share

    def failed(self, status: Status) -> v1.AnalyzeResponse:
        """What stands in the answer where this unit has none."""
        response = v1.AnalyzeResponse()
        for part in self.parts:
            if not part.is_repeated:
                getattr(response, part.name).status.CopyFrom(status)
                continue
            for options in getattr(self.request, part.name):
                getattr(response, part.name).add(method=options.method, status=status)
        return response


def units(request: v1.AnalyzeRequest) -> Iterator[Unit]:
    """Splits a validated request without its picture; what the prediction pool makes comes first, in one unit."""
    asked = [part for part in PARTS.values() if part.is_asked(request)]
    together = [part for part in asked if part.pool is PoolKind.PREDICT]
    if together:
        yield Unit(together, _only(request, together))
    for part in asked:
        if part.pool is not PoolKind.PREDICT:
            for piece, indices in part.split(_only(request, [part])):
                yield Unit([part], piece, indices)


def together(entries: Sequence[Unit]) -> Unit:
    """One unit of some of the `entries` of a unit, in their order."""
    request = v1.AnalyzeRequest()
    for entry in entries:
        request.MergeFrom(entry.request)
    parts = {part.name: part for entry in entries for part in entry.parts}
    return Unit(list(parts.values()), request, tuple(index for entry in entries for index in entry.indices))


def _only(request: v1.AnalyzeRequest, parts: Sequence[Part]) -> v1.AnalyzeRequest:
    only = common(request)
    for part in parts:
        if part.is_repeated:
            getattr(only, part.name).extend(getattr(request, part.name))
        else:
            getattr(only, part.name).CopyFrom(getattr(request, part.name))
    return only
