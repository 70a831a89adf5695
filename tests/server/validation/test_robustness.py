"""Options of robustness: what is refused, the defaults, and what a model cannot do."""

import pytest

from whybox import v1
from whybox.v1.errors import FailedPreconditionError, InvalidRequestError
from whybox.v1.vocabulary import BUDGETS
from whybox_server.validation.robustness import check_possible, fill_robustness

ATTACKS = {"fmn": ["linf", "l2"], "ddn": ["l2"], "square": ["linf", "l2"], "one_pixel": ["l0"]}
CORRUPTIONS = {"gaussian_noise": "noise", "shot_noise": "noise", "fog": "weather", "rotation": "geometry"}
MODEL = v1.Model(
    name="m",
    num_classes=10,
    methods=[
        v1.Method(name="grad_cam"),
        v1.Method(name="attention_rollout", unavailable="it has no attention"),
        v1.Method(name="example", gives_examples=True),
    ],
    norms=["linf", "l2", "l0"],
    attacks=[v1.Attack(name=name, norms=norms) for name, norms in ATTACKS.items()],
    default_attack="fmn",
    corruptions=[v1.CorruptionKind(name=name, group=group) for name, group in CORRUPTIONS.items()],
)
OTHER = v1.Model(name="n", num_classes=10)
DEFAULTS = {"norms": ["linf"], "attack": "fmn", "budget": "12"}


def filled(**options):
    message = v1.RobustnessOptions(**options)
    fill_robustness(message, MODEL)
    return message


# What is wrong, the field that is named, and words of the remedy.
REFUSED = {
    "unknown norm": ({"norms": ["linf", "l1"]}, "norms", ["'l1'", "linf, l2"]),
    "repeated norm": ({"norms": ["l2", "l2"]}, "norms", ["each once"]),
    "unknown attack": ({"attack": "pgd"}, "attack", ["'pgd'", "fmn, ddn, square"]),
    "attack of another norm": (
        {"attack": "ddn"},
        "attack",
        ["ddn measures in l2, not in linf", "use one of fmn, square"],
    ),
    "attack of some norms": (
        {"attack": "ddn", "norms": ["l2", "linf"]},
        "attack",
        ["ddn measures in l2, not in linf", "use one of fmn, square"],
    ),
    "the default attack of some norms": (
        {"norms": ["l0"]},
        "attack",
        ["fmn measures in linf, l2, not in l0", "use one of one_pixel"],
    ),
    "no attack of all norms": ({"norms": ["l2", "l0"]}, "attack", ["not in l0", "each norm in a request of its own"]),
    **{
        f"budget {budget!r}": (
            {"budget": budget},
            "budget",
            ["is no budget", "fast, standard, thorough and deadline", "whole number of evaluations, 1 to 1000"],
        )
        for budget in ("0", "-1", "1.5", "1001", "1e3", "٣", "²", "1_0", " 12", "12\n", "huge", "STANDARD", "9" * 500)
    },
    "a budget that is no name and no number": ({"budget": "9" * 5000}, "budget", ["at most 1000 characters"]),
    "unknown picture": ({"encodings": ["overlay"]}, "encodings", ["'overlay'", "adversarial, change"]),
    "repeated picture": ({"encodings": ["change", "change"]}, "encodings", ["each once"]),
    "a twin without a map": ({"twin": "example"}, "twin", ["'example'", "grad_cam, attention_rollout"]),
    "unknown twin": ({"twin": "lime"}, "twin", ["'lime'", "grad_cam"]),
    "unknown corruption": (
        {"corruptions": ["smog"]},
        "corruptions",
        ["'smog'", "noise, weather, geometry", "GetModel"],
    ),
    "misspelt corruption": (
        {"corruptions": ["fog", "gaussian_nose"]},
        "corruptions",
        ["did you mean 'gaussian_noise'?; use all"],
    ),
    "all corruptions and more": ({"corruptions": ["all", "fog"]}, "corruptions", ["stands alone"]),
    "repeated corruption": ({"corruptions": ["fog", "fog"]}, "corruptions", ["each once"]),
}


