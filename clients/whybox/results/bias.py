"""For whom the model fails: what an audit found about the predicted class."""

from dataclasses import dataclass

from whybox.results.part import Part
from whybox.results.prediction import ClassScore


@dataclass(frozen=True)
class Repeat:
    """The effect of a flag, measured in another way; it neither adds nor removes a flag.

    Attributes:
        what: What is different, for example "norm l2" or "without distances that carry reasons".
        effect: The effect, as in `BiasFlag`; None if too few pictures are left.
        ci_low: Lower end of its 95 % interval.
        ci_high: Upper end of its 95 % interval.
        n_with: Pictures with the value.
        n_without: Pictures without it.
        beyond_threshold: Whether the interval lies beyond the threshold of a flag, on either side.
    """

    what: str
    effect: float | None
    ci_low: float | None
    ci_high: float | None
    n_with: int
    n_without: int
    beyond_threshold: bool


@dataclass(frozen=True)
class Note:
    """What a reviewer wrote about a flag; it never changes the state.

    Attributes:
        text: What it says, one line of at most 2,000 characters.
        name: Who wrote it, as given; nothing checks it.
        date: When, as YYYY-MM-DD in UTC.
    """

    text: str
    name: str
    date: str


@dataclass(frozen=True)
class Shift:
    """The mean change of a measure over pictures: without a region, minus with it.

    Attributes:
        what: "answer" (whether it is another one), "margin" (logit of the correct class minus the largest other one),
            "margin_size" (how far it moves, up or down) or "distance" (of correctly classified pictures; 0 where the
            answer is wrong without the region).
        unit: What the changes are in, for example "logits".
        n: Number of pictures.
        box: Mean change without the annotated boxes.
        random: Mean change without a random region of equal area.
        difference: box - random.
        ci_low: Lower end of its 95 % interval.
        ci_high: Upper end of its 95 % interval.
    """

    what: str
    unit: str
    n: int
    box: float
    random: float
    difference: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class CounterfactualCheck:
    """What becomes of the answers without the regions that show an attribute; it says nothing about a person.

    Attributes:
        state: "checked" or "not_checked".
        reason: Why it was not checked.
        removal: How a region is removed: "blur" or "fill".
        pictures: Pictures that were changed.
        regions: Random regions in each, at most.
        outside: Pictures left out, because their boxes lie outside the model's view.
        without_room: Pictures left out, because no other region of equal area fits.
        overlapping: Changed pictures in which random regions overlap the boxes.
        shifts: The changes of answer, margin and distance.
        message: The result in one sentence.
    """

    state: str
    reason: str
    removal: str
    pictures: int
    regions: int
    outside: int
    without_room: int
    overlapping: int
    shifts: tuple[Shift, ...]
    message: str


@dataclass(frozen=True)
class BiasFlag:
    """What an audit found about one attribute in one class of this model; a flag says nothing about a pictured person.

    Attributes:
        kind: What was compared: "adversarial_criticism" (distances of correctly classified pictures), "error_rate"
            (shares of wrong answers) or "calibration" (mean confidence minus accuracy).
        state: "flagged", "not_detected", "insufficient_data", "not_audited" or "stale". None of them means "unbiased".
        attribute: Annotated attribute as the audit's data name it; empty without an audit.
        class_index: The class that the flag speaks about.
        class_label: Its name.
        effect: Effect of the attribute in `unit`, with the value minus without it, from -1 to 1; 0 means no effect.
            Below 0, pictures with the value are easier to attack ("adversarial_criticism"); above 0, they are more
            often misclassified ("error_rate"), or the model is more over-confident on them ("calibration"). This and
            all measures below are None unless an audit measured them.
        ci_low: Lower end of the effect's 95 % interval.
        ci_high: Upper end of the effect's 95 % interval.
        n: Pictures of the class that the test used.
        q_value: Benjamini-Hochberg adjusted p-value, 0 to 1.
        minimum_detectable_effect: The smallest effect, without its sign, that would have been flagged with a power of
            80 %.
        audit_id: Id of the audit; empty without an audit.
        message: One sentence for people, and one more for each thing to know about it.
        unit: What the effect is, for example "Cliff's delta of the distances".
        value: Value of the attribute whose pictures are compared with those of all its other values.
        n_with: Pictures with the value; correctly classified ones for "adversarial_criticism".
        n_without: Pictures without it, likewise.
        norm: Norm of the distances; empty for other kinds.
        p_value: Two-sided p-value before it is adjusted, 0 to 1.
        p_value_method: How it was found.
        unselected_effect: The distance effect over all pictures of the class, with distance 0 where the answer is
            wrong.
        unselected_ci_low: Lower end of its 95 % interval.
        unselected_ci_high: Upper end of its 95 % interval.
        accuracy_with: Accuracy on all pictures of the class with the value, 0 to 1.
        accuracy_without: Accuracy on those without it, 0 to 1.
        split_half_agreement: In how many of 100 random splits both halves have the sign of the effect; it confirms
            nothing.
        confirmation_p_value: One-sided p-value of pictures that were not searched, 0 to 1; the effect is then theirs.
        confounders: Pictures were compared only with pictures that have the same values of these.
        adjusted_effect: The effect in a regression with the confounders.
        adjusted_ci_low: Lower end of its 95 % interval.
        adjusted_ci_high: Upper end of its 95 % interval.
        repeats: The same effect in other norms, without doubtful distances, or with another budget.
        reasons: Why the state is not "flagged".
        id: Address of the flag for notes, the same in every audit that asks the question.
        notes: What reviewers wrote about it, in the order of their writing; at most 20.
        counterfactual: What becomes of the answers without the regions that show the attribute; it neither adds nor
            removes a flag.
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
    unit: str
    value: str
    n_with: int | None
    n_without: int | None
    norm: str
    p_value: float | None
    p_value_method: str
    unselected_effect: float | None
    unselected_ci_low: float | None
    unselected_ci_high: float | None
    accuracy_with: float | None
    accuracy_without: float | None
    split_half_agreement: int | None
    confirmation_p_value: float | None
    confounders: tuple[str, ...]
    adjusted_effect: float | None
    adjusted_ci_low: float | None
    adjusted_ci_high: float | None
    repeats: tuple[Repeat, ...]
    reasons: tuple[str, ...]
    id: str
    notes: tuple[Note, ...]
    counterfactual: CounterfactualCheck | None


@dataclass(frozen=True)
class Example:
    """An audited picture.

    Attributes:
        id: Its path below the folder of the audited data set.
        distance: Size of the smallest change found that flips its prediction, as `Distance.distance`; None if no such
            change was found.
    """

    id: str
    distance: float | None


@dataclass(frozen=True)
class Bias(Part):
    """What an audit found about the predicted class of this model version.

    Attributes:
        flags: For each attribute one per kind and compared value; one without evidence for what was not audited.
        prototypes: The audited, correctly classified pictures of the class that are hardest to attack, the hardest
            first; at most 20.
        criticisms: Those that are easiest to attack, the easiest first; at most 20.
        predicted_class: The class that the flags speak about.
        audit_id: Id of the audit, see `ModelInfo.audit`; empty if the class was not audited.
        norm: Norm of the distances of prototypes and criticisms; empty without any.
    """

    flags: tuple[BiasFlag, ...]
    prototypes: tuple[Example, ...]
    criticisms: tuple[Example, ...]
    predicted_class: ClassScore | None
    audit_id: str
    norm: str
