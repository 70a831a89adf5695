"""The parts of an answer."""

from typing import Literal

SINGLE_PARTS: tuple[Literal["prediction", "robustness", "bias", "certified"], ...] = (
    "prediction",
    "robustness",
    "bias",
    "certified",
)
"""The parts that a request has at most once."""
