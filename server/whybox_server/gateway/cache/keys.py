"""Keys: digests of everything that a part of an answer rests on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from whybox import v1
from whybox.v1.vocabulary import DEADLINE
from whybox_server.gateway.units import Unit


@dataclass(frozen=True)
class Source:
    """What the parts of one call have in common.

    Attributes:
        caller: Whose call it is: callers never share.
        model: The manifest of the model, with its version and the digests of its archive and of its audit.
        others: The other served models.
        image_sha256: Digest of the encoded picture.
    """

    caller: str
    model: v1.Model
    others: Sequence[v1.Model]
    image_sha256: str


def key(entry: Unit, source: Source) -> bytes | None:
    """The key of a unit of one part, or of one entry of a repeated part; 32 bytes.

    None for a part whose parameters depend on the time that its call has. The versions of the libraries are not known
    before a worker answers; see `Cache`.
    """
    if entry.request.robustness.budget == DEADLINE:
        return None
    request = v1.AnalyzeRequest()
    request.CopyFrom(entry.request)
    # The manifest says which version a request means that names none.
    request.ClearField("version")
    models = [source.model, *(source.others if request.robustness.transfer else ())]
    rests_on = [source.caller.encode(), source.image_sha256.encode(), _serialized(request), *map(_serialized, models)]
    # Digests have one length, so that no two lists run together to the same bytes.
    return hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in rests_on)).digest()


def _serialized(message: v1.AnalyzeRequest | v1.Model) -> bytes:
    return message.SerializeToString(deterministic=True)
