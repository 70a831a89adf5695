"""Why the model decided so: attribution maps and their drawing, or known pictures."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from whybox.drawing import maps
from whybox.drawing.spotlight import light_up
from whybox.drawing.view import Box, seen
from whybox.results.examples import Examples
from whybox.results.part import Part
from whybox.results.prediction import Observation, View
from whybox.results.quality import Quality
from whybox.results.regions import Region, Regions


@dataclass(frozen=True, eq=False)
class Explanation(Part):
    """Which pixels or regions spoke for a class, and how far the map can be trusted; or known pictures in its place.

    Attributes:
        index: Position among the maps that were asked for.
        method: Name of the method, for example "grad_cam".
        target_class: Index of the class that was explained.
        target_label: Its name.
        contrast_class: Index of the contrast class: the map explains why the target rather than this class. None unless
            asked for.
        contrast_label: Its name; empty without a contrast class.
        attribution: The map as read-only float32, [height, width] or [3, height, width]. Its resolution is the method's
            own: 7 x 7 for grad_cam. Empty, of shape [0, 0], if the map failed, if only pictures were asked for, or if
            the method makes no map.
        heat_map_png: The map as the server draws it, in the size of the model's view, or None.
        overlay_png: The map over the view in grey as the server draws it, or None.
        regions: Which superpixels suffice for the answer, and which are necessary, or None.
        units: What a value means: "logit" (values sum to a difference of the target's logit), "logit per pixel value"
            (a gradient), or "relative" (only order and ratio of values have a meaning).
        signed: Whether negative values speak against the class; if not, the map holds only evidence for it.
        baseline: Input that stands for "nothing there", for example "black", or "image" for the caller's own picture;
            empty for methods without a baseline.
        target_logit: The target's logit for the picture; with a contrast class the difference of the two logits.
        baseline_logit: The same for the baseline (the mean over several baselines), or None.
        convergence_delta: For methods whose values should sum to the logit difference, the remaining gap in logits: sum
            of the map - (target_logit - baseline_logit). 0 is exact; None for other methods.
        stopped_by: Why the method stopped: "done" (it always takes the same number of evaluations), "tolerance",
            "evaluations" or "deadline".
        residual: Estimated error that is compared with the tolerance; 0 is exact. Path methods: |convergence_delta| as
            a share of the logit difference. Methods that sample: the map's standard error as a share of its size. None
            for methods without a tolerance.
        forward_evaluations: Forward passes of one picture that the map cost, including those for gradients.
        gradient_evaluations: Gradients of one picture that the map cost.
        quality: The measurements of the map that were asked for, or None.
        view: Where the map lies in the picture; None for all of it.
        segmentation: How the view was cut into superpixels, "slic" or "grid"; empty for methods without superpixels.
        examples: Known pictures that are like this one, for methods that make no map; else None.
        observations: What to know about the answer: "decides_by_border" for a map, "neighbours_disagree" and
            "label_ambiguous" for examples.
        picture: The encoded picture that was explained.
    """

    index: int
    method: str
    target_class: int
    target_label: str
    contrast_class: int | None
    contrast_label: str
    attribution: NDArray[np.float32] = field(repr=False)
    heat_map_png: bytes | None = field(repr=False)
    overlay_png: bytes | None = field(repr=False)
    regions: Regions | None
    units: str
    signed: bool
    baseline: str
    target_logit: float
    baseline_logit: float | None
    convergence_delta: float | None
    stopped_by: str
    residual: float | None
    forward_evaluations: int
    gradient_evaluations: int
    quality: Quality | None
    view: View | None
    segmentation: str
    examples: Examples | None
    observations: tuple[Observation, ...]
    picture: bytes = field(repr=False)

    def heatmap(self, size: int | None = None) -> Image.Image:
        """Draws the map alone; a map per colour channel is summed first.

        Unsigned maps run from black over red to pale yellow. Signed maps are red for evidence for the class, blue for
        evidence against it, and white at 0. Full colour stands for the 99th percentile of |value|.

        Args:
            size: Length of the picture's longer side in pixels; None for one pixel per value of the map.

        Raises:
            ValueError: The map came without numbers (see `heat_map_png`), or `size` is not positive.
            WhyboxError: The map failed; this is its `error`.
        """
        self._check()
        return maps.heatmap(self.attribution, size, signed=self.signed)

    def overlay(self, alpha: float = 0.5, size: int | None = None) -> Image.Image:
        """Draws the map over what the model saw of the upright picture.

        The colours are those of `heatmap`; the picture is in grey, so that all colour is evidence.

        Args:
            alpha: Opacity of the map: 0 shows the picture alone, 1 the map alone.
            size: Length of the longer side in pixels; None for the picture's own resolution.

        Raises:
            ValueError: `alpha` is not in [0, 1], the map came without numbers (see `overlay_png`), or `size` is not
                positive.
            WhyboxError: The map failed; this is its `error`.
        """
        self._check()
        return maps.overlay(self.attribution, self.picture, self._box, alpha=alpha, size=size, signed=self.signed)

    def spotlight(self, region: Region, size: int | None = None) -> Image.Image:
        """Draws what the model saw, with the outside of the region in dark grey.

        Args:
            region: `regions.sufficient` or `regions.necessary`.
            size: Length of the longer side in pixels; None for the picture's own resolution.

        Raises:
            ValueError: The region was not found, or `size` is not positive.
        """
        if not region.found:
            raise ValueError(f"there is no region to draw: its state is {region.state!r}")
        return light_up(seen(self.picture, self._box, size), region.mask)

    @property
    def _box(self) -> Box | None:
        return None if self.view is None else self.view.box

    def _check(self) -> None:
        if self.error is not None:
            raise self.error
