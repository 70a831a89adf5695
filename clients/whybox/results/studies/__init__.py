"""Studies: how far they are, whom they invite, and what their people say of the model's error."""

from whybox.results.studies.outcome import (
    Agreement,
    CellOutcome,
    Contrast,
    Count,
    Estimate,
    Exclusions,
    Latent,
    LatentCell,
    Sensitivity,
    Speed,
)
from whybox.results.studies.study import Invitations, Study, StudyCell, StudyStatus
from whybox.results.studies.study_results import StudyResults

__all__ = [
    "Agreement",
    "CellOutcome",
    "Contrast",
    "Count",
    "Estimate",
    "Exclusions",
    "Invitations",
    "Latent",
    "LatentCell",
    "Sensitivity",
    "Speed",
    "Study",
    "StudyCell",
    "StudyResults",
    "StudyStatus",
]
