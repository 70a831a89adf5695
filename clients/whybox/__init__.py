"""Whybox: every prediction of an image classifier with its evidence.

Example:
    with whybox.Client("grpc://127.0.0.1:8001") as client:
        analysis = client.analyze("dog.jpg", methods=("grad_cam", "integrated_gradients"))

    print(analysis.prediction.classes[0])  # what did it see?
    analysis.explanations[0].overlay().show()  # why did it decide so?
    print(analysis.robustness.distances[0])  # how little would change its mind?
    print(analysis.bias.flags[0].message)  # for whom does it fail?
    analysis.contact_sheet().save("dog.sheet.png")  # ... all at a glance
"""

from whybox.client import Client
from whybox.options import AnalyzeOptions, CallOptions, ExplainOptions, MapOptions
from whybox.results import (
    Analysis,
    Bias,
    BiasFlag,
    ClassScore,
    Curve,
    Digests,
    Distance,
    Example,
    Explanation,
    Method,
    ModelInfo,
    PackingCheck,
    PartTiming,
    Prediction,
    Preprocessing,
    Quality,
    RandomisationTest,
    Receipt,
    Region,
    Regions,
    Robustness,
    Stability,
    Timings,
    View,
)
from whybox.v1.errors import (
    CancelledError,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    PictureError,
    PictureTooLargeError,
    QuotaExceededError,
    UnavailableError,
    WhyboxError,
)

__all__ = [
    "Analysis",
    "AnalyzeOptions",
    "Bias",
    "BiasFlag",
    "CallOptions",
    "CancelledError",
    "ClassScore",
    "Client",
    "Curve",
    "DeadlineExceededError",
    "Digests",
    "Distance",
    "Example",
    "ExplainOptions",
    "Explanation",
    "FailedPreconditionError",
    "InternalError",
    "InvalidRequestError",
    "MapOptions",
    "Method",
    "ModelInfo",
    "NotFoundError",
    "OverloadedError",
    "PackingCheck",
    "PartTiming",
    "PictureError",
    "PictureTooLargeError",
    "Prediction",
    "Preprocessing",
    "Quality",
    "QuotaExceededError",
    "RandomisationTest",
    "Receipt",
    "Region",
    "Regions",
    "Robustness",
    "Stability",
    "Timings",
    "UnavailableError",
    "View",
    "WhyboxError",
]
