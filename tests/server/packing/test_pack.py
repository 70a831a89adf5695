"""Packing: what the archive holds, when it is built anew, and that a wrong export is refused."""

import hashlib
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from google.protobuf import json_format
from torch import Tensor

import whybox_handlers
from explaining import explained, question_of
from whybox import v1
from whybox_handlers.bias.flags import findings
from whybox_handlers.explanations.examples import EXAMPLE, example_method
from whybox_handlers.explanations.explainers import EXPLAINERS
from whybox_handlers.models.archives import load_archive
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.models.subject import Subject
from whybox_handlers.packing.budgets import budget_of
from whybox_handlers.packing.peers import PEERS
from whybox_handlers.references import FILES, INDEX, ORDINARY, ReferenceWriter
from whybox_handlers.robustness.attacks import ATTACKS
from whybox_handlers.robustness.corruptions import CORRUPTIONS
from whybox_server.packing import pack
from whybox_server.packing.pack import PackError, SpecError, pack_model
from whybox_server.validation.archives import read_manifest


@pytest.fixture(scope="session")
def exported(archive: Path) -> bytes:
    """The ONNX network of the default model."""
    with zipfile.ZipFile(archive) as content:
        return content.read("network.onnx")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, exported: bytes) -> None:
    """Packing without its longest steps: the export is the session's, torch computes gradients, and no test is made."""
    monkeypatch.setattr(pack, "export", lambda *_: exported)
    monkeypatch.setattr(pack, "compile_gradient", lambda *_: None)
    monkeypatch.setattr(pack, "randomise_methods", lambda *_: None)
    monkeypatch.setattr(pack, "check_attacks", lambda *_: None)


