"""An audit of a model, and its files."""

import hashlib
import json
from typing import Any

from clients.gateways import FakeGateway
from whybox import v1

AUDIT = "8927a01510231f4f"
FLAGS: list[dict[str, Any]] = [
    {
        "kind": "calibration",
        "state": "insufficient_data",
        "attribute": "wide",
        "message": "Too few pictures.",
        "effect": None,
        "reasons": ["3 pictures with it"],
    },
    {
        "kind": "adversarial_criticism",
        "state": "flagged",
        "attribute": "wheelchair",
        "value": "1",
        "message": "Pictures of basketball annotated wheelchair = 1 are easier to attack: Größe.",
        "effect": -0.46,
        "ci_low": -0.63,
        "ci_high": -0.29,
        "n": 158,
        "q_value": 6.9e-05,
        "repeats": [{"what": "norm l2", "effect": -0.47, "n_with": 33, "n_without": 125, "beyond_threshold": True}],
        "a_later_field": 1,
    },
]
FILES = {
    "json": json.dumps({"audit": AUDIT, "flags": FLAGS}, indent=1, ensure_ascii=False).encode() + b"\n",
    # Larger than a message of gRPC.
    "html": "<!DOCTYPE html>\r\n<p>Größe\n".encode() + b"x" * 5_000_000,
}


def serve_audit(gateway: FakeGateway, **fields: Any) -> v1.Audit:
    """Packs the audit with the first model; `fields` are further ones of what is said of it."""
    gateway.files = dict(FILES)
    audit = gateway.models[0].audit
    audit.CopyFrom(
        v1.Audit(
            id=AUDIT,
            data_set="chairs",
            pictures=264,
            classes=1,
            attributes=["wheelchair", "wide"],
            attack="fmn",
            norms=["linf"],
            budget=6,
            version="0.9",
            digests=v1.Digests(weights_sha256="aa"),
            flags={"flagged": 1, "insufficient_data": 1},
            files=[
                v1.AuditFile(format=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
                for name, content in FILES.items()
            ],
        )
    )
    audit.MergeFrom(v1.Audit(**fields))
    return audit
