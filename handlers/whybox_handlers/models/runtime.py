"""The libraries and the device that computed the numbers."""

from importlib.metadata import version

import torch

from whybox_handlers.models.classifier import Classifier

_LIBRARIES = ("torch", "torchvision", "captum", "onnxruntime-gpu", "numpy", "pillow")


def versions(classifier: Classifier) -> dict[str, str]:
    """Versions of the libraries that the results depend on, by name; "device", "provider" and number of "threads".

    If one of these differs, the same request gives the same evidence up to rounding, which a search may amplify.
    """
    device = classifier.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {library: version(library) for library in _LIBRARIES} | {
        "device": name,
        "provider": classifier.serving.provider,
        "threads": str(torch.get_num_threads()),
    }
