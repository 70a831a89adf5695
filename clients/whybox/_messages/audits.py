"""The files of an audit, checked against what the server says of them."""

import hashlib
import json
from collections.abc import Mapping

from google.protobuf import json_format

from whybox import results, v1
from whybox._messages.bias import read_flag
from whybox._messages.fields import malformed


def read_report(audit: results.Audit, contents: Mapping[str, bytes]) -> results.AuditReport:
    """The value of an audit with its files.

    Args:
        audit: What the server says of it.
        contents: The files by their format; "json" always.

    Raises:
        InternalError: A file is not the one that the server lists, or has no flags.
    """
    digests = {file.format: file.sha256 for file in audit.files}
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != digests.get(name):
            raise malformed(f"is not the file {name} of audit {audit.id} that it lists")
    try:
        texts = {name: content.decode() for name, content in contents.items()}
        flags = [
            # A later audit may say more.
            json_format.ParseDict(entry, v1.BiasFlag(), ignore_unknown_fields=True)
            for entry in json.loads(texts["json"])["flags"]
        ]
    except (ValueError, LookupError, TypeError, json_format.ParseError) as error:
        raise malformed(f"cannot be read as audit {audit.id} ({error})") from error
    return results.AuditReport(
        audit=audit,
        flags=tuple(read_flag(flag) for flag in flags),
        json=texts["json"],
        html=texts.get("html"),
    )
