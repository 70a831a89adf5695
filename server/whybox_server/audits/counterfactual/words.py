"""A check in one sentence."""

from whybox_server.audits.counterfactual.shifts import ANSWER, DISTANCE, MARGIN, MARGIN_SIZE
from whybox_server.audits.criticism.findings import CounterfactualCheck, Shift
from whybox_server.audits.criticism.sentences import span

_VERBS = {"blur": "blurred", "fill": "filled"}


def sentence(check: CounterfactualCheck, attribute: str) -> str:
    """What a check found; how far the margin moves, and which way, decides what is claimed.

    Args:
        check: A check that was made; its message is not looked at.
        attribute: The attribute that the boxes show.
    """
    by = {shift.what: shift for shift in check.shifts}
    size, margin, answer = by[MARGIN_SIZE], by[MARGIN], by[ANSWER]
    told = [
        f"the margin moves by {size.box:.2f} against {size.random:.2f} logits",
        f"difference {size.difference:+.2f} {span(size.ci_low, size.ci_high)}",
        f"on average by {margin.box:+.2f} against {margin.random:+.2f}",
        f"{100 * answer.box:.0f} % against {100 * answer.random:.0f} % of the answers change",
    ]
    if (distance := by.get(DISTANCE)) is not None:
        told.append(f"the distance changes by {distance.box:+.2g} against {distance.random:+.2g}")
    evidence = f"{_VERBS[check.removal]}, {', '.join(told)}"
    return (
        f"In {check.pictures} pictures {_claim(size, margin, attribute)}: {evidence}."
        " This does not say why, and nothing about a person."
    )


def _claim(size: Shift, margin: Shift, attribute: str) -> str:
    boxes, others = f"the boxes of {attribute}", "random regions of equal area"
    more = f"{boxes} matter more to the model than {others}"
    # Boxes that move the margin no further than other regions may still move it the other way.
    claim, joint = (more, ", and") if size.ci_low > 0 else (f"it is not shown that {more}", ", but")
    if margin.ci_low <= 0 <= margin.ci_high:
        return claim
    return (
        f"{claim}{joint} they speak more {'for' if margin.ci_high < 0 else 'against'} the correct class than those do"
    )
