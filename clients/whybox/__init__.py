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

from whybox.client import CallOptions, Client
from whybox.results import (
    Analysis,
    Bias,
    BiasFlag,
    ClassScore,
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
    Receipt,
    Robustness,
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
    "Bias",
    "BiasFlag",
    "CallOptions",
    "CancelledError",
    "ClassScore",
    "Client",
    "DeadlineExceededError",
    "Digests",
    "Distance",
    "Example",
    "Explanation",
    "FailedPreconditionError",
    "InternalError",
    "InvalidRequestError",
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
    "QuotaExceededError",
    "Receipt",
    "Robustness",
    "Timings",
    "UnavailableError",
    "View",
    "WhyboxError",
]
