"""What is answered about the predicted class: with an audit, without one, and for attributes that it lacks."""

import pytest
from torch import nn

from architectures import classifier_of, network_of
from whybox import v1
from whybox_handlers.bias.flags import findings
from whybox_handlers.models.classifier import Classifier

AUDIT = v1.Audit(id="a1", data_set="pets", attributes=["hat", "indoors", "hat,indoors"])
CAT, DOG, COW = (v1.ClassScore(index=index, label=label) for index, label in enumerate(["cat", "dog", "cow"]))


def flag(attribute: str, state: str, kind: str = "adversarial_criticism") -> v1.BiasFlag:
    return v1.BiasFlag(
        kind=kind, state=state, attribute=attribute, class_label="cat", effect=-0.4, audit_id="a1", message="So."
    )


FOUND = v1.Bias(
    flags=[
        flag("hat", "flagged"),
        flag("hat", "not_detected", "error_rate"),
        flag("indoors", "insufficient_data"),
        flag("hat,indoors", "not_detected"),
    ],
    prototypes=[v1.Example(id="hard.jpg", distance=0.1)],
    criticisms=[v1.Example(id="easy.jpg", distance=0.001)],
    audit_id="a1",
    norm="linf",
)
BANK = v1.Bank(
    classes=[
        v1.AuditedClass(class_index=0, findings=FOUND),
        v1.AuditedClass(class_index=1, findings=v1.Bias(audit_id="a1")),
    ]
)


def classifier(audit: v1.Audit | None, bank: v1.Bank | None) -> Classifier:
    bare = classifier_of(network_of(nn.Flatten(1)))
    return Classifier(v1.Model(audit=audit), bare.network, bare.serving, bare.device, bank=bank)


NOTHING = "This model version has not been audited for bias in class 'cat': nothing is known."
CASES = [
    (AUDIT, CAT, [], [*FOUND.flags]),
    (AUDIT, CAT, ["indoors", "hat"], [*FOUND.flags[:3]]),
    (AUDIT, CAT, ["hat,indoors"], [FOUND.flags[3]]),
    (
        AUDIT,
        CAT,
        ["age", "indoors"],
        [FOUND.flags[2], ("age", "Audit a1 of pets has no attribute 'age'; it has hat, indoors, hat,indoors.")],
    ),
    (AUDIT, DOG, [], [("", "Audit a1 of pets tested no attribute in class 'dog': nothing is known.")]),
    (AUDIT, DOG, ["hat"], [("hat", "Audit a1 of pets did not test attribute 'hat' in class 'dog'.")]),
    (AUDIT, COW, [], [("", "Audit a1 of pets has no picture of class 'cow': nothing is known.")]),
    (AUDIT, COW, ["age"], [("age", "Audit a1 of pets has no picture of class 'cow': nothing is known.")]),
    (None, CAT, [], [("", NOTHING)]),
    (None, CAT, ["hat", "age"], [("hat", NOTHING), ("age", NOTHING)]),
]


@pytest.mark.parametrize(("audit", "predicted", "attributes", "expected"), CASES)
def test_flags(
    audit: v1.Audit | None,
    predicted: v1.ClassScore,
    attributes: list[str],
    expected: list[v1.BiasFlag | tuple[str, str]],
) -> None:
    bias = findings(classifier(audit, BANK if audit else None), predicted, attributes)
    assert bias.predicted_class == predicted
    assert len(bias.flags) == len(expected)
    for found, wanted in zip(bias.flags, expected, strict=True):
        if isinstance(wanted, v1.BiasFlag):
            assert found == wanted
        else:
            assert (found.state, found.attribute, found.message) == ("not_audited", *wanted)
            assert (found.class_index, found.class_label) == (predicted.index, predicted.label)
            assert not found.audit_id
    of_cats = audit is not None and predicted == CAT
    assert list(bias.prototypes) == (list(FOUND.prototypes) if of_cats else [])
    assert list(bias.criticisms) == (list(FOUND.criticisms) if of_cats else [])
    assert (bias.audit_id, bias.norm) == ("a1" if audit and predicted != COW else "", "linf" if of_cats else "")


def test_flags_of_another_version_are_stale() -> None:
    audit = v1.Audit(id="a1", data_set="pets", attributes=["hat"], differences=["weights", "preprocessing"])
    why = "the audited version of the model had other weights and preprocessing"
    audited = classifier(audit, BANK)
    for _ in range(2):
        hat, *others = findings(audited, CAT, []).flags
        assert {hat.state, *(flag.state for flag in others)} == {"stale"}
        assert hat.message == f"This finding is stale, because {why}; it was flagged: {FOUND.flags[0].message}"
        assert (hat.effect, hat.audit_id, list(hat.reasons)) == (-0.4, "a1", [why])
    [missing] = findings(audited, CAT, ["age"]).flags
    assert missing.state == "not_audited"


def test_an_answer_leaves_the_bank_as_it_was() -> None:
    audited = classifier(AUDIT, BANK)
    for _ in range(2):
        assert len(findings(audited, CAT, ["indoors"]).flags) == 1
    assert list(findings(audited, CAT, []).flags) == list(FOUND.flags)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ([], "it has none."),
        (["a"], "it has a."),
        ([str(n) for n in range(12)], "it has 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more."),
    ],
)
def test_a_sentence_lists_ten_attributes(attributes: list[str], words: str) -> None:
    audited = classifier(v1.Audit(id="a1", data_set="pets", attributes=attributes), BANK)
    [missing] = findings(audited, CAT, ["age"]).flags
    assert missing.message.endswith(words)
