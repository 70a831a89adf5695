"""What can be asked of robustness."""

import re
from collections.abc import Collection

from whybox import v1
from whybox.v1.errors import FailedPreconditionError, InvalidRequestError
from whybox.v1.vocabulary import ALL, BUDGETS, CHANGE_PICTURES, DEADLINE, DEFAULT_BUDGET, MAX_BUDGET
from whybox_server.validation.checks import check_distinct, did_you_mean, quoted
from whybox_server.validation.explanations import check_available
from whybox_server.validation.kinds import BOOLEAN, TEXT, TEXT_OR_INTEGER, name_of
from whybox_server.validation.options import Option, PartOptions

_NAMED_BUDGETS = ", ".join(f'"{name}" ({number})' for name, number in BUDGETS.items())


class RobustnessOptions(PartOptions):
    """How small a change makes the model change its mind, and what common corruptions do."""

    part = "robustness"
    options = (
        Option[v1.Model](
            "norm",
            TEXT,
            "Norm in which to measure, one of the model's `norms`; one distance for each. Default: linf.",
            field="norms",
            repeatable=True,
            narrow=lambda model: name_of(model.norms),
            default=lambda model: model.norms[:1],
        ),
        Option[v1.Model](
            "budget",
            TEXT_OR_INTEGER,
            f"What each search may spend: {_NAMED_BUDGETS}, another number of gradient evaluations from 1 to "
            f'{MAX_BUDGET}, or "{DEADLINE}" for what the time of the call allows. Default: "{DEFAULT_BUDGET}".',
            default=lambda _: DEFAULT_BUDGET,
        ),
        Option[v1.Model](
            "attack",
            TEXT,
            "Attack to use, one of the model's `attacks`. Default: its `default_attack`.",
            narrow=lambda model: name_of([attack.name for attack in model.attacks]),
            default=lambda model: model.default_attack,
        ),
        Option[v1.Model](
            "picture",
            name_of(CHANGE_PICTURES),
            'Pictures of each change, as PNG: "adversarial" (the changed view in 8 bits), "change" (the change itself, '
            "amplified).",
            field="encodings",
            repeatable=True,
        ),
        Option[v1.Model](
            "transfer",
            BOOLEAN,
            "Whether to show the adversarial picture to the other served models too. Default: false.",
        ),
        Option[v1.Model](
            "twin",
            TEXT,
            "One of the model's `methods` that make maps: it explains each adversarial picture beside the one sent.",
            narrow=lambda model: name_of([method.name for method in model.methods if not method.gives_examples]),
        ),
        Option[v1.Model](
            "corruption",
            TEXT,
            f'Corruptions to apply: some of the model\'s `corruptions`, some of their groups, or "{ALL}" alone.',
            field="corruptions",
            repeatable=True,
        ),
    )

    def fill(self, request: v1.AnalyzeRequest, model: v1.Model) -> None:
        """See `PartOptions.fill`."""
        fill_robustness(request.robustness, model)

    def check_possible(self, request: v1.AnalyzeRequest, model: v1.Model, others: Collection[v1.Model]) -> None:
        """See `PartOptions.check_possible`."""
        check_possible(request.robustness, model, others)


def fill_robustness(options: v1.RobustnessOptions, model: v1.Model) -> None:
    """See `PartOptions.fill`; for options that belong to no request, as in an audit."""
    for option in RobustnessOptions.options:
        option.fill(options, model, RobustnessOptions.part)
    _check_norms(options, model)
    options.budget = _evaluations(options.budget)
    options.corruptions[:] = _corruptions(options.corruptions, model)


def check_possible(options: v1.RobustnessOptions, model: v1.Model, others: Collection[v1.Model]) -> None:
    """See `PartOptions.check_possible`."""
    if model.num_classes < 2:
        message = f"{model.name} has one class: no change leads to another answer"
        raise FailedPreconditionError(message, reason="ONE_CLASS", field="robustness")
    if options.transfer and not others:
        message = f"{model.name} is the only model here, and transfer shows the picture to other models; leave it out"
        raise FailedPreconditionError(message, reason="NO_OTHER_MODEL", field="robustness.transfer")
    if options.twin:
        check_available(options.twin, model, "robustness.twin")


def _check_norms(options: v1.RobustnessOptions, model: v1.Model) -> None:
    [attack] = (attack for attack in model.attacks if attack.name == options.attack)
    for norm in options.norms:
        if norm not in attack.norms:
            able = ", ".join(other.name for other in model.attacks if set(options.norms) <= set(other.norms))
            remedy = f"use one of {able}" if able else "ask for each norm in a request of its own"
            message = f"{attack.name} measures in {', '.join(attack.norms)}, not in {norm}; {remedy}"
            raise InvalidRequestError(message, field="robustness.attack")


def _evaluations(budget: str) -> str:
    """The number of evaluations that a budget names, or `DEADLINE`."""
    if budget == DEADLINE:
        return budget
    if budget in BUDGETS:
        return str(BUDGETS[budget])
    if not (re.fullmatch("[0-9]{1,9}", budget) and 1 <= int(budget) <= MAX_BUDGET):
        remedy = f"use one of {', '.join(BUDGETS)} and {DEADLINE}, or a whole number of evaluations, 1 to {MAX_BUDGET}"
        raise InvalidRequestError(f"{quoted(budget)} is no budget; {remedy}", field="robustness.budget")
    return str(int(budget))


def _corruptions(asked: Collection[str], model: v1.Model) -> list[str]:
    """The names that were asked for by name, by group or all together, in the order of the manifest."""
    field = "robustness.corruptions"
    check_distinct(field, asked)
    if ALL in asked:
        if len(asked) > 1:
            raise InvalidRequestError(f"{ALL!r} stands alone; leave the others out", field=field)
        return [kind.name for kind in model.corruptions]
    known = {name: None for kind in model.corruptions for name in (kind.group, kind.name)}
    for name in asked:
        if name not in known:
            groups = ", ".join(dict.fromkeys(kind.group for kind in model.corruptions))
            remedy = f"use {ALL}, a group ({groups}), or a name that GetModel lists"
            words = "; ".join(filter(None, [did_you_mean(name, known, n=1), remedy]))
            raise InvalidRequestError(f"{model.name} knows no corruption {quoted(name)}; {words}", field=field)
    return [kind.name for kind in model.corruptions if kind.name in asked or kind.group in asked]
