"""Common corruptions and changes of geometry, which can change the answer without an attack.

Noise, blur, weather and digital corruptions have the kinds and the strengths of ImageNet-C (Hendrycks and Dietterich,
ICLR 2019, arXiv:1903.12261). They are written anew with torch, torchvision and scikit-image: the packages that carry
the original code need a system with OpenGL, and draw from one generator for the whole process. Frost, which needs
photographs, and glass blur, which needs a compiler, are left out.

To add a corruption: write its function in the module of its group, name it in that module's tuple, and add its row to
the table in tests/handlers/robustness/test_corruptions.py.
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
