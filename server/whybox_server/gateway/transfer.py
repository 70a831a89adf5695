"""Whether a picture that fools one model fools the others too: they are shown it as if it had been sent to them."""

import asyncio
from collections.abc import Sequence

from google.rpc import code_pb2
from google.rpc.status_pb2 import Status

from whybox import v1
from whybox.v1.errors import InternalError, as_whybox_error, error_from_status
from whybox_server.gateway.deadlines import Deadline
from whybox_server.gateway.pools import Backend, PoolKind


async def fill_transfers(
    result: v1.WorkResult,
    others: Sequence[v1.Model],
    backend: Backend,
    *,
    request_id: str,
    deadline: Deadline,
    caller: str,
) -> None:
    """Fills in what every other model makes of each adversarial picture; a distance without one gets nothing.

    The worker sends pictures only for a request that asks for transfers.

    A model that fails, or does not answer in time, says so in the `status` of its entries and leaves the others
    untouched.

    Args:
        result: What the attacked model's worker answered. Its pictures are the view and, for each distance, the
            adversarial picture, empty where there is none.
        others: The other served models, in the order of the entries.
        backend: Their pools of predictions are asked, all at once.
        request_id: Id of the call, for the logs.
        deadline: Of the call. Without time left no model is asked.
        caller: Who asks.
    """
    if not result.adversarial_pictures:
        return
    distances = list(zip(result.response.robustness.distances, result.adversarial_pictures, strict=True))
    fooling = [(distance, picture) for distance, picture in distances if picture]
    if not fooling:
        return
    pictures = [result.view_picture, *(picture for _, picture in fooling)]

    async def look(model: v1.Model, picture: bytes) -> v1.ClassScore | Status:
        request = v1.AnalyzeRequest(
            model=model.name, version=model.version, image=picture, prediction=v1.PredictionOptions(top_k=1)
        )
        work = v1.Work(request_id=request_id, request=request)
        deadline.stamp(work)
        try:
            async with deadline.awaited(f"{model.name} did not answer before the deadline; allow more time"):
                return _best(await backend.pool(model, PoolKind.PREDICT).submit(work, caller))
        except Exception as error:  # noqa: BLE001 (what was found so far is not lost by a bug)
            return as_whybox_error(error, request_id).to_status()

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(look(model, picture)) for model in others for picture in pictures]
    seen = iter(task.result() for task in asked)
    for model in others:
        before = next(seen)
        for distance, _ in fooling:
            distance.transfers.append(_transfer(model, before, next(seen)))


def _best(result: v1.WorkResult) -> v1.ClassScore:
    for status in (result.status, result.response.prediction.status):
        if status.code != code_pb2.OK:
            raise error_from_status(status)
    if not result.response.prediction.classes:
        raise InternalError("the worker answered without a class")
    return result.response.prediction.classes[0]


def _transfer(model: v1.Model, before: v1.ClassScore | Status, after: v1.ClassScore | Status) -> v1.Transfer:
    transfer = v1.Transfer(model=model.name, version=model.version)
    transfer.status.SetInParent()
    if isinstance(before, v1.ClassScore) and isinstance(after, v1.ClassScore):
        transfer.predicted_class.CopyFrom(before)
        transfer.adversarial_class.CopyFrom(after)
        transfer.fooled = before.index != after.index
    else:
        transfer.status.CopyFrom(after if isinstance(before, v1.ClassScore) else before)
    return transfer