@pytest.fixture
def unchecked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `quick`, and nothing is compared either: for tests of what is packed and when."""
    request.getfixturevalue("quick")
    monkeypatch.setattr(pack, "compare_logits", lambda *_: None)
    monkeypatch.setattr(pack, "try_methods", lambda *_: None)
    monkeypatch.setattr(pack, "compare_maps", lambda *_: None)


def test_the_archive_holds_what_was_promised(archive: Path) -> None:
    with zipfile.ZipFile(archive) as content:
        assert sorted(content.namelist()) == [
            "MAR-INF/MANIFEST.json",
            "gradient.onnx",
            "manifest.json",
            "network.onnx",
            "weights.pth",
            "whybox_entry.py",
        ]
        model = json_format.Parse(content.read("manifest.json"), v1.Model())
        for name, digest in (
            ("network.onnx", model.digests.onnx_sha256),
            ("gradient.onnx", model.digests.gradient_sha256),
            ("weights.pth", model.digests.weights_sha256),
        ):
            assert hashlib.sha256(content.read(name)).hexdigest() == digest
    assert (model.name, model.num_classes, len(model.labels)) == ("efficientnet-lite0", 1000, 1000)
    assert [method.name for method in model.methods] == [*EXPLAINERS, EXAMPLE]
    assert list(model.norms) == ["linf", "l2"]
    assert {attack.name for attack in model.attacks} == set(ATTACKS)
    assert [kind.name for kind in model.corruptions] == list(CORRUPTIONS)
    assert model.packing_check.pictures == 20
    assert 0 < model.packing_check.max_logit_difference < 1e-3
    assert 0 < model.packing_check.max_map_difference < 1e-3
    assert (model.batch_sizes.forward, model.batch_sizes.occluded, model.batch_sizes.gradient) == (4, 4, 1)
    assert model.batch_sizes.runtime["threads"] == "1"
    assert model.packing_check.multiply_adds == 385_187_552
    check, budget = model.attack_check, budget_of(385_187_552)
    assert (check.pictures, check.attacked) == (4, budget.attacked_pictures)
    spent = (check.gradient_evaluations, check.forward_evaluations, check.planted_evaluations)
    assert spent == (budget.gradient_evaluations, budget.forward_evaluations, budget.planted_evaluations)
    tested = {method.name: method.randomisation_test.evaluations for method in model.methods}
    assert [tested[name] for name in ("saliency", "smooth_grad", "integrated_gradients", "rise")] == [1, 8, 8, 128]
    # Two pairs for each of at most 25 superpixels, and the rest of the batch that completes them.
    assert 64 <= tested["kernel_shap"] <= 1 + 2 * 2 * 25 + 16


def test_methods_are_those_of_the_registry(archive: Path) -> None:
    for method in read_manifest(archive).methods:
        if method.name == EXAMPLE:
            assert method == example_method(v1.Model())
            continue
        row = EXPLAINERS[method.name]
        assert (method.summary, method.reference, tuple(method.options)) == (row.summary, row.reference, row.options)
        assert (method.evaluations, method.default_evaluations) == (row.evaluations, row.default_evaluations)
        assert (method.min_evaluations, method.default_baseline) == (row.min_evaluations, row.default_baseline)
        assert method.default_tolerance == (row.default_tolerance or 0)
        assert method.unavailable == row.off_by_default
        assert tuple(method.map_shape) == row.map_shape(224, (7, 7))


def test_the_randomisation_test_is_in_the_manifest(archive: Path) -> None:
    tested = {method.name: method.randomisation_test for method in read_manifest(archive).methods}
    assert not tested["guided_grad_cam"].passed
    for name in ("saliency", "grad_cam", "integrated_gradients", "input_x_gradient"):
        assert tested[name].passed
        assert 0 < tested[name].similarity < tested[name].threshold == 0.5
        assert tested[name].pictures >= 1


def test_the_exported_network_has_logits_and_maps(archive: Path) -> None:
    with zipfile.ZipFile(archive) as content:
        session = onnxruntime.InferenceSession(content.read("network.onnx"), providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["pictures"]
    assert [each.name for each in session.get_outputs()] == ["logits", "maps"]
    classifier = load_archive(archive)
    for number in (1, 3):
        pictures = torch.rand(number, 3, 224, 224, generator=torch.Generator().manual_seed(0))
        for served, computed in zip(classifier.look(pictures), classifier.network.stages(pictures), strict=True):
            torch.testing.assert_close(served, computed, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", ["saliency", "grad_cam", "guided_grad_cam", "deep_lift", "integrated_gradients"])
def test_whatever_is_asked_first_is_answered_as_later(method: str, archive: Path, dalmatian: bytes) -> None:
    """Torch and the compiled gradient are loaded at their first use, when the folder of the archive is gone."""
    classifier = load_archive(archive)
    subject = Subject.of(classifier, dalmatian)
    question = question_of(classifier, subject.picture, subject.predicted)

    def values() -> Tensor:
        return explained(classifier, method, question, EXPLAINERS[method].min_evaluations).values

    first = values()
    assert float(first.abs().max()) > 0
    assert torch.equal(values(), first)
    assert classifier.network.training is False
    assert torch.equal(values(), first)


@pytest.mark.parametrize("threads", [1, 2])
def test_batch_sizes_count_where_they_were_found(archive: Path, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        loaded = load_archive(archive)
    finally:
        torch.set_num_threads(before)
    assert loaded.batch_sizes == (loaded.model.batch_sizes if threads == 1 else v1.BatchSizes())


def test_packing_again_does_nothing(archive: Path, spec_path: Path) -> None:
    before = archive.stat()
    said: list[str] = []
    packed = pack_model(spec_path, archive.parent, said.append)
    assert not packed.fresh
    assert not said
    assert packed.model == read_manifest(archive)
    assert (archive.stat().st_mtime_ns, archive.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda logits: logits + 2e-3, "a logit differs by 0.002"),
        (lambda logits: logits * torch.nan, "a logit differs by nan"),
    ],
)
def test_a_wrong_export_is_refused(
    spoil: Callable[[Tensor], Tensor], words: str, spec_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve = Classifier.serve
    monkeypatch.setattr(Classifier, "serve", lambda self, pictures: spoil(serve(self, pictures)))
    with pytest.raises(PackError, match=words):
        pack_model(spec_path, tmp_path, lambda _: None)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("method", ["saliency", "input_x_gradient", "grad_cam"])
def test_a_map_that_is_not_captums_is_refused(
    method: str, spec_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = PEERS[method]

    def spoilt(network: Differentiable, picture: Tensor, target: int) -> Tensor:
        theirs = peer(network, picture, target).detach()
        theirs.view(-1)[0] += 0.002 * (theirs.max() - theirs.min())
        return theirs

    monkeypatch.setitem(PEERS, method, spoilt)
    # The export is right, and comparing it on 20 pictures takes most of the time.
    monkeypatch.setattr(pack, "compare_logits", lambda *_: None)
    with pytest.raises(PackError, match=f"{method}: the map differs from Captum's by 0.002 of its range"):
        pack_model(spec_path, tmp_path, lambda _: None)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("unchecked")
def test_a_change_of_the_spec_packs_again(spec_path: Path, tmp_path: Path) -> None:
    entries = yaml.safe_load(spec_path.read_text())
    path = tmp_path / "model.yaml"
    for title, fresh in (("one", True), ("one", False), ("two", True)):
        path.write_text(yaml.safe_dump(entries | {"title": title}))
        packed = pack_model(path, tmp_path, lambda _: None)
        assert (packed.fresh, packed.model.title) == (fresh, title)


@pytest.mark.usefixtures("unchecked")
def test_a_spec_switches_methods_on(spec_path: Path, tmp_path: Path) -> None:
    entries = yaml.safe_load(spec_path.read_text())
    path = tmp_path / "model.yaml"
    for enable, offered in (([], False), (["guided_grad_cam"], True)):
        path.write_text(yaml.safe_dump(entries | {"methods": {"enable": enable}}))
        packed = pack_model(path, tmp_path, lambda _: None)
        assert packed.fresh
        (method,) = (method for method in packed.model.methods if method.name == "guided_grad_cam")
        assert (method.unavailable == "") == offered
    path.write_text(yaml.safe_dump(entries | {"methods": {"enable": ["gradcam"]}}))
    with pytest.raises(SpecError, match=r"model\.yaml: methods\.enable: 'gradcam' is not one of saliency, "):
        pack_model(path, tmp_path, lambda _: None)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changed", "packs"),
    [
        ("explanations/explainers/rise.py", True),
        ("models/classifier.py", True),
        ("handler.py", True),
        ("audits/robust_accuracy.py", False),
        ("replay.py", False),
        ("notebook.py", False),
    ],
)
def test_a_change_of_code_packs_again_where_packing_or_serving_runs_it(
    archive: Path, spec_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str, packs: bool
) -> None:
    """What the manifest tells of the methods was found out with that code."""
    code = shutil.copytree(Path(whybox_handlers.__path__[0]), tmp_path / "whybox_handlers")
    with (code / changed).open("a") as source:
        source.write("# other code\n")
    monkeypatch.setattr(whybox_handlers, "__path__", [str(code)])
    shutil.copy(archive, tmp_path)
    packed = pack_model(spec_path, tmp_path, lambda _: None)
    assert packed.fresh is packs
    digests = (packed.model.digests.inputs_sha256, read_manifest(archive).digests.inputs_sha256)
    assert (digests[0] != digests[1]) is packs


def bank(model: v1.Model, message: str = "Hats.", **digests: str) -> v1.Bank:
    """Findings of an audit of a model, or of one with other digests."""
    flag = v1.BiasFlag(state="flagged", attribute="hat", class_index=251, message=message)
    audited = v1.AuditedClass(class_index=251, findings=v1.Bias(flags=[flag]))
    audit = v1.Audit(id="a1", model=model.name, version=model.version, digests=model.digests)
    audit.digests.MergeFrom(v1.Digests(**digests))
    return v1.Bank(audit=audit, classes=[audited])


def without_audit(model: v1.Model) -> v1.Model:
    """All that a manifest says without its audit, on which the method `example` depends."""
    rest = v1.Model()
    rest.CopyFrom(model)
    rest.ClearField("audit")
    del rest.methods[:]
    rest.methods.extend(method for method in model.methods if method.name != EXAMPLE)
    return rest


def test_another_bank_is_packed_without_another_check(archive: Path, spec_path: Path, tmp_path: Path) -> None:
    """Nothing is exported, compared or tested; so the whole table takes seconds."""
    shutil.copy(archive, tmp_path)
    bare = read_manifest(archive)
    hats, caps, stale = bank(bare), bank(bare, "Caps."), bank(bare, weights_sha256="other")
    table: list[tuple[v1.Bank | pack.KeptBank, bool, list[str], list[str]]] = [
        ("kept", False, [], []),
        ("none", False, [], []),
        (hats, True, ["Hats."], []),
        (hats, False, ["Hats."], []),
        ("kept", False, ["Hats."], []),
        (caps, True, ["Caps."], []),
        ("none", True, [], []),
        ("none", False, [], []),
        (stale, True, ["Hats."], ["weights"]),
        ("kept", False, ["Hats."], ["weights"]),
    ]
    for given, fresh, messages, differences in table:
        said: list[str] = []
        packed = pack_model(spec_path, tmp_path, said.append, bank=given, allow_stale=given is stale)
        assert packed.fresh == fresh
        assert said == (["replacing the bank", "writing the archive"] if fresh else [])
        loaded = load_archive(packed.archive)
        assert packed.model == loaded.model
        assert packed.model.HasField("audit") == bool(messages)
        assert list(packed.model.audit.differences) == differences
        found = [flag.message for audited in loaded.audited.values() for flag in audited.findings.flags]
        assert found == messages
        states = [flag.state for flag in findings(loaded, v1.ClassScore(index=251), []).flags]
        assert states == ["not_audited" if not messages else "stale" if differences else "flagged"]
        assert without_audit(loaded.model) == without_audit(bare)


AUDIT_FILES = {"json": b'{"audit": "a1"}', "html": b"<!DOCTYPE html>"}


def with_files(bank: v1.Bank, **changed: bytes) -> dict[str, bytes]:
    """The files of an audit, which `bank` is made to list."""
    files = AUDIT_FILES | changed
    del bank.audit.files[:]
    for name, content in files.items():
        bank.audit.files.add(format=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
    return files


def packed_files(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as content:
        return {name: content.read(name) for name in content.namelist() if name.startswith("audit.")}


def test_the_files_of_an_audit_are_packed_kept_and_taken_out(archive: Path, spec_path: Path, tmp_path: Path) -> None:
    shutil.copy(archive, tmp_path)
    hats = bank(read_manifest(archive))
    files, expected = with_files(hats), {"audit.json": AUDIT_FILES["json"], "audit.html": AUDIT_FILES["html"]}
    other = bank(read_manifest(archive))
    other_files = with_files(other, html=b"another page")
    table: list[tuple[v1.Bank | pack.KeptBank, dict[str, bytes] | None, bool, dict[str, bytes]]] = [
        (hats, files, True, expected),
        (hats, files, False, expected),
        ("kept", None, False, expected),
        (other, other_files, True, expected | {"audit.html": b"another page"}),
        ("none", None, True, {}),
    ]
    for given, given_files, fresh, there in table:
        packed = pack_model(spec_path, tmp_path, lambda _: None, bank=given, audit_files=given_files)
        assert packed.fresh == fresh
        assert packed_files(packed.archive) == there
        assert {f"audit.{file.format}": file.size for file in packed.model.audit.files} == {
            name: len(content) for name, content in there.items()
        }
        # Workers load the model as before.
        assert load_archive(packed.archive).model == packed.model


@pytest.mark.usefixtures("unchecked")
def test_files_stay_when_the_model_is_packed_again(archive: Path, spec_path: Path, tmp_path: Path) -> None:
    entries = yaml.safe_load(spec_path.read_text())
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump(entries))
    hats = bank(read_manifest(archive))
    pack_model(path, tmp_path, lambda _: None, bank=hats, audit_files=with_files(hats))
    path.write_text(yaml.safe_dump(entries | {"title": "another"}))
    packed = pack_model(path, tmp_path, lambda _: None)
    assert packed.fresh
    assert packed_files(packed.archive) == {"audit.json": AUDIT_FILES["json"], "audit.html": AUDIT_FILES["html"]}
    with zipfile.ZipFile(packed.archive) as old, zipfile.ZipFile(tmp_path / "damaged", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + (b" " if name == "audit.html" else b""))
    (tmp_path / "damaged").replace(packed.archive)
    path.write_text(yaml.safe_dump(entries | {"title": "a third"}))
    with pytest.raises(PackError, match=r"is damaged: audit\.html is not the file that was packed"):
        pack_model(path, tmp_path, lambda _: None)


@pytest.mark.usefixtures("unchecked")
def test_a_bank_stays_when_the_model_is_packed_again(archive: Path, spec_path: Path, tmp_path: Path) -> None:
    """As long as it is an audit of the same network: a change of that must not pass unseen."""
    entries = yaml.safe_load(spec_path.read_text())
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump(entries))
    pack_model(path, tmp_path, lambda _: None, bank=bank(read_manifest(archive)))
    path.write_text(yaml.safe_dump(entries | {"title": "another"}))
    packed = pack_model(path, tmp_path, lambda _: None)
    assert (packed.fresh, packed.model.title, packed.model.audit.id) == (True, "another", "a1")
    entries["preprocessing"]["resize"] += 8
    path.write_text(yaml.safe_dump(entries))
    with pytest.raises(PackError, match=r"audit a1 is of .* with other preprocessing .*--allow-stale.*--no-bank"):
        pack_model(path, tmp_path, lambda _: None)
    packed = pack_model(path, tmp_path, lambda _: None, allow_stale=True)
    assert (packed.fresh, list(packed.model.audit.differences)) == (True, ["preprocessing"])
    assert not pack_model(path, tmp_path, lambda _: None, bank="none").model.HasField("audit")


@pytest.mark.usefixtures("unchecked")
def test_a_bank_is_packed_with_a_new_archive(archive: Path, spec_path: Path, tmp_path: Path) -> None:
    packed = pack_model(spec_path, tmp_path, lambda _: None, bank=bank(read_manifest(archive)))
    assert (packed.fresh, packed.model.audit.id) == (True, "a1")
    assert list(load_archive(packed.archive).audited) == [251]


def test_a_bank_of_another_model_leaves_the_archive_as_it_was(archive: Path, spec_path: Path, tmp_path: Path) -> None:
    shutil.copy(archive, tmp_path)
    other = bank(read_manifest(archive), preprocessing_sha256="other")
    with pytest.raises(
        PackError, match=rf"{spec_path.name}: audit a1 is of efficientnet-lite0 1\.0 with other preproc"
    ):
        pack_model(spec_path, tmp_path, lambda _: None, bank=other)
    assert (tmp_path / archive.name).read_bytes() == archive.read_bytes()


def test_a_damaged_archive_gets_no_bank(archive: Path, spec_path: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(tmp_path / archive.name, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + (b"\0" if name == "network.onnx" else b""))
    with pytest.raises(
        PackError, match=r"is damaged: network\.onnx is not the file that was packed; delete the archive"
    ):
        pack_model(spec_path, tmp_path, lambda _: None, bank=bank(read_manifest(archive)))


def pictured(model: v1.Model, folder: Path, ids: str = "ab") -> v1.Bank:
    """Findings with pictures, whose files are written into the folder."""
    writer = ReferenceWriter(folder, 1280)
    features = np.random.default_rng(0).random((len(ids), 1280), dtype=np.float32)
    writer.add(features, [v1.Neighbour(id=name) for name in ids], [ORDINARY] * len(ids))
    writer.finish()
    audited = bank(model)
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    audited.audit.references.CopyFrom(v1.References(pictures=len(ids), dimensions=1280, sha256=digests))
    return audited


@pytest.mark.usefixtures("unchecked")
def test_pictures_come_and_go_with_the_bank(archive: Path, spec_path: Path, tmp_path: Path) -> None:
    """They are copied from the folder, or kept from the archive; the method is offered as long as they are there."""
    bare, folder, another = read_manifest(archive), tmp_path / "bank", tmp_path / "another"
    folder.mkdir()
    another.mkdir()
    with_pictures, others = pictured(bare, folder), pictured(bare, another, "abc")
    spec = tmp_path / "model.yaml"
    entries = yaml.safe_load(spec_path.read_text())
    table: list[tuple[v1.Bank | pack.KeptBank, Path | None, str, bool, list[str]]] = [
        (with_pictures, folder, "title", True, ["a", "b"]),
        (with_pictures, folder, "title", False, ["a", "b"]),
        ("kept", None, "title", False, ["a", "b"]),
        ("kept", None, "another title", True, ["a", "b"]),
        (others, another, "another title", True, ["a", "b", "c"]),
        (bank(bare), None, "another title", True, []),
        ("none", None, "another title", True, []),
        (with_pictures, folder, "another title", True, ["a", "b"]),
    ]
    for given, place, title, fresh, ids in table:
        spec.write_text(yaml.safe_dump(entries | {"title": title}))
        packed = pack_model(spec, tmp_path, lambda _: None, bank=given, references=place)
        assert packed.fresh is fresh
        loaded = load_archive(packed.archive)
        found = [] if loaded.references is None else [loaded.references.record(key).id for key in range(len(ids))]
        assert (found, len(loaded.references or ())) == (ids, len(ids))
        *_, method = packed.model.methods
        assert (method.name, method.unavailable == "") == (EXAMPLE, bool(ids))
        assert len([each for each in packed.model.methods if each.name == EXAMPLE]) == 1
    packed = pack_model(spec, tmp_path, lambda _: None, bank=bank(bare, weights_sha256="other"), allow_stale=True)
    assert "packed with" not in packed.model.methods[-1].unavailable
    assert "other weights" in packed.model.methods[-1].unavailable


def test_pictures_that_were_not_those_of_the_bank_are_refused(archive: Path, spec_path: Path, tmp_path: Path) -> None:
    shutil.copy(archive, tmp_path)
    folder = tmp_path / "bank"
    folder.mkdir()
    audited = pictured(read_manifest(archive), folder)
    (folder / INDEX).write_bytes(b"spoilt")
    with pytest.raises(PackError, match=r"bank is damaged: references\.usearch is not the file"):
        pack_model(spec_path, tmp_path, lambda _: None, bank=audited, references=folder)


@pytest.mark.parametrize("spoilt", ["weights.pth", "network.onnx", "bank.binpb", *FILES])
def test_a_damaged_archive_is_not_loaded(archive: Path, spec_path: Path, tmp_path: Path, spoilt: str) -> None:
    shutil.copy(archive, tmp_path)
    folder = tmp_path / "bank"
    folder.mkdir()
    audited = pictured(read_manifest(archive), folder)
    whole = pack_model(spec_path, tmp_path, lambda _: None, bank=audited, references=folder).archive
    damaged = tmp_path / "damaged.mar"
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(damaged, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + (b"\0" if name == spoilt else b""))
    with pytest.raises(ValueError, match=rf"{spoilt} is not the file that was packed"):
        load_archive(damaged)


@pytest.mark.usefixtures("quick")
def test_another_order_of_classes_is_refused(spec_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two leading classes closer to each other than the tolerance of logits must still not change places."""
    forward = Differentiable.forward

    def tied(network: Differentiable, pictures: Tensor) -> Tensor:
        logits = forward(network, pictures)
        best = logits.topk(2).indices
        second: Tensor = logits.max(dim=1, keepdim=True).values - 1e-4
        return logits.scatter(1, best[:, 1:], second)

    def swapped(classifier: Classifier, pictures: Tensor) -> Tensor:
        logits: Tensor = classifier.network(pictures)
        best = logits.topk(2).indices
        return logits.scatter(1, best, logits.gather(1, best.flip(1)))

    monkeypatch.setattr(Differentiable, "forward", tied)
    monkeypatch.setattr(Classifier, "serve", torch.no_grad()(swapped))
    with pytest.raises(PackError, match="most probable classes differ"):
        pack_model(spec_path, tmp_path, lambda _: None)
