"""Checks and defaults of the options of robustness, against the manifest of the model that shall answer."""

import difflib
import re
from collections.abc import Collection

from whybox import v1
from whybox.v1.errors import FailedPreconditionError, InvalidRequestError
from whybox_server.validation.checks import check_distinct, check_known, quoted

BUDGETS = {"fast": 6, "standard": 12, "thorough": 100}
"""Gradient evaluations per norm, by the name of the budget."""

DEADLINE = "deadline"
MAX_BUDGET = 1000
PICTURES = ("adversarial", "change")
ALL_CORRUPTIONS = "all"

_DEFAULT_BUDGET = "standard"
# Longer names are cut before they are compared with those there are, which takes time.
_COMPARED = 100


def fill_robustness(options: v1.RobustnessOptions, model: v1.Model) -> None:
    """Fills in the defaults.

    Args:
        options: As they came.
        model: The model that they are for.

    Raises:
        InvalidRequestError: Names the field and what would be right.
    """
    if not options.norms:
        options.norms.extend(model.norms[:1])
    for norm in options.norms:
        check_known("robustness.norms", norm, model.norms)
    check_distinct("robustness.norms", options.norms)
    _fill_attack(options, model)
    options.budget = _budget(options.budget or _DEFAULT_BUDGET)
    for encoding in options.encodings:
        check_known("robustness.encodings", encoding, PICTURES)
    check_distinct("robustness.encodings", options.encodings)
    if options.twin:
        check_known("robustness.twin", options.twin, [method.name for method in model.methods])
    options.corruptions[:] = _corruptions(options.corruptions, model)


def check_possible(options: v1.RobustnessOptions, model: v1.Model, others: Collection[v1.Model]) -> None:
    """Checks what is no fault of the request, so that it spoils this part of the answer alone.

    Args:
        options: With every default filled in.
        model: The model that is asked.
        others: The other served models.

    Raises:
        FailedPreconditionError: The model, or this server, cannot do it; says what can be done instead.
    """
    if model.num_classes < 2:
        message = f"{model.name} has one class: a model with one class has no other answer that a change could lead to"
        raise FailedPreconditionError(message, reason="ONE_CLASS", field="robustness")
    if options.transfer and not others:
        message = f"{model.name} is the only model here, and transfer shows the picture to others; leave it out"
        raise FailedPreconditionError(message, reason="NO_OTHER_MODEL", field="robustness.transfer")
    for method in model.methods:
        if method.name == options.twin and method.unavailable:
            message = f"{model.name} cannot be explained with {method.name}: {method.unavailable}"
            raise FailedPreconditionError(message, reason="METHOD_UNAVAILABLE", field="robustness.twin")


def _fill_attack(options: v1.RobustnessOptions, model: v1.Model) -> None:
    field = "robustness.attack"
    attacks = {attack.name: attack for attack in model.attacks}
    options.attack = options.attack or model.default_attack
    check_known(field, options.attack, attacks)
    attack = attacks[options.attack]
    for norm in options.norms:
        if norm not in attack.norms:
            able = ", ".join(other.name for other in model.attacks if set(options.norms) <= set(other.norms))
            remedy = f"use one of {able}" if able else "ask for each norm in a request of its own"
            message = f"{attack.name} measures in {', '.join(attack.norms)}, not in {norm}; {remedy}"
            raise InvalidRequestError(message, field=field)


def _budget(asked: str) -> str:
    if asked == DEADLINE:
        return asked
    if asked in BUDGETS:
        return str(BUDGETS[asked])
    if not (re.fullmatch("[0-9]{1,9}", asked) and 1 <= int(asked) <= MAX_BUDGET):
        remedy = f"use one of {', '.join(BUDGETS)} and {DEADLINE}, or a whole number of evaluations, 1 to {MAX_BUDGET}"
        raise InvalidRequestError(f"{quoted(asked)} is no budget; {remedy}", field="robustness.budget")
    return str(int(asked))


def _corruptions(asked: Collection[str], model: v1.Model) -> list[str]:
    """The names that were asked for by name, by group or all together, in the order of the manifest."""
    field = "robustness.corruptions"
    check_distinct(field, asked)
    if ALL_CORRUPTIONS in asked:
        if len(asked) > 1:
            raise InvalidRequestError(f"{ALL_CORRUPTIONS!r} stands alone; leave the others out", field=field)
        return [kind.name for kind in model.corruptions]
    known = {name: None for kind in model.corruptions for name in (kind.group, kind.name)}
    for name in asked:
        if name not in known:
            near = difflib.get_close_matches(name[:_COMPARED], known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            groups = ", ".join(dict.fromkeys(kind.group for kind in model.corruptions))
            remedy = f"{hint}Use {ALL_CORRUPTIONS}, a group ({groups}), or a name that GetModel lists"
            raise InvalidRequestError(f"{model.name} knows no corruption {quoted(name)}; {remedy}", field=field)
    return [kind.name for kind in model.corruptions if kind.name in asked or kind.group in asked]
