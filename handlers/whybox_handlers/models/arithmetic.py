"""How sums are rounded: the kernels of a processor, and full float32 on a GPU.

By default torch and ONNX Runtime let convolutions on a GPU round their inputs to TensorFloat-32, which has 10 bits of
mantissa. Gradients suffer most: on an H100 those of EfficientNet-Lite0 moved by 11 % of their norm and those of
ShuffleNetV2 by 31 %, against 0.6 % (kinks of ReLU6) and 0.0001 % in full float32, which took as long. Some of cuDNN's
algorithms also add in another order at each call.
"""

from importlib.metadata import version

import torch

from whybox_handlers.models.digests import sha256

# Of the processor as torch describes it: these choose no kernel.
_COUNTS = ("num_logical_cores", "num_physical_cores", "num_sockets")
_DIGITS = 12


def kernels() -> dict[str, str]:
    """What decides in which order a processor adds, as `BatchSizes.runtime` of the contract.

    A processor is its name and a digest of what it can do.
    """
    processor = {name: ability for name, ability in torch.cpu.get_capabilities().items() if name not in _COUNTS}
    digest = sha256(repr(sorted(processor.items())).encode())[:_DIGITS]
    return {library: version(library) for library in ("torch", "onnxruntime-gpu")} | {
        "processor": f"{processor.get('cpu_name', processor['architecture'])} {digest}",
        "threads": str(torch.get_num_threads()),
    }


def set_up_gpu() -> None:
    """Sets torch's convolutions and matrix products on GPUs to full float32, by deterministic algorithms of cuDNN.

    This holds for the whole process: torch has no narrower switch that all its threads see.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def gpu_options(device: torch.device) -> dict[str, object]:
    """Options of ONNX Runtime's CUDA provider."""
    # The default search times algorithms, so that two processes may end up with different ones.
    options: dict[str, object] = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
    # ONNX Runtime warns about any id, because it looks for a plug-in of that id first.
    return options | {"device_id": str(device.index)} if device.index else options
