"""Robustness: the request for a measurement, and the answer."""

import dataclasses

from whybox import results, v1
from whybox._messages.explanations import read_explanation
from whybox._messages.fields import error, many, one, plain, same_named
from whybox.arguments import held, integer, names, text
from whybox.options import AnalyzeOptions, AttackOptions
from whybox.v1.vocabulary import MAX_BUDGET


def ask_robustness(options: AnalyzeOptions) -> v1.RobustnessOptions:
    """The options of robustness; those that were not given stay absent; see `same_named` for errors."""
    same = same_named(options, AttackOptions.__annotations__, v1.RobustnessOptions, but=["budget"])
    if (budget := options.get("budget")) is not None:
        same["budget"] = _budget(budget)
    if (pictures := options.get("pictures")) is not None:
        same["encodings"] = names("pictures", pictures)
    return v1.RobustnessOptions(**same)


def read_robustness(message: v1.Robustness, picture: bytes) -> results.Robustness:
    """The value of robustness.

    Raises:
        InternalError: A map of a twin cannot be decoded.
    """
    return results.Robustness(
        distances=tuple(_distance(distance, picture) for distance in message.distances),
        view=one(message, "view", results.View),
        corruptions=tuple(_corruption(corruption) for corruption in message.corruptions),
        error=error(message.status),
    )


def _budget(given: str | int) -> str:
    what = f"the name of a budget, or an integer from 1 to {MAX_BUDGET}"
    if isinstance(held(given), str):
        return text("budget", given, what=what)
    return str(integer("budget", given, 1, MAX_BUDGET, what=what))


def _distance(message: v1.Distance, picture: bytes) -> results.Distance:
    values = plain(message)
    adversarial = values.pop("adversarial_picture") or None
    return results.Distance(
        # Named as the drawings of maps are. On the wire, a picture without bytes is none.
        adversarial_png=adversarial,
        change_png=values.pop("change_picture") or None,
        **values,
        predicted_class=one(message, "predicted_class", results.ClassScore),
        adversarial_class=one(message, "adversarial_class", results.ClassScore),
        runner_up_class=one(message, "runner_up_class", results.ClassScore),
        transfers=tuple(_transfer(transfer) for transfer in message.transfers),
        twin=_twin(message.twin, picture, adversarial) if message.HasField("twin") else None,
        observations=many(message.observations, results.Observation),
    )


def _transfer(message: v1.Transfer) -> results.Transfer:
    return results.Transfer(
        **plain(message),
        predicted_class=one(message, "predicted_class", results.ClassScore),
        adversarial_class=one(message, "adversarial_class", results.ClassScore),
        error=error(message.status),
    )


def _twin(message: v1.Twin, picture: bytes, adversarial: bytes | None) -> results.Twin:
    after = read_explanation(message.after, picture) if message.HasField("after") else None
    if after is not None and adversarial is not None:
        # The adversarial picture is the view itself: the map lies over the whole of it.
        after = dataclasses.replace(after, picture=adversarial, view=None)
    return results.Twin(
        before=read_explanation(message.before, picture) if message.HasField("before") else None,
        after=after,
        same_class=one(message, "same_class", results.MapSimilarity),
        new_class=one(message, "new_class", results.MapSimilarity),
        error=error(message.status),
    )


def _corruption(message: v1.Corruption) -> results.Corruption:
    levels = tuple(
        results.CorruptionLevel(**plain(level), predicted_class=one(level, "predicted_class", results.ClassScore))
        for level in message.levels
    )
    return results.Corruption(**plain(message), levels=levels, error=error(message.status))
