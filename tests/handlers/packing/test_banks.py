"""Which audits go into an archive, and what becomes of their flags."""

import pytest

from whybox import v1
from whybox_handlers.bias.flags import mark_stale
from whybox_handlers.models.digests import sha256
from whybox_handlers.packing.banks import attach
from whybox_handlers.packing.refusals import PackError

DIGESTS = {"weights_sha256": "aa", "onnx_sha256": "bb", "preprocessing_sha256": "cc", "labels_sha256": "dd"}


def bank(name: str = "m", **digests: str) -> v1.Bank:
    return v1.Bank(
        audit=v1.Audit(id="a1", model=name, version="0.9", digests=v1.Digests(**(DIGESTS | digests))),
        classes=[
            v1.AuditedClass(class_index=0, findings=v1.Bias(flags=[v1.BiasFlag(state="flagged", message="Hats.")])),
            v1.AuditedClass(
                class_index=2,
                findings=v1.Bias(flags=[v1.BiasFlag(state="not_detected", message="None.", reasons=["q is 0.2"])] * 2),
            ),
        ],
    )


def model() -> v1.Model:
    return v1.Model(name="m", version="1.0", digests=v1.Digests(**DIGESTS))


@pytest.mark.parametrize("allow_stale", [False, True])
@pytest.mark.parametrize("digests", [{}, {"onnx_sha256": "other"}, {"inputs_sha256": "other"}])
def test_an_audit_of_the_same_network_is_taken_as_it_is(digests: dict[str, str], allow_stale: bool) -> None:
    packed, audited = model(), bank(**digests)
    content = attach(audited, packed, allow_stale=allow_stale)
    assert v1.Bank.FromString(content) == v1.Bank(classes=audited.classes)
    assert (packed.audit.id, packed.audit.digests, list(packed.audit.differences)) == ("a1", audited.audit.digests, [])
    assert packed.audit.bank_sha256 == sha256(content)
    assert packed.audit.largest_findings == audited.classes[1].findings.ByteSize()
    assert packed.audit.flags == {"flagged": 1, "not_detected": 2}
    assert not audited.audit.bank_sha256


@pytest.mark.parametrize(
    ("audited", "words"),
    [
        (bank("n"), "audit a1 is of the model n, not of m; audit this model"),
        (
            bank(labels_sha256="x"),
            r"audit a1 is of m 0\.9 with other labels \(labels: SHA-256 x, not dd\): its findings",
        ),
        (
            bank(weights_sha256="x"),
            r"other weights \(weights: SHA-256 x, not aa\); audit this model, pack .*--allow-stale.*--no-bank",
        ),
        (bank(weights_sha256="x", preprocessing_sha256="y"), r"other weights and preprocessing \(weights: .*; prep"),
    ],
)
def test_an_audit_of_another_model_is_refused(audited: v1.Bank, words: str) -> None:
    packed = model()
    with pytest.raises(PackError, match=words):
        attach(audited, packed, allow_stale=False)
    assert packed == model()


@pytest.mark.parametrize("audited", [bank("n"), bank(labels_sha256="x", weights_sha256="x")])
def test_findings_on_other_classes_are_never_taken(audited: v1.Bank) -> None:
    with pytest.raises(PackError):
        attach(audited, model(), allow_stale=True)


def test_flags_of_another_version_are_stale() -> None:
    packed, audited = model(), bank(weights_sha256="x")
    content = attach(audited, packed, allow_stale=True)
    assert list(packed.audit.differences) == ["weights"]
    assert packed.audit.flags == {"stale": 3}
    # The archive holds them as they were found: a later pack may find them right again.
    assert v1.Bank.FromString(content) == v1.Bank(classes=audited.classes)
    flags = audited.classes[1].findings.flags
    mark_stale(flags, packed.audit)
    assert {flag.state for flag in flags} == {"stale"}
    assert packed.audit.largest_findings == audited.classes[1].findings.ByteSize()


def test_differences_of_an_earlier_pack_are_forgotten() -> None:
    earlier, packed, audited = model(), model(), bank(weights_sha256="x")
    attach(audited, earlier, allow_stale=True)
    audited.audit.CopyFrom(earlier.audit)
    packed.digests.weights_sha256 = "x"
    attach(audited, packed, allow_stale=False)
    assert not packed.audit.differences
    assert packed.audit.flags == {"flagged": 1, "not_detected": 2}
