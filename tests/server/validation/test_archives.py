"""Reading packed models, and what is said of files that are none."""

import zipfile

import pytest
from google.protobuf import json_format

from whybox import v1
from whybox_server.validation.archives import ArchiveError, archive_name, read_manifest, read_store

MODEL = v1.Model(name="a", version="1", title="Größe", num_classes=2, labels=["cat", "dog"], norms=["linf"])


def packed(path, model=MODEL, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("manifest.json", json_format.MessageToJson(model, preserving_proto_field_name=True))
    return path


def zipped(path, **files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.json", content)


def flipped(path, compression):
    """An archive with wrong bytes in the middle of its manifest."""
    packed(path, compression=compression)
    content = bytearray(path.read_bytes())
    content[60:80] = bytes(20)
    path.write_bytes(content)


def encrypted(path):
    """An archive that says that its manifest is encrypted."""
    content = bytearray(packed(path).read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)


BROKEN = {
    "missing": lambda _: None,
    "a folder": lambda path: path.mkdir(),
    "empty": lambda path: path.write_bytes(b""),
    "no zip": lambda path: path.write_bytes(b"not a zip file"),
    "cut short": lambda path: path.write_bytes(packed(path).read_bytes()[:-30]),
    "bytes changed": lambda path: flipped(path, zipfile.ZIP_STORED),
    "bytes changed, compressed": lambda path: flipped(path, zipfile.ZIP_DEFLATED),
    "encrypted": encrypted,
    "another program's zip": lambda path: zipped(path, package="{}"),
    "another program's manifest": lambda path: zipped(path, manifest='{"runtime": "python", "model": {}}'),
    "manifest is a list": lambda path: zipped(path, manifest="[]"),
    "manifest is empty": lambda path: zipped(path, manifest="{}"),
    "manifest is no JSON": lambda path: zipped(path, manifest="{"),
    "manifest is no text": lambda path: zipped(path, manifest=b"\xff\xfe\x00"),
    "a later version's manifest": lambda path: zipped(path, manifest='{"name": "a", "colour": "red"}'),
}


@pytest.mark.parametrize("make", BROKEN.values(), ids=BROKEN)
def test_what_is_no_archive_of_ours_is_named(tmp_path, make):
    path = tmp_path / "a.mar"
    make(path)
    with pytest.raises(ArchiveError, match=f"{path} was not packed by this version of Whybox; pack its spec again"):
        read_manifest(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_manifest(tmp_path, compression):
    assert read_manifest(packed(tmp_path / "a.mar", compression=compression)) == MODEL


def test_a_store_is_read_by_name(tmp_path):
    models = {name: v1.Model(name=name, version="1") for name in "cab"}
    for name, model in models.items():
        packed(tmp_path / f"{name}-1.mar", model)
    (tmp_path / "a.yaml").write_text("name: a")
    assert list(read_store(tmp_path).items()) == [(tmp_path / f"{name}-1.mar", models[name]) for name in "abc"]


@pytest.mark.parametrize("folder", ["", "not/there"])
def test_a_store_without_archives_says_how_to_build_one(tmp_path, folder):
    store = tmp_path / folder
    with pytest.raises(ArchiveError, match=f"no packed model in {store}; .*whybox-server pack {store}/MODEL.yaml"):
        read_store(store)


def test_one_broken_archive_is_named(tmp_path):
    packed(tmp_path / "a.mar")
    (tmp_path / "b-1.mar").write_bytes(b"")
    with pytest.raises(ArchiveError, match=r"b-1\.mar"):
        read_store(tmp_path)


@pytest.mark.parametrize("wanted", [(), ("copy-of-a",)])
def test_a_copy_under_another_name_is_named(tmp_path, wanted):
    for name in ("a", "copy-of-a"):
        packed(tmp_path / f"{name}-1.mar", v1.Model(name="a", version="1"))
    with pytest.raises(ArchiveError, match=r"copy-of-a-1\.mar holds a in version 1; .* name a-1\.mar"):
        read_store(tmp_path, wanted)


def test_only_the_models_that_are_wanted(tmp_path):
    for name in ("a", "b", "c"):
        packed(tmp_path / f"{name}-1.mar", v1.Model(name=name, version="1"))
    assert [model.name for model in read_store(tmp_path, ("c", "a")).values()] == ["a", "c"]
    with pytest.raises(ArchiveError, match="holds no d, e; it holds a-1, b-1, c-1"):
        read_store(tmp_path, ("e", "a", "d"))


@pytest.mark.parametrize("make", [make for name, make in BROKEN.items() if name != "missing"])
def test_what_is_not_wanted_may_be_broken(tmp_path, make):
    packed(tmp_path / "b-1.mar", v1.Model(name="b", version="1"))
    make(tmp_path / "a-1.mar")
    packed(tmp_path / "copy-of-b-1.mar", v1.Model(name="b", version="1"))
    assert list(read_store(tmp_path, ("b",)).values()) == [v1.Model(name="b", version="1")]
    with pytest.raises(ArchiveError, match=r"a-1\.mar was not packed by this version"):
        read_store(tmp_path, ("a", "b"))


def test_versions_of_a_model_lie_side_by_side(tmp_path):
    # The beginning of another name is no name.
    models = [("a", "1.0"), ("a", "1.1-rc"), ("a-b", "1.0")]
    for name, version in models:
        packed(tmp_path / archive_name(name, version), v1.Model(name=name, version=version))
    assert [path.name for path in read_store(tmp_path)] == ["a-1.0.mar", "a-1.1-rc.mar", "a-b-1.0.mar"]
    read = {wanted: read_store(tmp_path, [wanted]).values() for wanted in ("a", "a-b")}
    assert [(model.name, model.version) for model in read["a"]] == models[:2]
    assert [(model.name, model.version) for model in read["a-b"]] == models[2:]


@pytest.mark.parametrize("name", ["a.mar", "a-1.1.mar", "a-1.0-.mar", "b-1.0.mar"])
def test_an_archive_that_is_not_named_for_its_version(tmp_path, name):
    path = packed(tmp_path / name, v1.Model(name="a", version="1.0"))
    with pytest.raises(ArchiveError) as caught:
        read_store(tmp_path)
    assert str(caught.value) == f"{path} holds a in version 1.0; remove it, or give it the name a-1.0.mar"
