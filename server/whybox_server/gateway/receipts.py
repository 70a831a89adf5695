"""Receipts: what is needed to get the same answer again."""

import hashlib
import json
from functools import lru_cache
from importlib.metadata import version

from google.protobuf import json_format

from whybox import v1

# Read once: `version` parses the metadata of the package, 14 % of the samples in a profile of the gateway.
_VERSION = version("whybox")
# Requests whose text is remembered; each has a few kB at most, without pictures.
_REMEMBERED = 256


def receipt(request: v1.AnalyzeRequest, picture: bytes, model: v1.Model) -> v1.Receipt:
    """The receipt of a validated request; the runtime is added by the worker that computes.

    Args:
        request: With every default filled in, without the picture.
        picture: The encoded picture.
        model: The manifest of the model that answers.
    """
    parameters = v1.AnalyzeRequest()
    parameters.CopyFrom(request)
    baselines = {}
    for index, options in enumerate(parameters.explanations):
        if options.baseline_image:
            baselines[index] = hashlib.sha256(options.baseline_image).hexdigest()
            options.ClearField("baseline_image")
    text, digest = _told(parameters.SerializeToString(deterministic=True))
    return v1.Receipt(
        weights_sha256=model.digests.weights_sha256,
        onnx_sha256=model.digests.onnx_sha256,
        preprocessing_sha256=model.digests.preprocessing_sha256,
        labels_sha256=model.digests.labels_sha256,
        image_sha256=hashlib.sha256(picture).hexdigest(),
        parameters=text,
        parameters_sha256=digest,
        seed=request.seed,
        whybox_version=_VERSION,
        baseline_sha256=baselines,
        bank_sha256=model.audit.bank_sha256,
        references_sha256=model.audit.references.sha256,
        gradient_sha256=model.digests.gradient_sha256,
    )


@lru_cache(_REMEMBERED)
def _told(parameters: bytes) -> tuple[str, str]:
    """The text of a request's parameters, and its SHA-256: most requests ask for the same."""
    request = v1.AnalyzeRequest.FromString(parameters)
    text = json.dumps(json_format.MessageToDict(request, preserving_proto_field_name=True), sort_keys=True)
    return text, hashlib.sha256(text.encode()).hexdigest()
