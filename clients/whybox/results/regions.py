"""What of the picture suffices for the answer, and what it cannot do without: a map told in superpixels."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from whybox.results.prediction import ClassScore


@dataclass(frozen=True, eq=False)
class Region:
    """A set of superpixels of the model's view. Unless it was found, all but its `state` is 0, empty or None.

    Attributes:
        state: "found"; "not_found" where no set does it, because the answer holds for the baseline too; "not_held"
            where it does not hold even for the whole picture, for example because the target is not what the model
            predicts.
        mask: True inside the set: read-only, [height, width] of the model's view; [0, 0] where nothing was found.
        segments: Number of superpixels in the set.
        area: Its share of the view, 0 to 1.
        left: Left edge of the smallest box around it, in pixels of `mask`.
        top: Upper edge of the box.
        width: Width of the box.
        height: Height of the box.
        target: What the network says of the target with only this set kept (sufficient), or with it removed
            (necessary).
        predicted: The same for the class that is then the most probable.
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
        """Whether there is such a set."""
        return self.state == "found"

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(left, upper, right, lower) in pixels of `mask`, as Pillow wants it."""
        return self.left, self.top, self.left + self.width, self.top + self.height


@dataclass(frozen=True, eq=False)
class Regions:
    """The answer "holds" while the target has the largest logit, or, with a contrast class, a larger one than that.

    Attributes:
        sufficient: The smallest set found that alone, on the baseline, makes the answer hold; without any one of its
            superpixels it does not. The empty set where the answer holds for the baseline itself. None where the server
            does not say.
        necessary: The smallest set found whose removal makes the answer fail; with any one of its superpixels back it
            holds. None where the server does not say.
        segments: Number of superpixels that the view was cut into.
        baseline: What stands in place of what was removed; as `Explanation.baseline` ("mean": the average of the
            three), and "blur" for methods without a baseline.
        forward_evaluations: Forward passes of one picture that the search cost.
    """

    sufficient: Region | None
    necessary: Region | None
    segments: int
    baseline: str
    forward_evaluations: int
