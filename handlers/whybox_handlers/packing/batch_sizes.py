"""The numbers of pictures that may share a pass, found with the threads of a worker."""

from collections.abc import Callable

from torch import Tensor

from whybox_handlers.models.classifier import Classifier
from whybox_handlers.packing.side_by_side import one_thread
from whybox_handlers.passes.batch_sizes import measured


def find_batch_sizes(classifier: Classifier, views: Tensor, report: Callable[[str], None]) -> None:
    """Finds how many pictures may share a pass, for this classifier and for the manifest.

    Args:
        classifier: On the CPU; made with one thread.
        views: [N, 3, crop, crop] in [0, 1].
        report: Called with each step, in a few words.
    """
    report("finding how many pictures may share a pass")
    # One thread is the default of WHYBOX_WORKER_THREADS; a worker with more finds its own sizes.
    with one_thread():
        classifier.batch_sizes = measured(classifier, views)
    classifier.model.batch_sizes.CopyFrom(classifier.batch_sizes)
