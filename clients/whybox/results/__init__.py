"""What a call returns: plain frozen values with the names of the messages of `whybox.v1` that they are made from.

Every part carries an `error`: None if the part was computed, else the exception that says why it is missing. The other
fields of a failed part are empty. A part that fails does not affect the others.
"""

from whybox.results.analysis import Analysis
from whybox.results.attack import Distance, MapSimilarity, Transfer, Twin
from whybox.results.audit import AuditReport
from whybox.results.bias import Bias, BiasFlag, CounterfactualCheck, Example, Note, Repeat, Shift
from whybox.results.certified import Certified
from whybox.results.examples import Examples, Neighbour
from whybox.results.explanation import Explanation
from whybox.results.model import (
    Attack,
    AttackCheck,
    Audit,
    AuditFile,
    BatchSizes,
    Calibration,
    CorruptionKind,
    Digests,
    Gradient,
    Method,
    ModelInfo,
    PackingCheck,
    Preprocessing,
    RandomisationTest,
    References,
)
from whybox.results.part import Part
from whybox.results.prediction import ClassScore, Observation, Prediction, PredictionSet, View
from whybox.results.quality import Curve, Quality, Stability
from whybox.results.receipt import PartTiming, Receipt, Timings
from whybox.results.regions import Region, Regions
from whybox.results.robustness import Corruption, CorruptionLevel, Robustness
from whybox.results.studies import (
    Agreement,
    CellOutcome,
    Contrast,
    Count,
    Estimate,
    Exclusions,
    Invitations,
    Latent,
    LatentCell,
    Sensitivity,
    Speed,
    Study,
    StudyCell,
    StudyResults,
    StudyStatus,
)

__all__ = [
    "Agreement",
    "Analysis",
    "Attack",
    "AttackCheck",
    "Audit",
    "AuditFile",
    "AuditReport",
    "BatchSizes",
    "Bias",
    "BiasFlag",
    "Calibration",
    "CellOutcome",
    "Certified",
    "ClassScore",
    "Contrast",
    "Corruption",
    "CorruptionKind",
    "CorruptionLevel",
    "Count",
    "CounterfactualCheck",
    "Curve",
    "Digests",
    "Distance",
    "Estimate",
    "Example",
    "Examples",
    "Exclusions",
    "Explanation",
    "Gradient",
    "Invitations",
    "Latent",
    "LatentCell",
    "MapSimilarity",
    "Method",
    "ModelInfo",
    "Neighbour",
    "Note",
    "Observation",
    "PackingCheck",
    "Part",
    "PartTiming",
    "Prediction",
    "PredictionSet",
    "Preprocessing",
    "Quality",
    "RandomisationTest",
    "Receipt",
    "References",
    "Region",
    "Regions",
    "Repeat",
    "Robustness",
    "Sensitivity",
    "Shift",
    "Speed",
    "Stability",
    "Study",
    "StudyCell",
    "StudyResults",
    "StudyStatus",
    "Timings",
    "Transfer",
    "Twin",
    "View",
]
