"""How little would change its mind: the smallest changes found that flip the prediction, and what they show."""

from dataclasses import dataclass, field

from whybox.results.explanation import Explanation
from whybox.results.prediction import ClassScore
from whybox.v1.errors import WhyboxError


@dataclass(frozen=True)
class Transfer:
    """Another model's view of the adversarial picture.

    Attributes:
        model: Name of the other model.
        version: Its version.
        predicted_class: What it predicts for what the attacked model saw of the picture, or None.
        adversarial_class: What it predicts for that changed by `Distance.distance_8bit`, or None.
        fooled: Whether these are two classes.
        error: Why nothing is known of this model, or None.
    """

    model: str
    version: str
    predicted_class: ClassScore | None
    adversarial_class: ClassScore | None
    fooled: bool
    error: WhyboxError | None = None


@dataclass(frozen=True)
class MapSimilarity:
    """How alike two maps are.

    Attributes:
        ssim: Structural similarity (Wang et al., 2004) of the maps, each scaled by its largest absolute value, -1 to 1;
            1 is the same map.
        top_overlap: Share of the 5 % largest values that both have in common, 0 to 1.
        rank_correlation: Spearman's rank correlation of the values, -1 to 1; 0 where a map has one value everywhere.
    """

    ssim: float
    top_overlap: float
    rank_correlation: float


@dataclass(frozen=True, eq=False)
class Twin:
    """A picture and its adversarial neighbour, explained with the same method, baseline and seed.

    Attributes:
        before: Why the predicted class, of the picture; or None.
        after: Why the adversarial class, of the changed picture; or None. Where the adversarial picture was sent too,
            the map is drawn over that.
        same_class: The maps of the predicted class for both pictures: whether the evidence for one class moved.
        new_class: `before` and `after`: whether the new answer rests on other evidence than the old one.
        error: Why the maps are missing, or None.
    """

    before: Explanation | None
    after: Explanation | None
    same_class: MapSimilarity | None
    new_class: MapSimilarity | None
    error: WhyboxError | None = None


@dataclass(frozen=True)
class Distance:
    """The smallest change found that makes the model change its mind: an upper bound, never a certificate.

    Attributes:
        norm: Name of the norm; "linf" is the largest change of any channel of any pixel, "l2" the root of the sum of
            the squares of all changes.
        attack: Name of the attack that searched, for example "fmn".
        state: "found", or "not_found" where nothing up to `searched_radius` flipped the prediction; the fields about
            the changed picture are then None.
        distance: Size of the change, for pixel values in [0, 1]; times 255 for grey levels.
        unflipped_distance: A size along the same direction that was checked not to flip; within 1 % of `distance`.
        distance_at_half_budget: The best distance known at half the budget: how much the search still gained.
        predicted_class: What the model predicts for the picture.
        adversarial_class: What it predicts for the changed picture.
        gradient_evaluations: Gradients of one picture that the search cost.
        forward_evaluations: Forward passes of one picture that the search cost, and the looks at twice the change and
            at pictures of 8 bits.
        searched_radius: The largest size that was tried.
        percentile: Share of the reference pictures of the predicted class that are easier to flip, 0 to 100; None until
            the model has a reference bank.
        survives_8bit: Whether the changed picture still flips the prediction after rounding to 8 bits per channel; None
            where there was no time to look.
        runner_up_class: The class that was second to the predicted one before the change, or None.
        stopped_by: What ended the search: "evaluations" (the budget is spent), "deadline", "converged" (the attack had
            no further step to make), or "flat" where the network gave no direction to search in.
        distance_8bit: The smallest change found along the same direction that flips the prediction and that 8 bits per
            channel can hold; None where there is none, or there was no time to look.
        adversarial_png: What the model saw, so changed, as PNG; None unless asked for and found.
        change_png: The change of `distance` as PNG: grey is no change, and the largest change of any channel is black
            or white; None unless asked for and found.
        transfers: What each other served model makes of the picture with `distance_8bit`, by the name of the model.
        twin: The picture's explanation beside that of the adversarial picture, or None.
        reliable: Whether nothing speaks against this distance.
        reasons: What speaks against it, for people; see `ModelInfo.attack_check` for what is known of the model.
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
