"""What every part of an answer is computed for."""

from dataclasses import dataclass

from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject


@dataclass(frozen=True)
class Case:
    """One picture that one model is asked about.

    Attributes:
        classifier: The model.
        subject: The picture, looked at.
        seed: Seed of the request, for everything random.
        request_id: Names the request in the log.
        image_sha256: Digest of the encoded picture; empty if it does not matter, or if there is none.
    """

    classifier: Classifier
    subject: Subject
    seed: int = 0
    request_id: str = ""
    image_sha256: str = ""
