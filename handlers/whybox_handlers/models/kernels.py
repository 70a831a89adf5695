"""What decides in which order the kernels of a processor add, and so the last bits of their sums."""

from importlib.metadata import version

import torch

from whybox_handlers.models.digests import sha256

# Of the processor as torch describes it: these choose no kernel.
_COUNTS = ("num_logical_cores", "num_physical_cores", "num_sockets")
_DIGITS = 12


def kernels() -> dict[str, str]:
    """As `BatchSizes.runtime` of the contract; a processor is its name and a digest of what it can do."""
    processor = {name: ability for name, ability in torch.cpu.get_capabilities().items() if name not in _COUNTS}
    digest = sha256(repr(sorted(processor.items())).encode())[:_DIGITS]
    return {library: version(library) for library in ("torch", "onnxruntime-gpu")} | {
        "processor": f"{processor.get('cpu_name', processor['architecture'])} {digest}",
        "threads": str(torch.get_num_threads()),
    }
