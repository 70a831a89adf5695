"""One gradient of each family of networks: by torch, and by the compiled graph in each runtime.

All runtimes compute the same gradient in turn, on one core, so that whatever else the machine does hits them alike;
figures are medians. Weights are random: the time is the same.
"""

import argparse
import statistics
import time
from collections.abc import Mapping
from typing import get_args

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from whybox_handlers.models import networks
from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.models.runtimes.differentiators import (
    ANY_RIVAL,
    CompiledDifferentiator,
    CompiledRuntime,
    Differentiator,
    TorchDifferentiator,
    runs,
)
from whybox_handlers.packing.gradient_export import GradientExportError, export_gradient

FAMILIES = (
    "efficientnet_lite/efficientnet-lite0",
    "torchvision/resnet50",
    "torchvision/densenet121",
    "torchvision/mobilenet_v2",
    "torchvision/mobilenet_v3_small",
    "torchvision/efficientnet_b0",
    "torchvision/convnext_tiny",
    "torchvision/vit_b_16",
    "torchvision/shufflenet_v2_x1_0",
    "torchvision/googlenet",
    "torchvision/swin_t",
)
SIDE, CLASSES = 224, 1000
# Kinks that rounding crosses change a gradient by a few percent of its range; a fault changes it by much more.
WRONG = 0.2
_out = Console(width=120)


def medians(differentiators: Mapping[str, Differentiator], pictures: Tensor) -> dict[str, float]:
    """Milliseconds of one gradient, by name; all in turn."""
    label, rival = torch.tensor([0]), torch.tensor([ANY_RIVAL])
    spent: dict[str, list[float]] = {name: [] for name in differentiators}
    for number, picture in enumerate([pictures[0], *pictures]):
        for name, differentiator in differentiators.items():
            started = time.perf_counter()
            differentiator.margins(picture[None], label, rival)
            # The first one prepares.
            if number:
                spent[name].append((time.perf_counter() - started) * 1000)
    return {name: statistics.median(times) for name, times in spent.items()}


def difference(one: Differentiator, other: Differentiator, pictures: Tensor) -> float:
    """The largest difference of two gradients, as a share of the range of the second."""
    label, rival = torch.tensor([0]), torch.tensor([ANY_RIVAL])
    gradients, expected = (each.margins(pictures, label, rival)[1] for each in (one, other))
    return float((gradients - expected).abs().max() / (expected.max() - expected.min()))


def main() -> None:
    """Prints a row per network."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pictures", type=int, default=64, help="pictures of each network (64)")
    parser.add_argument("--architecture", nargs="+", choices=FAMILIES, default=FAMILIES, help="which networks (all)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pictures = torch.rand(options.pictures, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    compiled = [name for name in get_args(CompiledRuntime) if runs(name)]
    table = Table("network", "export s", "torch ms", *(f"{name} ms" for name in compiled), "best / torch")
    for architecture in track(options.architecture, console=Console(stderr=True)):
        torch.manual_seed(0)
        network = Differentiable(networks.build(architecture, CLASSES), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        started = time.perf_counter()
        try:
            graph = export_gradient(network, SIDE, CLASSES)
        except GradientExportError as error:
            table.add_row(architecture, f"cannot be compiled: {error}")
            continue
        exported = time.perf_counter() - started
        by_torch = TorchDifferentiator(lambda network=network: network, torch.device("cpu"))  # type: ignore[misc]
        others = {name: CompiledDifferentiator(graph, name, CLASSES) for name in compiled}
        times = medians({"torch": by_torch, **others}, pictures)
        right = [name for name in compiled if difference(others[name], by_torch, pictures[:1]) < WRONG]
        best = min([times[name] for name in right], default=times["torch"]) / times["torch"]
        told = [f"{times[name]:.1f}{'' if name in right else ', wrong'}" for name in compiled]
        table.add_row(architecture, f"{exported:.0f}", f"{times['torch']:.1f}", *told, f"{best:.2f}")
    _out.print(table)


if __name__ == "__main__":
    main()
