"""Whether the evidence in a map lies at the border of the view."""

import math
from dataclasses import replace

from torch import Tensor

from whybox import v1
from whybox_handlers.explanations.explainers import Attribution, Question
from whybox_handlers.explanations.maps.pixels import channels_summed, importance

DECIDES_BY_BORDER = "decides_by_border"

# The centre has half of the area, so an even map has half of its evidence there.
_CENTRE_SIDE = math.sqrt(0.5)
_MOST = 2 / 3


def decides_by_border(
    part: v1.Explanation, question: Question, attribution: Attribution, answer: int
) -> v1.Observation:
    """Compares the evidence in the outer half of the view with that in the whole of it.

    Evidence is what speaks for the target: positive values, channels summed. In a map of gradients a sign tells the
    direction in which a pixel would have to change, so it does not count.

    Args:
        part: All that is known of the map but its encodings.
        question: The question of the map.
        attribution: The map.
        answer: Index of the predicted class.
    """
    if part.target_class != answer or part.HasField("contrast_class"):
        return _not_measured("the map does not explain the answer alone")
    if part.HasField("quality") and not part.quality.reliable:
        return _not_measured("the map is not reliable; see its quality")
    if attribution.units == "logit per pixel value":
        attribution = replace(attribution, values=attribution.values.abs())
    cells = channels_summed(attribution.values)
    if bool((cells == cells[0, 0]).all()):
        return _not_measured("the map has the same value everywhere")
    mass = importance(attribution, question.picture).double().clamp(min=0)
    total = float(mass.sum())
    if not total:
        return _not_measured("nothing in the map speaks for the answer")
    share = 1 - float(_centre(mass).sum()) / total
    return v1.Observation(
        kind=DECIDES_BY_BORDER,
        state="noted" if share > _MOST else "not_noted",
        message=f"{100 * share:.0f} % of the evidence for {part.target_label!r} lies in the outer half of the view",
        value=share,
        threshold=_MOST,
    )


def _centre(values: Tensor) -> Tensor:
    """The middle of [H, W] values, as near to half of their area as whole pixels allow."""
    height, width = values.shape
    down, right = (round(side * (1 - _CENTRE_SIDE) / 2) for side in (height, width))
    return values[down : height - down, right : width - right]


def _not_measured(why: str) -> v1.Observation:
    return v1.Observation(kind=DECIDES_BY_BORDER, state="not_measured", message=why)
