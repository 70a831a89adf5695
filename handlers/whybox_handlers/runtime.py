"""What the numbers were computed with."""

from importlib.metadata import version

import torch

_LIBRARIES = ("torch", "torchvision", "captum", "onnxruntime-gpu", "numpy", "pillow")


def versions(device: torch.device) -> dict[str, str]:
    """Versions of the libraries that the results depend on, by name, and the "device" and number of "threads".

    With another one of these the same request gives the same evidence up to rounding, which a search may amplify.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {library: version(library) for library in _LIBRARIES} | {
        "device": name,
        "threads": str(torch.get_num_threads()),
    }
