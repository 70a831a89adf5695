"""Packing: from a model spec to the archive that TorchServe serves."""

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch
from google.protobuf import json_format
from model_archiver.model_archiver_config import ModelArchiverConfig
from model_archiver.model_packaging_utils import ModelExportUtils
from torch import Tensor

import whybox_handlers
from whybox import v1
from whybox.v1.errors import WhyboxError
from whybox_handlers.explanations.examples import EXAMPLE, example_method
from whybox_handlers.explanations.explainers import EXPLAINERS
from whybox_handlers.models.classifier import BANK, GRADIENT, MANIFEST, ONNX, WEIGHTS, Classifier
from whybox_handlers.models.differentiable import Differentiable, differentiable
from whybox_handlers.models.digests import sha256, sha256_of
from whybox_handlers.models.labels import read_labels
from whybox_handlers.models.runtimes.differentiators import Runtime, runs, version_of
from whybox_handlers.models.runtimes.serving import OnnxServing
from whybox_handlers.models.spec import ModelSpec, SpecError, load_spec
from whybox_handlers.models.weights import read_weights
from whybox_handlers.packing.attack_checks import check_attacks
from whybox_handlers.packing.banks import attach
from whybox_handlers.packing.batch_sizes import find_batch_sizes
from whybox_handlers.packing.budgets import budget_of, count_multiply_adds
from whybox_handlers.packing.check_pictures import read_views
from whybox_handlers.packing.checks import compare_logits, compare_maps, randomise_methods
from whybox_handlers.packing.gradients import compile_gradient
from whybox_handlers.packing.onnx_export import export
from whybox_handlers.packing.refusals import PackError, refuse_constant, refuse_crop, refuse_probabilities, refuse_size
from whybox_handlers.packing.side_by_side import one_thread
from whybox_handlers.packing.trials import try_methods
from whybox_handlers.robustness.attacks import ATTACKS, NORMS
from whybox_handlers.robustness.corruptions import CORRUPTIONS
from whybox_handlers.robustness.verdict import objections_to_attacks
from whybox_server.validation.archives import ArchiveError, archive_name, audit_member, read_manifest

__all__ = ["PackError", "Packed", "SpecError", "pack_model"]

Checks = Literal["all", "export"]
KeptBank = Literal["kept", "none"]
_ATTACK_CHECK_PICTURES = 4
# Modules that neither packing nor a worker runs.
_NOT_PACKED = ("audits", "replay.py", "notebook.py")
_ENTRY = "whybox_entry.py"
# TorchServe requires exactly one class in the entry file.
_ENTRY_CODE = '''"""The only code in this archive; everything else comes from the installed whybox_handlers."""

from whybox_handlers.handler import Handler


class Entry(Handler):
    """Answers this archive's requests."""
'''


@dataclass(frozen=True)
class Packed:
    """Outcome of a pack.

    Attributes:
        archive: The .mar file.
        model: Its manifest.
        fresh: False if the archive existed already, built from the same inputs.
    """

    archive: Path
    model: v1.Model
    fresh: bool


def pack_model(
    spec_path: Path,
    store: Path,
    report: Callable[[str], None],
    checks: Checks = "all",
    bank: v1.Bank | KeptBank = "kept",
    *,
    allow_stale: bool = False,
    audit_files: Mapping[str, bytes] | None = None,
    references: Path | None = None,
) -> Packed:
    """Builds the archive of a spec, unless one exists that was built from the same inputs.

    If only the bank differs from that of an existing archive, nothing is checked again.

    Args:
        spec_path: The YAML file.
        store: Folder for the archive; created if it is missing.
        report: Called with each step, in a few words.
        checks: "export" leaves out the tests of methods and attacks, which the manifest says; "all" makes up for them.
        bank: The findings of an audit of the model. "kept" are those of the archive that is there, if it has any; with
            "none" the new one has none.
        allow_stale: See `attach`.
        audit_files: The files that `bank.audit` lists, by their format. Callers of the server can read them.
        references: Folder with the files of `bank.audit.references`; None if it has none.

    Raises:
        SpecError: The spec is wrong, or names files that cannot be used. Its message begins with the spec's file.
        PackError: The network must not be served, or the archive cannot be written. Its message begins likewise.
    """
    spec = load_spec(spec_path)
    try:
        return _pack(
            spec, store, report, checks, bank, audit_files or {}, allow_stale=allow_stale, references=references
        )
    except (SpecError, PackError) as error:
        raise type(error)(f"{spec_path}: {error}") from error
    except (OSError, WhyboxError, zipfile.BadZipFile) as error:
        # A file cannot be used, or a method or an attack cannot work.
        raise PackError(f"{spec_path}: {error}") from error


