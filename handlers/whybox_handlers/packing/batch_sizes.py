"""The numbers of pictures that may share a pass, found with the threads of a worker."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from whybox import v1
from whybox_handlers.models.classifier import Classifier, Differentiable, OnnxServing
from whybox_handlers.passes.batch_sizes import measured

# The default of WHYBOX_WORKER_THREADS; a worker with more finds its own sizes.
_THREADS = 1


def find_batch_sizes(
    model: v1.Model, network: Differentiable, onnx: bytes, views: Tensor, report: Callable[[str], None]
) -> None:
    """Notes in the manifest how many pictures may share a pass.

    Args:
        model: The manifest.
        network: On the CPU.
        onnx: The serialized network that serves.
        views: [N, 3, crop, crop] in [0, 1].
        report: Called with each step, in a few words.
    """
    report("finding how many pictures may share a pass")
    cpu = torch.device("cpu")
    with _threads(_THREADS):
        classifier = Classifier(model, network, OnnxServing(onnx, cpu), cpu)
        model.batch_sizes.CopyFrom(measured(classifier, views))


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
