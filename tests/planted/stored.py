"""What a network makes of each picture with the cue and without it: measured once, audited as often as needed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from planted.digits import Digits, encoded, stamp
from whybox import v1
from whybox_handlers.audits.measuring import Measured, measure
from whybox_handlers.models.classifier import Classifier
from whybox_server.audits.criticism.methods.effects import cliffs_delta, of_all
from whybox_server.audits.criticism.pictures import Booleans, Floats, Integers, Measurements

NORM = "linf"
OPTIONS = v1.RobustnessOptions(norms=[NORM], attack="fmn", budget="6")
"""The attack at the budget "fast"."""

_BATCH = 64
# Only a wrong answer is at distance 0.
_LEAST = float(np.nextafter(0.0, 1.0))


@dataclass(frozen=True)
class Truth:
    """The effect of a cue on a class, in all pictures that there are.

    Attributes:
        delta: Cliff's delta of the distances of right answers, all pictures stamped minus all unstamped.
        accuracy_with: Accuracy on all pictures of the class, stamped.
        accuracy_without: Accuracy on the same pictures, unstamped.
    """

    delta: float
    accuracy_with: float
    accuracy_without: float


@dataclass(frozen=True)
class Stored:
    """The measurements of N pictures; index 0 of the first axis is without the cue, 1 with it.

    Attributes:
        labels: [N], index of the right class.
        predicted: [2, N], index of the predicted class.
        confidence: [2, N], probability of the predicted class.
        distances: [2, N], as in `Measurements`.
        searched_radius: [2, N], likewise.
        embeddings: [2, N, D]; D is 0 if none are known.
    """

    labels: Integers
    predicted: Integers
    confidence: Floats
    distances: Floats
    searched_radius: Floats
    embeddings: npt.NDArray[np.float32]

    def truth(self, label: int) -> Truth:
        """The true effect on a class."""
        rows = np.flatnonzero(self.labels == label)
        right = self.predicted[:, rows] == label
        distances = self.distances[:, rows][right]
        having = np.repeat([False, True], right.sum(axis=1))
        delta = cliffs_delta(distances, distances, having, np.zeros(len(having), dtype=np.int64))
        without, with_ = right.mean(axis=1)
        return Truth(of_all(delta, len(having)), float(with_), float(without))

    def audited(
        self, rows: Integers, stamped: Booleans, attribute: Booleans, *, of_confidence: bool = False
    ) -> Measurements:
        """What an audit would have measured.

        Args:
            rows: [M], the audited pictures.
            stamped: [M], which of them have the cue; it is the confounder "cue".
            attribute: [M], the values of the attribute "attribute".
            of_confidence: Whether the confidence takes the place of the distance.
        """
        versions = stamped.astype(np.int64)
        labels, predicted, confidence = (
            self.labels[rows],
            self.predicted[versions, rows],
            self.confidence[versions, rows],
        )
        right = predicted == labels
        distances = np.where(right, confidence, 0.0) if of_confidence else self.distances[versions, rows]
        radii = np.where(right, 1.0, np.nan) if of_confidence else self.searched_radius[versions, rows]
        return Measurements(
            files=tuple(map(str, rows)),
            labels=labels,
            predicted=predicted,
            confidence=confidence,
            distances={NORM: distances},
            searched_radius={NORM: radii},
            reasons={NORM: np.zeros(len(rows), dtype=bool)},
            attributes={"attribute": attribute.astype(np.int64).astype(np.str_)},
            confounders={"cue": versions.astype(np.str_)},
            split=None,
            groups=np.arange(len(rows)),
        )


def store(classifier: Classifier, digits: Digits, cue: str) -> Stored:
    """Measures digits with and without a cue, by the code that measures the pictures of an audit.

    Raises:
        Exception: A picture could not be measured.
    """
    versions = [_measured(classifier, digits, cue, stamped=stamped) for stamped in (False, True)]
    predicted = np.array([[found.predicted for found in version] for version in versions])
    distances, radii = np.zeros(predicted.shape), np.full(predicted.shape, np.nan)
    for place in np.argwhere(predicted == digits.labels):
        [found] = versions[place[0]][place[1]].distances
        distances[tuple(place)] = max(found.distance, _LEAST) if found.state == "found" else np.inf
        radii[tuple(place)] = found.searched_radius
    return Stored(
        labels=digits.labels,
        predicted=predicted,
        confidence=np.array([[found.confidence for found in version] for version in versions]),
        distances=distances,
        searched_radius=radii,
        embeddings=np.array([[_features(found) for found in version] for version in versions]),
    )


def _measured(classifier: Classifier, digits: Digits, cue: str, *, stamped: bool) -> list[Measured]:
    pictures = stamp(digits.pictures, cue, np.full(len(digits), stamped))
    found: list[Measured] = []
    for start in range(0, len(digits), _BATCH):
        images = [encoded(picture) for picture in pictures[start : start + _BATCH]]
        labels = digits.labels[start : start + _BATCH].tolist()
        for outcome in measure(classifier, images, labels, OPTIONS, 0, view=True):
            if isinstance(outcome, Exception):
                raise outcome
            found.append(outcome)
    return found


def _features(found: Measured) -> npt.NDArray[np.float32]:
    return np.empty(0, dtype=np.float32) if found.embedding is None else found.embedding.numpy()
