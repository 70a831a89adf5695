"""What the server says about its models."""

from whybox import results, v1
from whybox._messages.fields import many, one, plain


def read_model(message: v1.Model) -> results.ModelInfo:
    """The value of one model."""
    return results.ModelInfo(
        **plain(message),
        methods=tuple(_method(method) for method in message.methods),
        preprocessing=one(message, "preprocessing", results.Preprocessing),
        digests=one(message, "digests", results.Digests),
        packing_check=one(message, "packing_check", results.PackingCheck),
        attacks=many(message.attacks, results.Attack),
        attack_check=one(message, "attack_check", results.AttackCheck),
        corruptions=many(message.corruptions, results.CorruptionKind),
        batch_sizes=one(message, "batch_sizes", results.BatchSizes),
        gradient=one(message, "gradient", results.Gradient),
        audit=read_audit(message.audit) if message.HasField("audit") else None,
    )


def read_audit(message: v1.Audit) -> results.Audit:
    """The value of what is said about an audit."""
    return results.Audit(
        **plain(message),
        digests=one(message, "digests", results.Digests),
        files=many(message.files, results.AuditFile),
        calibration=one(message, "calibration", results.Calibration),
        references=one(message, "references", results.References),
    )


def _method(message: v1.Method) -> results.Method:
    test = one(message, "randomisation_test", results.RandomisationTest)
    return results.Method(**plain(message), randomisation_test=test)
