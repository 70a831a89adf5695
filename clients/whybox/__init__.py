"""Whybox: an image classifier that returns the evidence with every answer.

Example:
    with whybox.Client("grpc://127.0.0.1:8001") as client:
        analysis = client.analyze("dog.jpg", methods=("grad_cam", "integrated_gradients"))

    print(analysis.prediction.classes[0])  # what does the model see?
    analysis.explanations[0].overlay().show()  # why does it decide so?
    print(analysis.robustness.distances[0])  # how small a change flips its answer?
    print(analysis.bias.flags[0].message)  # for whom does it fail?
    whybox.contact_sheet(analysis).save("dog.sheet.png")  # ... all at a glance

Names are imported when they are first used (PEP 562): workers and the gateway need `whybox.v1` alone, without the
libraries of the client.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whybox._sheets.contact_sheet import contact_sheet
    from whybox.client import Client
    from whybox.operation import Operation
    from whybox.options import (
        AnalyzeOptions,
        AttackOptions,
        CallOptions,
        ExplainOptions,
        MapOptions,
        PredictOptions,
        RobustnessOptions,
        SetOptions,
        SmoothingOptions,
    )
    from whybox.results import (
        Agreement,
        Analysis,
        Attack,
        AttackCheck,
        Audit,
        AuditFile,
        AuditReport,
        BatchSizes,
        Bias,
        BiasFlag,
        Calibration,
        CellOutcome,
        Certified,
        ClassScore,
        Contrast,
        Corruption,
        CorruptionKind,
        CorruptionLevel,
        Count,
        CounterfactualCheck,
        Curve,
        Digests,
        Distance,
        Estimate,
        Example,
        Examples,
        Exclusions,
        Explanation,
        Gradient,
        Invitations,
        Latent,
        LatentCell,
        MapSimilarity,
        Method,
        ModelInfo,
        Neighbour,
        Note,
        Observation,
        PackingCheck,
        PartTiming,
        Prediction,
        PredictionSet,
        Preprocessing,
        Quality,
        RandomisationTest,
        Receipt,
        References,
        Region,
        Regions,
        Repeat,
        Robustness,
        Sensitivity,
        Shift,
        Speed,
        Stability,
        Study,
        StudyCell,
        StudyResults,
        StudyStatus,
        Timings,
        Transfer,
        Twin,
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
        PermissionDeniedError,
        PictureError,
        PictureTooLargeError,
        QuotaExceededError,
        UnauthenticatedError,
        UnavailableError,
        WhyboxError,
    )

__all__ = [
    "Agreement",
    "Analysis",
    "AnalyzeOptions",
    "Attack",
    "AttackCheck",
    "AttackOptions",
    "Audit",
    "AuditFile",
    "AuditReport",
    "BatchSizes",
    "Bias",
    "BiasFlag",
    "Calibration",
    "CallOptions",
    "CancelledError",
    "CellOutcome",
    "Certified",
    "ClassScore",
    "Client",
    "Contrast",
    "Corruption",
    "CorruptionKind",
    "CorruptionLevel",
    "Count",
    "CounterfactualCheck",
    "Curve",
    "DeadlineExceededError",
    "Digests",
    "Distance",
    "Estimate",
    "Example",
    "Examples",
    "Exclusions",
    "ExplainOptions",
    "Explanation",
    "FailedPreconditionError",
    "Gradient",
    "InternalError",
    "InvalidRequestError",
    "Invitations",
    "Latent",
    "LatentCell",
    "MapOptions",
    "MapSimilarity",
    "Method",
    "ModelInfo",
    "Neighbour",
    "NotFoundError",
    "Note",
    "Observation",
    "Operation",
    "OverloadedError",
    "PackingCheck",
    "PartTiming",
    "PermissionDeniedError",
    "PictureError",
    "PictureTooLargeError",
    "PredictOptions",
    "Prediction",
    "PredictionSet",
    "Preprocessing",
    "Quality",
    "QuotaExceededError",
    "RandomisationTest",
    "Receipt",
    "References",
    "Region",
    "Regions",
    "Repeat",
    "Robustness",
    "RobustnessOptions",
    "Sensitivity",
    "SetOptions",
    "Shift",
    "SmoothingOptions",
    "Speed",
    "Stability",
    "Study",
    "StudyCell",
    "StudyResults",
    "StudyStatus",
    "Timings",
    "Transfer",
    "Twin",
    "UnauthenticatedError",
    "UnavailableError",
    "View",
    "WhyboxError",
    "contact_sheet",
]

# Where the names are found; a module comes after those that it imports.
_MODULES = (
    "whybox.v1.errors",
    "whybox.options",
    "whybox.results",
    "whybox._sheets.contact_sheet",
    "whybox.client",
    "whybox.operation",
)
_ROOMS = ("options", "results", "v1")

# Type checkers would believe that `__getattr__` finds any name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in _ROOMS:
            return import_module(f"{__name__}.{name}")
        # Other names load nothing: libraries ask modules for many names that they do not have.
        if name in __all__:
            for module in map(import_module, _MODULES):
                if hasattr(module, name):
                    value = globals()[name] = getattr(module, name)
                    return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
