"""Which superpixels suffice for the answer, and which are necessary."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from whybox.results.prediction import ClassScore


@dataclass(frozen=True, eq=False)
class Region:
    """A set of superpixels of the model's view. Without a set, all fields but `state` are 0, empty or None.

    Attributes:
        state: "found"; "not_found": there is no such set, because the answer holds for the baseline too; "not_held":
            the answer does not hold even for the whole picture, for example because the model predicts another class
            than the target.
        mask: True inside the set; read-only, [height, width] of the model's view, or [0, 0] without a set.
        segments: Number of superpixels in the set.
        area: Its share of the view, 0 to 1.
        left: Left edge of the smallest box around it, in pixels of `mask`.
        top: Upper edge of the box.
        width: Width of the box.
        height: Height of the box.
        target: The target's score when only this set is kept (sufficient), or when it is removed (necessary).
        predicted: The score of the class that is then the most probable.
        box_probability: The target's probability when the whole box is kept, or removed, instead of the set.
    """

    state: str
    mask: NDArray[np.bool_] = field(repr=False)
    segments: int
    area: float
    left: int
    top: int
    width: int
    height: int
    target: ClassScore | None
    predicted: ClassScore | None
    box_probability: float

    @property
    def found(self) -> bool:
        """Whether a set was found."""
        return self.state == "found"

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(left, upper, right, lower) in pixels of `mask`, as Pillow wants it."""
        return self.left, self.top, self.left + self.width, self.top + self.height


@dataclass(frozen=True, eq=False)
class Regions:
    """The superpixels that suffice for the answer, and those that it needs.

    The answer holds while the target has the largest logit; with a contrast class, while the target's logit is larger
    than that of the contrast class.

    Attributes:
        sufficient: The smallest set found for which the answer holds when all other superpixels show the baseline. The
            answer fails when one superpixel of the set is taken away. The set is empty if the answer holds for the
            baseline itself. None if the server does not say.
        necessary: The smallest set found whose removal makes the answer fail. The answer holds when one superpixel of
            the set is put back. None if the server does not say.
        segments: Number of superpixels of the view.
        baseline: What removed superpixels show, as `Explanation.baseline` ("mean": the average of the three
            baselines); "blur" for methods without a baseline.
        forward_evaluations: Forward passes of one picture that the search cost.
        segmentation: How the view was cut into superpixels, "slic" or "grid".
    """

    sufficient: Region | None
    necessary: Region | None
    segments: int
    baseline: str
    forward_evaluations: int
    segmentation: str
