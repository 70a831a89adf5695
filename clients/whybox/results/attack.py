"""How small a change flips the prediction: the smallest changes found, and what they show."""

from dataclasses import dataclass, field

from whybox.results.explanation import Explanation
from whybox.results.prediction import ClassScore, Observation
from whybox.v1.errors import WhyboxError


@dataclass(frozen=True)
class Transfer:
    """Another model's answer to the adversarial picture.

    Attributes:
        model: Name of the other model.
        version: Its version.
        predicted_class: Its answer to the view of the attacked model, or None.
        adversarial_class: Its answer to the same view after the change of `Distance.distance_8bit`, or None.
        fooled: Whether the two answers differ.
        error: Why the other model did not answer, or None.
    """

    model: str
    version: str
    predicted_class: ClassScore | None
    adversarial_class: ClassScore | None
    fooled: bool
    error: WhyboxError | None = None


@dataclass(frozen=True)
class MapSimilarity:
    """How similar two maps are.

    Attributes:
        ssim: Structural similarity (Wang et al., 2004) of the maps, each scaled by its largest absolute value, -1 to 1;
            1 is the same map.
        top_overlap: Share of the 5 % largest values that both maps have in common, 0 to 1.
        rank_correlation: Spearman's rank correlation of the values, -1 to 1; 0 if a map has one value everywhere.
    """

    ssim: float
    top_overlap: float
    rank_correlation: float


@dataclass(frozen=True, eq=False)
class Twin:
    """A picture and its adversarial picture, explained with the same method, baseline and seed.

    Attributes:
        before: Explanation of the predicted class in the picture, or None.
        after: Explanation of the adversarial class in the adversarial picture, or None. The map is drawn over the
            adversarial picture if the server sent it.
        same_class: Similarity of the maps of the predicted class in both pictures: whether its evidence moved.
        new_class: Similarity of `before` and `after`: whether the new answer rests on other evidence than the old one.
        error: Why the maps are missing, or None.
    """

    before: Explanation | None
    after: Explanation | None
    same_class: MapSimilarity | None
    new_class: MapSimilarity | None
    error: WhyboxError | None = None


@dataclass(frozen=True)
class Distance:
    """The smallest change found that flips the prediction: an upper bound, never a certificate.

    Attributes:
        norm: Name of the norm: "linf" is the largest change of a channel of a pixel, "l2" the root of the sum of the
            squares of all changes.
        attack: Name of the attack, for example "fmn".
        state: "found", or "not_found": no flip was found up to `searched_radius`; a smaller flip may still exist. The
            fields about the changed picture are then None.
        distance: Size of the change, for pixel values in [0, 1]; times 255 for grey levels.
        unflipped_distance: A size along the same direction that does not flip the prediction; within 1 % of `distance`.
        distance_at_half_budget: Best distance at half the budget: tells how much the second half gained.
        predicted_class: The model's prediction for the picture.
        adversarial_class: The model's prediction for the changed picture.
        gradient_evaluations: Gradients of one picture that the search cost.
        forward_evaluations: Forward passes of one picture that the search and the checks of the change cost.
        searched_radius: The largest size that was tried.
        percentile: Percentage of the audited pictures that are easier to flip, 0 to 100. These are the pictures
            of the predicted class that `ModelInfo.audit` found correctly classified. None unless attack, norm and
            budget are the audit's.
        survives_8bit: Whether the changed picture still flips the prediction after rounding to 8 bits per channel; None
            if there was no time to check.
        runner_up_class: The second most probable class before the change, or None.
        stopped_by: What ended the search: "evaluations" (the budget is spent), "deadline", "converged" (the attack had
            no further step to make), or "flat" (the network gave no direction to search in).
        distance_8bit: Size of the smallest change found along the same direction that flips the prediction and that 8
            bits per channel can hold; None if none was found, or there was no time to check.
        adversarial_png: The model's view with the change of `distance_8bit`, as PNG; None unless asked for and found.
            Ask about it with `view=True`; it would be resized and cropped again without.
        change_png: The change of `distance` as PNG: grey is no change, and the largest change of a channel is black or
            white; None unless asked for and found.
        transfers: The answers of the other served models to the change of `distance_8bit`, sorted by model.
        twin: Explanations of the picture and of the adversarial picture, or None.
        reliable: Whether no check speaks against this distance.
        reasons: The checks that do, in words for people; `ModelInfo.attack_check` has those of the model.
        percentile_n: Number of audited pictures; None without `percentile`.
        percentile_ci_low: Lower end of the 95 % interval of `percentile`, or None.
        percentile_ci_high: Upper end, or None.
        percentile_note: Why `percentile` is None, or what to know about it; empty if there is nothing to say.
        observations: What to know about the answer: "criticism_like".
    """

    norm: str
    attack: str
    state: str
    distance: float | None
    unflipped_distance: float | None
    distance_at_half_budget: float | None
    predicted_class: ClassScore | None
    adversarial_class: ClassScore | None
    gradient_evaluations: int
    forward_evaluations: int
    searched_radius: float
    percentile: float | None
    survives_8bit: bool | None
    runner_up_class: ClassScore | None
    stopped_by: str
    distance_8bit: float | None
    adversarial_png: bytes | None = field(repr=False)
    change_png: bytes | None = field(repr=False)
    transfers: tuple[Transfer, ...]
    twin: Twin | None
    reliable: bool
    reasons: tuple[str, ...]
    percentile_n: int | None
    percentile_ci_low: float | None
    percentile_ci_high: float | None
    percentile_note: str
    observations: tuple[Observation, ...]
