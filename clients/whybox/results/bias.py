"""For whom the model fails: what an audit found about the predicted class."""

from dataclasses import dataclass

from whybox.results.part import Part
from whybox.results.prediction import ClassScore


@dataclass(frozen=True)
class BiasFlag:
    """What an audit found about one attribute in one class of this model; a flag says nothing about a pictured person.

    Attributes:
        kind: What was tested, for example "adversarial_criticism".
        state: "flagged", "not_detected", "insufficient_data", "not_audited" or "stale". None of them means "unbiased".
        attribute: Annotated attribute as the audit's data name it; empty without an audit.
        class_index: The class that the flag speaks about.
        class_label: Its name.
        effect: Effect of the attribute; 0 means no effect. This and the following are None unless an audit measured
            them.
        ci_low: Lower end of the effect's 95 % interval.
        ci_high: Upper end of the effect's 95 % interval.
        n: Pictures of the class that the test used.
        q_value: Benjamini-Hochberg adjusted p-value, 0 to 1.
        minimum_detectable_effect: The smallest effect that the audit could have seen.
        audit_id: Id of the audit; empty without an audit.
        message: One sentence for people.
    """

    kind: str
    state: str
    attribute: str
    class_index: int
    class_label: str
    effect: float | None
    ci_low: float | None
    ci_high: float | None
    n: int | None
    q_value: float | None
    minimum_detectable_effect: float | None
    audit_id: str
    message: str


@dataclass(frozen=True)
class Example:
    """An audited picture: its id, and the size of the change that flips it, as `Distance.distance`."""

    id: str
    distance: float


@dataclass(frozen=True)
class Bias(Part):
    """What an audit found about the predicted class of this model version.

    Attributes:
        flags: One per attribute.
        prototypes: The audited pictures of the class that are hardest to attack.
        criticisms: The audited pictures of the class that are easiest to attack.
        predicted_class: The class that the flags speak about.
    """

    flags: tuple[BiasFlag, ...]
    prototypes: tuple[Example, ...]
    criticisms: tuple[Example, ...]
    predicted_class: ClassScore | None
