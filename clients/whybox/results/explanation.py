"""Why did it decide so: attribution maps, and their drawing."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from whybox import _heat_maps, _pictures
from whybox.results.prediction import View
from whybox.v1.errors import WhyboxError


@dataclass(frozen=True, eq=False)
class Explanation:
    """Which pixels or regions spoke for a class, and how far the map can be trusted.

    Attributes:
        index: Position among the methods that were asked for.
        method: Name of the method, for example "grad_cam".
        target_class: Index of the class that was explained.
        target_label: Its name.
        attribution: The map as read-only float32, [height, width] or [3, height, width]. Its resolution is the method's
            own: 7 x 7 for grad_cam. Empty, of shape [0, 0], where the map failed.
        units: What a value means, for example "logit".
        signed: Whether negative values speak against the class; if not, the map holds only evidence for it.
        baseline: The input that stands for "nothing there", for example "black"; empty where the method needs none.
        target_logit: The target's logit for the picture.
        baseline_logit: The target's logit for the baseline, or None.
        convergence_delta: Completeness gap in logits, sum of the map - (target_logit - baseline_logit); 0 is exact.
            None where the method has no completeness axiom.
        forward_evaluations: Forward passes of one picture that the map cost.
        gradient_evaluations: Gradients of one picture that the map cost.
        view: Where the map lies in the picture.
        picture: The encoded picture that was explained.
        error: Why the map is missing, or None.
    """

    index: int
    method: str
    target_class: int
    target_label: str
    attribution: NDArray[np.float32] = field(repr=False)
    units: str
    signed: bool
    baseline: str
    target_logit: float
    baseline_logit: float | None
    convergence_delta: float | None
    forward_evaluations: int
    gradient_evaluations: int
    view: View | None
    picture: bytes = field(repr=False)
    error: WhyboxError | None = None

    def heatmap(self, size: int | None = None) -> Image.Image:
        """Draws the map alone; a map per colour channel is summed first.

        Unsigned maps run from black over red to pale yellow. Signed maps are red where the picture speaks for the
        class, blue where it speaks against it and white at 0. Full colour stands for the 99th percentile of |value|.

        Args:
            size: Length of the picture's longer side in pixels; None for one pixel per value of the map.

        Raises:
            WhyboxError: The map failed; this is its `error`.
        """
        if self.error is not None:
            raise self.error
        values = _heat_maps.strengths(self.attribution, signed=self.signed)
        height, width = values.shape
        drawn_size = (width, height) if size is None else _pictures.scaled(width, height, size)
        return _heat_maps.draw(values, drawn_size, signed=self.signed)

    def overlay(self, alpha: float = 0.5, size: int | None = None) -> Image.Image:
        """Draws the map over what the model saw of the upright picture.

        The colours are those of `heatmap`; the picture is in grey, so that all colour is evidence.

        Args:
            alpha: Opacity of the map: 0 shows the picture alone, 1 the map alone.
            size: Length of the longer side in pixels; None for the picture's own resolution.

        Raises:
            ValueError: `alpha` is not in [0, 1].
            WhyboxError: The map failed; this is its `error`.
        """
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must lie in [0, 1], not {alpha}")
        if self.error is not None:
            raise self.error
        seen = _pictures.seen(self.picture, None if self.view is None else self.view.box, size)
        values = _heat_maps.strengths(self.attribution, signed=self.signed)
        return _heat_maps.lay_over(seen, values, alpha, signed=self.signed)
