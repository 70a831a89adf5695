"""How little would change its mind: the smallest changes found that flip the prediction."""

from dataclasses import dataclass

from whybox.results.prediction import ClassScore, View
from whybox.v1.errors import WhyboxError


@dataclass(frozen=True)
class Distance:
    """The smallest change found that makes the model change its mind: an upper bound, never a certificate.

    Attributes:
        norm: Name of the norm; "linf" is the largest change of any channel of any pixel.
        attack: Name of the attack that searched, for example "fmn".
        state: "found", or "not_found" where nothing up to `searched_radius` flipped the prediction; the fields about
            the changed picture are then None.
        distance: Size of the change, for pixel values in [0, 1]; times 255 for grey levels.
        unflipped_distance: A size along the same direction that was checked not to flip; within 1 % of `distance`.
        distance_at_half_budget: The best distance known at half the budget: how much the search still gained.
        predicted_class: What the model predicts for the picture.
        adversarial_class: What it predicts for the changed picture.
        gradient_evaluations: Gradients of one picture that the search cost.
        forward_evaluations: Forward passes of one picture that the search cost.
        searched_radius: The largest size that was tried.
        percentile: Share of the reference pictures of the predicted class that are easier to flip, 0 to 100; None until
            the model has a reference bank.
        survives_8bit: Whether the changed picture still flips the prediction after rounding to 8 bits per channel.
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


@dataclass(frozen=True)
class Robustness:
    """How small a change makes the model change its mind; one distance per norm, in the order of the request."""

    distances: tuple[Distance, ...]
    view: View | None
    error: WhyboxError | None = None