def _pack(
    spec: ModelSpec,
    store: Path,
    report: Callable[[str], None],
    checks: Checks,
    bank: v1.Bank | KeptBank,
    audit_files: Mapping[str, bytes],
    *,
    allow_stale: bool,
    references: Path | None,
) -> Packed:
    """As `pack_model`, for a spec that has been read; its errors do not name the spec's file."""
    weights = spec.weights.path().read_bytes()
    model = _manifest(spec, weights)
    network = differentiable(model, read_weights(spec.weights.path()))
    refuse_size(network)
    refuse_crop(network, spec.crop, model.num_classes)
    model.methods.extend(_methods(network, spec.enabled, spec.crop))
    complete = _inputs(model, spec, "all")
    model.digests.inputs_sha256 = _inputs(model, spec, checks)
    archive = store / archive_name(spec.name, spec.version)
    there = _manifest_of(archive)
    checked = there.digests.inputs_sha256 in (complete, model.digests.inputs_sha256)
    if checked and bank == "kept":
        return Packed(archive, there, fresh=False)
    # After the digest of the inputs: another bank makes no check invalid.
    chosen = _chosen(bank, archive, there)
    findings = None if chosen is None else attach(chosen, model, allow_stale=allow_stale)
    if checked:
        if there.audit == model.audit:
            return Packed(archive, there, fresh=False)
        report("replacing the bank")
        networks = {ONNX: _content(archive, ONNX, there.digests.onnx_sha256)}
        if there.digests.gradient_sha256:
            networks[GRADIENT] = _content(archive, GRADIENT, there.digests.gradient_sha256)
        there.ClearField("audit")
        if findings is not None:
            there.audit.CopyFrom(model.audit)
        model = there
    else:
        store.mkdir(parents=True, exist_ok=True)
        views = read_views(spec)
        refuse_constant(network, views.values())
        report("exporting to ONNX")
        onnx = export(network, spec.crop)
        refuse_probabilities(onnx)
        model.digests.onnx_sha256 = sha256(onnx)
        networks = {ONNX: onnx}
        gradient = _check(model, network, onnx, views, spec.gradient, report, checks)
        if gradient is not None:
            networks[GRADIENT] = gradient
    _note_examples(model)
    report("writing the archive")
    manifest = json_format.MessageToJson(model, preserving_proto_field_name=True).encode()
    contents = {WEIGHTS: weights, **networks, MANIFEST: manifest, _ENTRY: _ENTRY_CODE.encode()}
    if findings is not None:
        contents[BANK] = findings
        contents |= _audit_files(model.audit, audit_files, archive)
    # Built beside its place, so that the archive appears there only when it is complete.
    with tempfile.TemporaryDirectory(dir=store, prefix=".pack-") as temporary:
        folder = Path(temporary, "content")
        folder.mkdir()
        for name, data in contents.items():
            (folder / name).write_bytes(data)
        if model.audit.HasField("references"):
            _put_references(model.audit.references, references or archive, folder)
        _archive(spec, folder, Path(temporary)).replace(archive)
    return Packed(archive, read_manifest(archive), fresh=True)


def _manifest(spec: ModelSpec, weights: bytes) -> v1.Model:
    """The manifest as far as it is known before the network is built."""
    labels = read_labels(spec.labels)
    model = v1.Model(
        name=spec.name,
        version=spec.version,
        title=spec.title,
        architecture=spec.architecture,
        preprocessing=v1.Preprocessing(resize=spec.resize, crop=spec.crop, mean=spec.mean, std=spec.std),
        num_classes=len(labels),
        labels=labels,
        norms=NORMS,
        attacks=[
            v1.Attack(
                name=name,
                summary=attack.summary,
                reference=attack.reference,
                norms=attack.norms,
                evaluations=attack.evaluations,
            )
            for name, attack in ATTACKS.items()
        ],
        default_attack=next(iter(ATTACKS)),
        corruptions=[
            v1.CorruptionKind(
                name=name,
                group=corruption.group,
                summary=corruption.summary,
                severities=len(corruption.strengths),
            )
            for name, corruption in CORRUPTIONS.items()
        ],
    )
    digests = model.digests
    digests.weights_sha256 = sha256(weights)
    digests.preprocessing_sha256 = sha256(model.preprocessing.SerializeToString(deterministic=True))
    digests.labels_sha256 = sha256("\n".join(labels).encode())
    model.packing_check.runtime.update({name: version(name) for name in ("torch", "onnxruntime-gpu", "captum")})
    if runs("openvino"):
        model.packing_check.runtime["openvino"] = version_of("openvino")
    return model


def _methods(network: Differentiable, enabled: Collection[str], crop: int) -> list[v1.Method]:
    """The registry's entry for each explainer, whether this network offers it, and the shape of its maps.

    Raises:
        SpecError: `enabled` names an unknown explainer.
    """
    for name in enabled:
        if name not in EXPLAINERS:
            raise SpecError(f"methods.enable: {name!r} is not one of {', '.join(EXPLAINERS)}")
    with torch.no_grad():
        _, *maps = network.stages(torch.zeros(1, 3, crop, crop))
    cells = tuple(maps[0].shape[2:]) if maps else None
    return [
        v1.Method(
            name=name,
            summary=row.summary,
            reference=row.reference,
            options=row.options,
            evaluations=row.evaluations,
            default_evaluations=row.default_evaluations,
            min_evaluations=row.min_evaluations,
            default_tolerance=row.default_tolerance or 0.0,
            default_baseline=row.default_baseline,
            unavailable=row.unavailable_for(network, enabled, name),
            map_shape=row.map_shape(crop, cells),
        )
        for name, row in EXPLAINERS.items()
    ]


