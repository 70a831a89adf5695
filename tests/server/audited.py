"""A model that is packed with an audit, and a gateway that serves it."""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

from google.protobuf import json_format

from server.backends import InTurn
from whybox import v1
from whybox_server.gateway.audits import AuditFiles
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.deployment import Deployment
from whybox_server.gateway.spool import Spool
from whybox_server.monitoring.metrics import Metrics

MODEL, BARE, AUDIT = "efficientnet-lite0", "bare", "8927a01510231f4f"
CONTENTS: Mapping[str, bytes] = {
    "json": json.dumps({"audit": AUDIT, "flags": [{"state": "flagged", "message": "Größe."}]}).encode(),
    # Larger than a gRPC message may be, and no two pieces are alike.
    "html": b"<!DOCTYPE html>" + b"".join(b"%09d\n" % number for number in range(1_000_000)),
}


def packed(folder: Path, contents: Mapping[str, bytes] = CONTENTS) -> dict[Path, v1.Model]:
    """The archives of a model with an audit, and of one without, by path.

    Args:
        folder: Where they are written.
        contents: The files of the audit.
    """
    files = [
        v1.AuditFile(format=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in contents.items()
    ]
    audit = v1.Audit(id=AUDIT, data_set="chairs", pictures=9, flags={"flagged": 1, "not_detected": 2}, files=files)
    models = [v1.Model(name=MODEL, version="1", labels=["cat"], audit=audit), v1.Model(name=BARE, version="1")]
    archives = {folder / f"{model.name}-1.mar": model for model in models}
    for path, model in archives.items():
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("manifest.json", json_format.MessageToJson(model))
            for name, content in contents.items() if model.HasField("audit") else ():
                archive.writestr(f"audit.{name}", content)
    return archives


def serving(archives: Mapping[Path, v1.Model], audits: AuditFiles, spool: Spool) -> Gateway:
    """A gateway that answers questions about models and audits alone."""
    return Gateway(Deployment(archives.values(), InTurn([]), audits), Metrics(), spool, max_image_bytes=1000)
