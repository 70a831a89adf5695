"""A check in one sentence."""

from whybox_server.audits.criticism.findings import CounterfactualCheck
from whybox_server.audits.criticism.sentences import span

# For a difference of the margins that is shown to be below 0, above 0, and neither.
_CLAIMS = (
    "the answers rest more on the boxes of {attribute} than on random regions of equal area",
    "the boxes of {attribute} speak more against the answers than random regions of equal area do",
    "it is not shown that the boxes of {attribute} matter more to the answers than random regions of equal area",
)
_VERBS = {"blur": "blurred", "fill": "filled"}


def sentence(check: CounterfactualCheck, attribute: str) -> str:
    """What a check found; the margin decides what is claimed.

    Args:
        check: A check that was made; its message is not looked at.
        attribute: The attribute that the boxes show.
    """
    by = {shift.what: shift for shift in check.shifts}
    margin, answer = by["margin"], by["answer"]
    claim = _CLAIMS[0 if margin.ci_high < 0 else 1 if margin.ci_low > 0 else 2].format(attribute=attribute)
    told = [
        f"the margin changes by {margin.box:+.2f} against {margin.random:+.2f} logits",
        f"difference {margin.difference:+.2f} {span(margin.ci_low, margin.ci_high)}",
        f"{answer.box:.0%} against {answer.random:.0%} of the answers change",
    ]
    if (distance := by.get("distance")) is not None:
        told.append(f"the distance changes by {distance.box:+.2g} against {distance.random:+.2g}")
    whole = f"In {check.pictures} pictures {claim}: {_VERBS[check.removal]}, {', '.join(told)}."
    return f"{whole} This does not say why, and nothing about a person."
