"""Prediction for the tensors of a request: each picture on the gateway's own path, all at once."""

import asyncio
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from whybox import v1
from whybox.v1.errors import InvalidRequestError, WhyboxError
from whybox_server.access.checking import Caller
from whybox_server.access.needs import of_parts
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.deployment import Choice
from whybox_server.monitoring.readiness import is_ready
from whybox_server.oip.pictures import encoded
from whybox_server.oip.tensors import BYTES, INPUTS, OUTPUTS, Tensor
from whybox_server.validation.checks import quoted
from whybox_server.validation.kinds import integer
from whybox_server.validation.prediction import DEFAULT_TOP_K

SERVER = "whybox"
"""Name of the server, and of the platform of its models."""
EXTENSIONS = ("binary_tensor_data", "classification")
"""The extensions of the protocol that the server has."""

ONE_INPUT = f"a request has exactly one of the inputs {', '.join(INPUTS)}"
TOP_K = "top_k"
CLASSIFICATION = "classification"
# What alone can be given as classification.
_SCORED = "probabilities"


@dataclass(frozen=True)
class Wanted:
    """An output that a request asks for.

    Attributes:
        name: A name of `OUTPUTS`.
        classification: Number of classes, each "probability:index:label", instead of the tensor itself; None for that.
    """

    name: str
    classification: int | None = None


@dataclass(frozen=True)
class Question:
    """A request.

    Attributes:
        tensor: The pictures.
        outputs: What is asked for; all outputs if empty.
        top_k: Number of classes for each picture; None for the default.
    """

    tensor: Tensor
    outputs: Sequence[Wanted] = ()
    top_k: int | None = None


@dataclass(frozen=True)
class Metadata:
    """A tensor of a model, in its metadata.

    Attributes:
        name: Its name.
        datatype: Its datatype.
        shape: Size of each dimension; -1 if a request decides it.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]


def server_version() -> str:
    """Version of the server."""
    return version(SERVER)


def inputs_of(model: v1.Model) -> list[Metadata]:
    """The inputs of a model, of which a request has exactly one."""
    crop = model.preprocessing.crop
    shapes = {"image": (-1,), "pixels": (-1, -1, -1, 3), "view": (-1, 3, crop, crop)}
    return [Metadata(name, datatype, shapes[name]) for name, datatype in INPUTS.items()]


def outputs_of() -> list[Metadata]:
    """The outputs of every model: the number of pictures, and the number of classes for each."""
    return [Metadata(name, datatype, (-1, -1)) for name, datatype in OUTPUTS.items()]


def is_model_ready(gateway: Gateway, name: str, version: str) -> bool:
    """Whether a model can answer.

    Raises:
        NotFoundError: There is no such model or version.
    """
    model = gateway.get_model(name, version)
    pools = gateway.readiness()
    kinds = pools.get(model.name, {}).get(model.version)
    return kinds is not None and is_ready({model.name: {model.version: kinds}})


def wanted(name: str, parameters: Mapping[str, Any], model: v1.Model) -> Wanted:
    """An output, if a request may ask for it.

    Raises:
        InvalidRequestError: There is no such output, or a parameter is wrong.
    """
    if name not in OUTPUTS:
        gives = ", ".join(OUTPUTS)
        raise InvalidRequestError(f"there is no output {quoted(name)}; the outputs are {gives}", field="outputs")
    check_known(parameters, (CLASSIFICATION,), f"outputs[{name}].parameters")
    number = number_of_classes(CLASSIFICATION, parameters.get(CLASSIFICATION), model)
    if number is not None and name != _SCORED:
        message = f"{CLASSIFICATION} is a parameter of {_SCORED}; ask for that output, or leave it out"
        raise InvalidRequestError(message, field=CLASSIFICATION)
    return Wanted(name, number)


def number_of_classes(name: str, value: object, model: v1.Model) -> int | None:
    """The value of a parameter that counts classes; None if it is not given.

    Raises:
        InvalidRequestError: The model has fewer classes, or it is no number.
    """
    if value is None:
        return None
    try:
        number: int = integer(1, model.num_classes).read(value)
    except ValueError as error:
        raise InvalidRequestError(f"{name} {error}", field=name) from None
    return number


def check_known(parameters: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    """Raises InvalidRequestError where a parameter is unknown."""
    for name in parameters:
        if name not in known:
            takes = ", ".join(known) or "none"
            raise InvalidRequestError(f"unknown parameter {quoted(name)} in {where}; known: {takes}", field=where)


async def infer(
    gateway: Gateway, choice: Choice, question: Question, *, request_id: str, timeout: float, caller: Caller
) -> list[Tensor]:
    """The outputs that a request asks for, in its order.

    Args:
        gateway: What answers.
        choice: The model that is asked.
        question: What is asked.
        request_id: Id of the call, which all of its pictures have.
        timeout: Seconds that the caller will wait.
        caller: Who asks.

    Raises:
        WhyboxError: The request is wrong, or a picture could not be answered: then none is.
    """
    until = time.perf_counter() + timeout
    model = choice.model
    caller.require(of_parts(["prediction"]))
    outputs = question.outputs or [Wanted(name) for name in OUTPUTS]
    plain = question.top_k or min(DEFAULT_TOP_K, model.num_classes)
    most = max(output.classification or plain for output in outputs)
    pictures = await encoded(question.tensor, model)
    seconds = max(until - time.perf_counter(), 0.0)

    async def classes(index: int, picture: bytes) -> Sequence[v1.ClassScore]:
        request = v1.AnalyzeRequest(
            model=model.name, version=model.version, image=picture, view=question.tensor.name == "view"
        )
        request.prediction.top_k = most
        try:
            answer = await gateway.analyze(
                request, request_id=request_id, timeout=seconds, caller=caller, choice=choice
            )
        except WhyboxError as error:
            if len(pictures) == 1:
                raise
            raise _of_picture(error, index, question.tensor.name) from error
        return answer.prediction.classes

    answers = await _all(classes(index, picture) for index, picture in enumerate(pictures))
    return [_output(output, [scores[: output.classification or plain] for scores in answers]) for output in outputs]


async def _all(works: Iterable[Coroutine[Any, Any, Sequence[v1.ClassScore]]]) -> list[Sequence[v1.ClassScore]]:
    """What all of them answer; the first error ends the others."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _of_picture(error: WhyboxError, index: int, name: str) -> WhyboxError:
    """The error, which tells the picture."""
    field_ = error.field if error.field not in ("image", None) else f"{name}[{index}]"
    return type(error)(
        f"{name}[{index}]: {error.message}", reason=error.reason, field=field_, retry_after=error.retry_after
    )


def _output(output: Wanted, answers: Sequence[Sequence[v1.ClassScore]]) -> Tensor:
    """One output from the scores of each picture, all of the same number."""
    scores = [score for answer in answers for score in answer]
    shape = (len(answers), len(answers[0]))
    if output.classification is not None:
        texts = [f"{score.probability:f}:{score.index}:{score.label}".encode() for score in scores]
        return Tensor(output.name, BYTES, shape, texts)
    match output.name:
        case "classes":
            return Tensor("classes", "INT64", shape, np.array([s.index for s in scores], "<i8").reshape(shape))
        case "labels":
            return Tensor("labels", BYTES, shape, [score.label.encode() for score in scores])
        case _:
            values = np.array([score.probability for score in scores], "<f8").reshape(shape)
            return Tensor("probabilities", "FP64", shape, values)
