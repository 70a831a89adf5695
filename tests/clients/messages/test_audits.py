"""Manifests that hold no flags."""

import hashlib

import pytest

from whybox import InternalError, v1
from whybox._messages.audits import read_report
from whybox._messages.models import read_audit


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"flags": 3}', b'{"flags": [3]}', b'{"flags": [{"n": "many"}]}', b"\xff"]
)
def test_a_manifest_without_flags_is_malformed(content: bytes) -> None:
    file = v1.AuditFile(format="json", sha256=hashlib.sha256(content).hexdigest())
    audit = read_audit(v1.Audit(id="a1", files=[file]))
    with pytest.raises(InternalError, match="cannot be read as audit a1"):
        read_report(audit, {"json": content})
