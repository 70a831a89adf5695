"""Where the network puts a picture: its features before the last layer."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject


def embedding(classifier: Classifier, subject: Subject) -> Tensor | None:
    """The features that the network's decision rests on.

    Returns:
        [D], float32, on the CPU: the last feature maps, averaged over the picture. For a network without such maps the
        input of the last linear layer that it runs (the class token of a vision transformer), which takes one more
        pass of the torch network. None for a network with neither.
    """
    if subject.maps is not None:
        return subject.maps.mean(dim=(1, 2))
    watch = _LastLinear()
    with torch.no_grad(), watch:
        classifier.network(subject.picture[None].to(classifier.device))
    return None if watch.inputs is None else watch.inputs.reshape(-1).float().cpu()


class _LastLinear(TorchFunctionMode):
    """Keeps the input of the linear layer that ran last; functions are watched, because hooks are not thread-safe."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: Tensor | None = None

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if function is nn.functional.linear:
            self.inputs = args[0] if args else given["input"]
        return function(*args, **given)