@pytest.mark.parametrize(("options", "field", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(options, field, words):
    with pytest.raises(InvalidRequestError) as caught:
        filled(**options)
    assert caught.value.field == f"robustness.{field}"
    for word in words:
        assert word in caught.value.message


LONG = "x" * 100_000


@pytest.mark.parametrize(
    "options",
    [
        {"norms": [LONG]},
        {"attack": LONG},
        {"budget": LONG},
        {"encodings": [LONG]},
        {"twin": LONG},
        {"corruptions": [LONG]},
    ],
)
def test_an_error_fits_into_a_header_whatever_was_sent(options):
    with pytest.raises(InvalidRequestError) as caught:
        filled(**options)
    assert len(caught.value.to_status().SerializeToString()) < 1000


# What is asked for, and what it means beside the defaults.
MEANINGS = {
    "nothing": ({}, {}),
    "several norms": ({"norms": ["l2", "linf"]}, {"norms": ["l2", "linf"]}),
    "another attack": ({"attack": "square"}, {"attack": "square"}),
    "an attack of its norm": ({"attack": "ddn", "norms": ["l2"]}, {"attack": "ddn", "norms": ["l2"]}),
    **{f"budget {name}": ({"budget": name}, {"budget": str(number)}) for name, number in BUDGETS.items()},
    "one evaluation": ({"budget": "1"}, {"budget": "1"}),
    "the most": ({"budget": "1000"}, {"budget": "1000"}),
    "leading zeros": ({"budget": "0012"}, {"budget": "12"}),
    "until the deadline": ({"budget": "deadline"}, {"budget": "deadline"}),
    "pictures": ({"encodings": ["change", "adversarial"]}, {"encodings": ["change", "adversarial"]}),
    "a twin": ({"twin": "grad_cam"}, {"twin": "grad_cam"}),
    "transfer": ({"transfer": True}, {"transfer": True}),
    "corruptions have an order": ({"corruptions": ["fog", "shot_noise"]}, {"corruptions": ["shot_noise", "fog"]}),
    "a group": ({"corruptions": ["noise"]}, {"corruptions": ["gaussian_noise", "shot_noise"]}),
    "a group and one of it": ({"corruptions": ["fog", "noise", "shot_noise"]}, {"corruptions": [*CORRUPTIONS][:3]}),
    "all corruptions": ({"corruptions": ["all"]}, {"corruptions": [*CORRUPTIONS]}),
}


@pytest.mark.parametrize(("options", "meaning"), MEANINGS.values(), ids=MEANINGS)
def test_what_it_means(options, meaning):
    once = filled(**options)
    assert once == v1.RobustnessOptions(**DEFAULTS | meaning)
    again = v1.RobustnessOptions()
    again.CopyFrom(once)
    fill_robustness(again, MODEL)
    assert again == once, "a replayed request means the same"


@pytest.mark.parametrize(
    ("options", "classes", "others", "reason", "field", "words"),
    [
        ({}, 1, [OTHER], "ONE_CLASS", "robustness", "m has one class"),
        ({"transfer": True}, 10, [], "NO_OTHER_MODEL", "robustness.transfer", "leave it out"),
        (
            {"twin": "attention_rollout"},
            10,
            [OTHER],
            "METHOD_UNAVAILABLE",
            "robustness.twin",
            "m cannot be explained with attention_rollout: it has no attention",
        ),
    ],
)
def test_what_is_not_possible(options, classes, others, reason, field, words):
    model = v1.Model()
    model.CopyFrom(MODEL)
    model.num_classes = classes
    with pytest.raises(FailedPreconditionError) as caught:
        check_possible(filled(**options), model, others)
    assert (caught.value.reason, caught.value.field) == (reason, field)
    assert words in caught.value.message


@pytest.mark.parametrize(("options", "others"), [({}, []), ({"transfer": True}, [OTHER]), ({"twin": "grad_cam"}, [])])
def test_what_is_possible(options, others):
    check_possible(filled(**options), MODEL, others)
