"""Common corruptions and changes of geometry: what else than an attack changes the answer.

Noise, blur, weather and digital corruptions have the kinds and the strengths of ImageNet-C (Hendrycks and Dietterich,
ICLR 2019, arXiv:1903.12261), made of what torch, torchvision and scikit-image offer: the packages that carry the
original need a system with OpenGL, and draw from one generator for the whole process. Those of ImageNet-C that need
photographs (frost) or a compiler (glass blur) are left out.

To add one: write its function beside its kind, name it in that module's tuple, add its row to the table in
tests/handlers/test_corruptions.py.
"""

from collections.abc import Mapping

from whybox_handlers.robustness.corruptions.blur import BLUR
from whybox_handlers.robustness.corruptions.corruption import AnyCorruption, Corruption
from whybox_handlers.robustness.corruptions.digital import DIGITAL
from whybox_handlers.robustness.corruptions.geometry import GEOMETRY
from whybox_handlers.robustness.corruptions.noise import NOISE
from whybox_handlers.robustness.corruptions.weather import WEATHER

__all__ = ["CORRUPTIONS", "Corruption"]

CORRUPTIONS: Mapping[str, AnyCorruption] = {
    corruption.name: corruption for corruption in (*NOISE, *BLUR, *WEATHER, *DIGITAL, *GEOMETRY)
}
