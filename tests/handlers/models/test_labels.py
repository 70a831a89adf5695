"""Class names: the forms in which a spec gives them, and what each mistake is called."""

import re
from pathlib import Path

import pytest

from whybox_handlers.models.labels import read_labels
from whybox_handlers.models.spec import PackageFiles, SpecError


def test_torchvisions() -> None:
    names = read_labels("torchvision/EfficientNet_B0_Weights.IMAGENET1K_V1")
    assert (len(names), names[0], names[251]) == (1000, "tench", "dalmatian")
    for source in ("torchvision/No_Weights.V1", "torchvision/", "mine"):
        with pytest.raises(SpecError, match="labels: "):
            read_labels(source)


def test_the_specs_own_list() -> None:
    assert read_labels(("cat", "dog")) == ["cat", "dog"]
    # Several classes may have the same label.
    assert read_labels(("crane", "crane", "ibis")) == ["crane", "crane", "ibis"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.txt", "cat\ndog\nগরু\n"),
        ("labels.txt", "cat\r\n dog \r\nগরু\r\n\r\n"),
        ("labels.txt", "\ufeffcat\ndog\nগরু"),
        ("labels", "cat\ndog\nগরু"),
        ("labels.json", '{"0": "cat", "1": "dog", "2": "গরু"}'),
        ("labels.json", '{"2": "গরু", "0": "cat", "1": "dog"}'),
        ("labels.JSON", '["cat", "dog", "গরু"]'),
        ("labels.json", '{"0": ["n01", "cat"], "1": ["n02", "dog"], "2": ["n03", "গরু"]}'),
    ],
)
def test_files(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content.encode())
    assert read_labels(PackageFiles(tmp_path, name, "labels")) == ["cat", "dog", "গরু"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("labels.txt", b"", "labels.txt has no label in line 1"),
        ("labels.txt", b"cat\n\ndog\n", "labels.txt has no label in line 2; use a text file with one label per line"),
        ("labels.txt", b"cat\n", "1 given, and two or more are needed; a network with one output cannot be packed"),
        ("labels.txt", b"\xff\xfec\0", "labels.txt cannot be read as UTF-8"),
        ("labels.txt", b"c\0t\ndog", r"label 0 is 'c\x00t'; give each class a name of printable characters"),
        ("labels.json", b"", "labels.json is not JSON"),
        ("labels.json", b"cat\ndog", "labels.json is not JSON"),
        ("labels.json", b"[" * 100_000, "labels.json is nested too deeply"),
        ("labels.json", b"3", "holds neither a mapping nor a list; use a text file"),
        ("labels.json", b"{}", "0 given, and two or more are needed"),
        ("labels.json", b'{"1": "cat", "2": "dog"}', "has 2 entries and none for index 0"),
        ("labels.json", b'{"0": "cat", "2": "dog"}', "has 2 entries and none for index 1"),
        ("labels.json", b'{"cat": 0, "dog": 1}', "has 2 entries and none for index 0; use a text file"),
        ("labels.json", b'{"0": "cat", "0": "dog"}', "has several entries for index 0"),
        ("labels.json", b'["cat", 3]', "has 3 in place of label 1"),
        ("labels.json", b'["cat", []]', "has [] in place of label 1"),
        ("labels.json", b'["cat", " "]', "label 1 is ' '"),
        ("labels.json", rb'["cat", "\ud800"]', r"label 1 is '\ud800'"),
    ],
)
def test_each_mistake_is_named(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SpecError, match=f"^labels: .*{re.escape(words)}") as raised:
        read_labels(PackageFiles(tmp_path, name, "labels"))
    assert "\n" not in str(raised.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"labels: no file matches 'labels\.txt'"):
        read_labels(PackageFiles(tmp_path, "labels.txt", "labels"))