def _note_examples(model: v1.Model) -> None:
    """Enters the method that rests on the bank, which may have changed, behind those that the network decides about."""
    others = [method for method in model.methods if method.name != EXAMPLE]
    del model.methods[:]
    model.methods.extend([*others, example_method(model)])


def _put_references(references: v1.References, source: Path, folder: Path) -> None:
    """Copies the files of the audited pictures from a folder, or from the archive that holds them."""
    for name, digest in references.sha256.items():
        if source.is_dir():
            shutil.copyfile(source / name, folder / name)
        else:
            with zipfile.ZipFile(source) as files:
                files.extract(name, folder)
        if sha256_of(folder / name) != digest:
            raise PackError(f"{source} is damaged: {name} is not the file that was packed; pack the bank again")


def _inputs(model: v1.Model, spec: ModelSpec, checks: Checks) -> str:
    """Digest of all that the archive depends on: the manifest so far, the check pictures, the checks and the code.

    The code of the handlers is included because the manifest holds the outcomes of tests that ran it.
    """
    tested = b"".join(path.read_bytes() for path in [*spec.check_pictures.paths(), *_code()])
    return sha256(
        model.SerializeToString(deterministic=True) + f"{_ENTRY_CODE}{checks}{spec.gradient}".encode() + tested
    )


def _code() -> list[Path]:
    """The modules of the handlers that packing and serving use: a change of the others must not repack every model."""
    [root] = map(Path, whybox_handlers.__path__)
    return sorted(path for path in root.rglob("*.py") if path.relative_to(root).parts[0] not in _NOT_PACKED)


def _manifest_of(archive: Path) -> v1.Model:
    """The manifest of an archive; an empty one if it is missing or cannot be read."""
    try:
        return read_manifest(archive)
    except ArchiveError:
        return v1.Model()


def _chosen(bank: v1.Bank | KeptBank, archive: Path, there: v1.Model) -> v1.Bank | None:
    """The bank to pack, from the archive that is there if it is to be kept; None for none."""
    if isinstance(bank, v1.Bank):
        return bank
    if bank == "none" or not there.HasField("audit"):
        return None
    kept = v1.Bank.FromString(_content(archive, BANK, there.audit.bank_sha256))
    kept.audit.CopyFrom(there.audit)
    return kept


def _audit_files(audit: v1.Audit, given: Mapping[str, bytes], archive: Path) -> dict[str, bytes]:
    """The files of an audit by their names in an archive; of a bank that is kept, from the archive that is there."""
    names = {file.format: audit_member(file.format) for file in audit.files}
    if given:
        return {name: given[format_] for format_, name in names.items()}
    return {names[file.format]: _content(archive, names[file.format], file.sha256) for file in audit.files}


def _content(archive: Path, name: str, digest: str) -> bytes:
    """A file in an archive."""
    with zipfile.ZipFile(archive) as files:
        content = files.read(name) if name in files.namelist() else b""
    if sha256(content) != digest:
        raise PackError(f"{archive} is damaged: {name} is not the file that was packed; delete the archive")
    return content


def _check(
    model: v1.Model,
    network: Differentiable,
    onnx: bytes,
    views: Mapping[str, Tensor],
    pinned: Runtime | None,
    report: Callable[[str], None],
    checks: Checks,
) -> bytes | None:
    """Compares and tests on real pictures, notes the outcomes in the manifest, and returns the compiled gradient."""
    cpu = torch.device("cpu")
    stacked = torch.stack([*views.values()])
    with one_thread() as cores:
        classifier = Classifier(model, network, OnnxServing(onnx, cpu), cpu)
    compare_logits(classifier, views, report)
    try_methods(classifier, stacked[0], report)
    # Captum computes with torch: so do we, where the two are compared.
    compare_maps(classifier, stacked[0], report)
    gradient = compile_gradient(classifier, stacked, pinned, cores, report)
    find_batch_sizes(classifier, stacked, report)
    if checks == "export":
        model.attack_check.reasons.extend(objections_to_attacks(model.attack_check))
        return gradient
    multiply_adds = count_multiply_adds(network, model.preprocessing.crop)
    model.packing_check.multiply_adds = multiply_adds
    budget = budget_of(multiply_adds)
    randomise_methods(classifier, stacked, budget, report)
    check_attacks(classifier, stacked[:_ATTACK_CHECK_PICTURES], budget, report)
    return gradient


def _archive(spec: ModelSpec, content: Path, folder: Path) -> Path:
    """Zips the content with TorchServe's own manifest."""
    config = ModelArchiverConfig(
        model_name=spec.name, version=spec.version, handler=_ENTRY, serialized_file=WEIGHTS, export_path=str(folder)
    )
    # `package_model` would copy everything through a folder of the model's name in /tmp, which it deletes first.
    manifest = ModelExportUtils.generate_manifest_json(config)
    ModelExportUtils.archive(str(folder), spec.name, str(content), manifest, archive_format="zip-store")
    return folder / f"{spec.name}.mar"
