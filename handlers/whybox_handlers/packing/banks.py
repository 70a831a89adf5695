"""The findings of an audit on their way into an archive: whether they are of this model, and what is wrong if not."""

from collections import Counter

from whybox import v1
from whybox_handlers.bias.flags import mark_stale
from whybox_handlers.models.digests import sha256
from whybox_handlers.packing.refusals import PackError


def attach(bank: v1.Bank, model: v1.Model, *, allow_stale: bool) -> bytes:
    """Notes an audit in a manifest.

    The ONNX network is not compared. It is another export of the same weights, and packing checks that its logits are
    theirs.

    Args:
        bank: The audit.
        model: The manifest with its name and digests; `audit` is filled in.
        allow_stale: Whether the audited model may have had other weights or another preprocessing. All its flags are
            then "stale"; workers mark them.

    Returns:
        The findings, distances and thresholds for the archive.

    Raises:
        PackError: The audit is of another model.
    """
    audit = v1.Audit()
    audit.CopyFrom(bank.audit)
    if audit.model != model.name:
        raise PackError(f"audit {audit.id} is of the model {audit.model}, not of {model.name}; audit this model")
    if differing := _differing(audit.digests, model.digests, ("labels",)):
        raise PackError(f"{_other(audit, differing)}: its findings on classes are not about the classes of this model")
    differing = _differing(audit.digests, model.digests, ("weights", "preprocessing"))
    if differing and not allow_stale:
        remedies = "audit this model, pack the findings as stale (--allow-stale), or leave them out (--no-bank)"
        raise PackError(f"{_other(audit, differing)}; {remedies}")
    del audit.differences[:]
    audit.differences.extend(differing)
    flags = [flag for audited in bank.classes for flag in audited.findings.flags]
    audit.flags.clear()
    audit.flags.update({"stale": len(flags)} if differing and flags else Counter(flag.state for flag in flags))
    audit.largest_findings = max((_size(audited.findings, audit) for audited in bank.classes), default=0)
    serialized = v1.Bank(classes=bank.classes, thresholds=bank.thresholds).SerializeToString(deterministic=True)
    audit.bank_sha256 = sha256(serialized)
    model.audit.CopyFrom(audit)
    return serialized


def _differing(audited: v1.Digests, ours: v1.Digests, names: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """The digests that differ, by name: the audited model's and ours."""
    pairs = {name: (getattr(audited, f"{name}_sha256"), getattr(ours, f"{name}_sha256")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _other(audit: v1.Audit, differing: dict[str, tuple[str, str]]) -> str:
    digests = "; ".join(f"{name}: SHA-256 {theirs}, not {ours}" for name, (theirs, ours) in differing.items())
    return f"audit {audit.id} is of {audit.model} {audit.version} with other {' and '.join(differing)} ({digests})"


def _size(findings: v1.Bias, audit: v1.Audit) -> int:
    """Bytes of the findings as they are answered."""
    answered = v1.Bias()
    answered.CopyFrom(findings)
    mark_stale(answered.flags, audit)
    return answered.ByteSize()
