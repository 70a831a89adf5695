"""What the model saw: the most probable classes, the part of the picture that it looked at, and notes on the answer."""

from dataclasses import dataclass

from whybox.results.part import Part


@dataclass(frozen=True)
class ClassScore:
    """One class of the model.

    Attributes:
        index: Position in the model's labels, from 0.
        label: Name, for example "golden retriever".
        probability: Softmax output, 0 to 1: the model's own confidence, not the chance that the model is right.
    """

    index: int
    label: str
    probability: float


@dataclass(frozen=True)
class View:
    """The part of the upright picture that the model looked at, in pixels. All maps lie over this part.

    Attributes:
        picture_width: Width of the upright picture.
        picture_height: Height of the upright picture.
        left: Left edge of the box that the model saw; like the next three it may be fractional.
        top: Upper edge of the box.
        width: Width of the box.
        height: Height of the box.
    """

    picture_width: int
    picture_height: int
    left: float
    top: float
    width: float
    height: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(left, upper, right, lower), as Pillow wants it."""
        return self.left, self.top, self.left + self.width, self.top + self.height


@dataclass(frozen=True)
class Observation:
    """Something to know about one answer that needs no annotated attribute; see `Explanation` and `Distance`.

    It describes the answer, never a person in the picture, and it is no flag: it says nothing about groups of pictures.

    Attributes:
        kind: "criticism_like" (the answer flips as easily as that of one in ten pictures of its class),
            "neighbours_disagree" (most of the nearest audited pictures have other labels), "label_ambiguous" (the
            network and those labels are divided between the answer and the runner-up), or "decides_by_border" (most of
            the evidence lies in the outer half of the view).
        state: "noted", "not_noted" or "not_measured".
        message: The finding, or why there is none, in words for people.
        value: What was measured: a distance for "criticism_like", else a share of 0 to 1; None if it was not measured.
        threshold: "criticism_like" is noted at this distance and below, the others above this share; None without a
            value.
        n: Number of audited pictures that were compared with, or None.
        audit_id: Id of their audit; empty if there are none.
    """

    kind: str
    state: str
    message: str
    value: float | None
    threshold: float | None
    n: int | None
    audit_id: str


@dataclass(frozen=True)
class PredictionSet:
    """The classes that may be right, from split conformal prediction.

    The promise is about requests like the calibration pictures, drawn at random: it holds on average over them, not for
    each class or each picture.

    Attributes:
        state: "ok", "not_calibrated", "insufficient_data" or "stale"; only "ok" comes with classes.
        method: "aps" or "lac".
        alpha: Share of requests whose right class the set may miss.
        classes: The classes of the set, the most probable first; the most probable class of all is among them.
        n: Number of calibration pictures that the threshold comes from; this and the coverage are None without a set.
        data_set: Name of the calibration pictures.
        audit_id: Id of the audit that the calibration belongs to; empty without an audit.
        coverage: Share of other pictures of the data set whose set has the right class, 0 to 1.
        ci_low: Lower end of its 95 % interval.
        ci_high: Upper end of its 95 % interval.
        coverage_n: Number of these pictures.
        threshold: The largest score of a class in the set; None without a set, and for a set of all classes because
            `alpha` is smaller than the calibration pictures can resolve.
        top_class_added: Whether no class has a score up to the threshold, so that the set is the most probable class
            alone.
        message: What the set promises, or why there is none and what helps.
    """

    state: str
    method: str
    alpha: float
    classes: tuple[ClassScore, ...]
    n: int | None
    data_set: str
    audit_id: str
    coverage: float | None
    ci_low: float | None
    ci_high: float | None
    coverage_n: int | None
    threshold: float | None
    top_class_added: bool
    message: str


@dataclass(frozen=True)
class Prediction(Part):
    """The most probable classes.

    Attributes:
        classes: Most probable first.
        view: The part of the picture that the model looked at, or None if the server does not say.
        prediction_set: The classes that may be right, or None if no set was asked for.
    """

    classes: tuple[ClassScore, ...]
    view: View | None
    prediction_set: PredictionSet | None
