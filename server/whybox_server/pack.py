"""Packing: from a model spec to the archive that TorchServe serves."""

import hashlib
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from google.protobuf import json_format
from model_archiver.model_archiver_config import ModelArchiverConfig
from model_archiver.model_packaging_utils import ModelExportUtils

from whybox import v1
from whybox_handlers import networks, pictures
from whybox_handlers.attacks import ATTACKS
from whybox_handlers.classifier import MANIFEST, ONNX, WEIGHTS, Classifier, Differentiable, differentiable
from whybox_handlers.explainers import EXPLAINERS
from whybox_handlers.spec import ModelSpec, SpecError, load_spec
from whybox_server.archives import ArchiveError, read_manifest

# ONNX Runtime and torch round differently; more than this on a logit means that the export is wrong.
MAX_LOGIT_DIFFERENCE = 1e-3
_TOP = 5

__all__ = ["PackError", "Packed", "SpecError", "pack"]

_ENTRY = "whybox_entry.py"
# TorchServe wants exactly one class defined in the entry file.
_ENTRY_CODE = '''"""The only code in this archive; everything else comes from the installed whybox_handlers."""

from whybox_handlers.handler import Handler


class Entry(Handler):
    """Answers this archive's requests."""
'''


class PackError(Exception):
    """The model must not be served: its ONNX export does not agree with torch."""


@dataclass(frozen=True)
class Packed:
    """Outcome of a pack.

    Attributes:
        archive: The .mar file.
        model: Its manifest.
        fresh: False where the archive was there already, built from the same inputs.
    """

    archive: Path
    model: v1.Model
    fresh: bool


def pack(spec_path: Path, store: Path, report: Callable[[str], None]) -> Packed:
    """Builds the archive of a spec, unless it is there already.

    Args:
        spec_path: The YAML file.
        store: Folder for the archive; created where missing.
        report: Told, in a few words, what goes on.

    Raises:
        SpecError: The spec is wrong.
        PackError: ONNX Runtime and torch disagree on the check pictures.
    """
    spec = load_spec(spec_path)
    weights = spec.weights.path().read_bytes()
    model = _manifest(spec, weights)
    archive = store / f"{spec.name}.mar"
    if _inputs_of(archive) == model.digests.inputs_sha256:
        return Packed(archive, read_manifest(archive), fresh=False)
    store.mkdir(parents=True, exist_ok=True)
    # Built beside its place, so that the finished archive appears there all at once.
    with tempfile.TemporaryDirectory(dir=store, prefix=".pack-") as temporary:
        content = Path(temporary, "content")
        content.mkdir()
        (content / WEIGHTS).write_bytes(weights)
        network = differentiable(model, content / WEIGHTS)
        report("exporting to ONNX")
        onnx = _export(network, spec.crop)
        model.digests.onnx_sha256 = _sha256(onnx)
        (content / ONNX).write_bytes(onnx)
        classifier = Classifier(model, network, onnx, torch.device("cpu"))
        _check(classifier, spec.check_pictures.paths(), report)
        (content / MANIFEST).write_text(json_format.MessageToJson(model, preserving_proto_field_name=True))
        (content / _ENTRY).write_text(_ENTRY_CODE)
        report("writing the archive")
        _archive(spec, content, Path(temporary)).replace(archive)
    return Packed(archive, read_manifest(archive), fresh=True)


def _manifest(spec: ModelSpec, weights: bytes) -> v1.Model:
    """All that is known before the export."""
    labels = networks.labels(spec.labels)
    model = v1.Model(
        name=spec.name,
        version=spec.version,
        title=spec.title,
        architecture=spec.architecture,
        preprocessing=v1.Preprocessing(resize=spec.resize, crop=spec.crop, mean=spec.mean, std=spec.std),
        num_classes=len(labels),
        labels=labels,
        methods=[
            v1.Method(name=name, summary=row.summary, reference=row.reference, options=row.options)
            for name, row in EXPLAINERS.items()
        ],
        norms=ATTACKS,
    )
    digests = model.digests
    digests.weights_sha256 = _sha256(weights)
    digests.preprocessing_sha256 = _sha256(model.preprocessing.SerializeToString(deterministic=True))
    digests.labels_sha256 = _sha256("\n".join(labels).encode())
    model.packing_check.runtime.update({library: version(library) for library in ("torch", "onnxruntime-gpu")})
    checked = b"".join(path.read_bytes() for path in spec.check_pictures.paths())
    digests.inputs_sha256 = _sha256(model.SerializeToString(deterministic=True) + _ENTRY_CODE.encode() + checked)
    return model


def _inputs_of(archive: Path) -> str | None:
    """Digest of what an archive was built from; None where there is none that can be read."""
    try:
        return read_manifest(archive).digests.inputs_sha256
    except ArchiveError:
        return None


def _export(network: Differentiable, crop: int) -> bytes:
    """The network as ONNX: "pictures" [N, 3, crop, crop] in [0, 1] to "logits" [N, classes], for any N."""
    # Two pictures: a batch of one would be taken for a constant.
    example = torch.zeros(2, 3, crop, crop)
    program = torch.onnx.export(
        network,
        (example,),
        input_names=["pictures"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise PackError("torch exported nothing")
    return program.model_proto.SerializeToString()


def _check(classifier: Classifier, paths: Iterable[Path], report: Callable[[str], None]) -> None:
    """Compares the two networks on real pictures and notes the outcome in the manifest."""
    model = classifier.model
    worst, count = 0.0, 0
    for path in paths:
        report(f"comparing ONNX Runtime with torch on {path.name}")
        picture = pictures.decode(path.read_bytes())
        view, _ = pictures.preprocess(picture, model.preprocessing.resize, model.preprocessing.crop)
        served = classifier.serve(view.unsqueeze(0))[0]
        with torch.no_grad():
            expected = classifier.network(view.unsqueeze(0))[0].numpy()
        difference = float(np.abs(served - expected).max())
        if not difference <= MAX_LOGIT_DIFFERENCE:
            raise PackError(f"{path.name}: a logit differs by {difference:.2g} (at most {MAX_LOGIT_DIFFERENCE:g})")
        if not np.array_equal(np.argsort(-served)[:_TOP], np.argsort(-expected)[:_TOP]):
            raise PackError(f"{path.name}: the {_TOP} most probable classes differ")
        worst, count = max(worst, difference), count + 1
    model.packing_check.pictures = count
    model.packing_check.max_logit_difference = worst


def _archive(spec: ModelSpec, content: Path, folder: Path) -> Path:
    """Zips the content with TorchServe's own manifest."""
    config = ModelArchiverConfig(
        model_name=spec.name, version=spec.version, handler=_ENTRY, serialized_file=WEIGHTS, export_path=str(folder)
    )
    # Not `package_model`, which copies everything through a folder of the model's name in /tmp that it first deletes.
    manifest = ModelExportUtils.generate_manifest_json(config)
    ModelExportUtils.archive(str(folder), spec.name, str(content), manifest, archive_format="zip-store")
    return folder / f"{spec.name}.mar"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
