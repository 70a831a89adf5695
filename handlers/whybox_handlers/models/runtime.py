"""The libraries and the device that the results were computed with."""

from importlib.metadata import version

import torch

from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.runtimes.differentiators import PACKAGES

_LIBRARIES = ("torch", "torchvision", "captum", "onnxruntime-gpu", "numpy", "pillow")


def versions(classifier: Classifier) -> dict[str, str]:
    """Versions of the libraries that the results depend on, by name, and how they are used.

    "device" is where they compute, "provider" what ONNX Runtime predicts with, "gradient" the runtime that computes
    gradients, and "threads" their number. If one of these differs, the same request gives the same evidence up to
    rounding, which a search may amplify.
    """
    device = classifier.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    gradient = classifier.differentiator.runtime
    return {library: version(library) for library in {*_LIBRARIES, PACKAGES[gradient]}} | {
        "device": name,
        "provider": classifier.serving.provider,
        "gradient": gradient,
        "threads": str(torch.get_num_threads()),
    }
