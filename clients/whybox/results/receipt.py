"""How long the answer took, and what is needed to get it again."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PartTiming:
    """How long one part took.

    Attributes:
        part: Name of the part, for example "explanations[0]".
        total_ms: Milliseconds until its answer, with queueing and batching.
        compute_ms: Milliseconds in the worker; 0 if no worker answered, or if `cached`.
        cached: Whether the part was computed for another call for the same, and kept by the server.
    """

    part: str
    total_ms: float
    compute_ms: float
    cached: bool = False


@dataclass(frozen=True)
class Timings:
    """Milliseconds from the arrival of the request at the server until the answer was ready, in total and per part."""

    total_ms: float
    parts: tuple[PartTiming, ...]


@dataclass(frozen=True)
class Receipt:
    """What is needed to get the same answer again; digests are SHA-256 in lower-case hexadecimal.

    Attributes:
        weights_sha256: Digest of the model's weights.
        onnx_sha256: Digest of its ONNX form.
        preprocessing_sha256: Digest of its preprocessing.
        labels_sha256: Digest of its labels.
        image_sha256: Digest of the encoded picture as it was sent.
        parameters: The request without its pictures, with all defaults filled in, as JSON with sorted keys.
        parameters_sha256: Digest of `parameters`.
        seed: Seed of every method that samples.
        whybox_version: Version of the server.
        runtime: Versions of the libraries that computed the answer, by name; "device" is "cpu" or the accelerator's
            name, "gradient" is what computed gradients.
        baseline_sha256: Digests of the caller's own baselines as they were sent, by `Explanation.index`.
        bank_sha256: Digest of the findings, distances and thresholds of the packed audit; bias flags, percentiles and
            prediction sets rest on them. Empty without an audit.
        references_sha256: Digests of the files of the audited pictures, by name; the method "example" rests on them.
            Empty without any.
        gradient_sha256: Digest of the compiled graph of its gradient. Empty if torch computes gradients.
    """

    weights_sha256: str
    onnx_sha256: str
    preprocessing_sha256: str
    labels_sha256: str
    image_sha256: str
    parameters: str
    parameters_sha256: str
    seed: int
    whybox_version: str
    runtime: Mapping[str, str]
    baseline_sha256: Mapping[int, str]
    bank_sha256: str
    references_sha256: Mapping[str, str]
    gradient_sha256: str
