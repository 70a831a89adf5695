"""From the pictures of an audit to the files of the method `example`."""

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from whybox import v1
from whybox_handlers.references import CRITICISM, FILES, PROTOTYPE, References
from whybox_server.audits.data.errors import DataSetError
from whybox_server.audits.references import write_references

CLASSES, EACH, DIMENSIONS = ["cat", "dog"], 10, 4
QUERY = np.ones(DIMENSIONS, dtype=np.float32)


def jpeg(number: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (300, 200), (10 * number, 0, 0)).save(content, "JPEG")
    return content.getvalue()


def row(number: int) -> dict[str, Any]:
    label = number // EACH
    right = number % EACH != 9
    predicted = label if right else 1 - label
    return {
        "file": f"{CLASSES[label]}/{number}.jpg",
        "sha256": hashlib.sha256(jpeg(number)).hexdigest(),
        "label": label,
        "label_name": CLASSES[label],
        "predicted": predicted,
        "predicted_name": CLASSES[predicted],
        "right": right,
        "confidence": 0.75,
        "counted": number != 3,
        "group": number,
        "embedding": [1.0, number, 2.0, -1.0],
        # One that was not flipped.
        "linf.distance": number / 100 if right and number != 12 else None,
        "l2.distance": 7.0,
        **{f"{norm}.searched_radius": 9.0 for norm in ("linf", "l2")},
        **{f"{norm}.reasons": ["doubted"] for norm in ("linf", "l2")},
    }


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    """Ten cats, one of them a copy of another, and ten dogs; the last of each is taken for the other."""
    folder = tmp_path / "audit"
    folder.mkdir()
    for number in range(2 * EACH):
        path = tmp_path / "pets" / row(number)["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number))
    schema = pa.schema({"embedding": pa.list_(pa.float32()), "linf.distance": pa.float64()})
    rows = pa.Table.from_pylist([row(number) for number in range(2 * EACH)])
    for field in schema:
        place = rows.schema.get_field_index(field.name)
        rows = rows.set_column(place, field, rows[field.name].cast(field.type))
    parquet.write_table(rows, folder / "audit.parquet")
    manifest = {
        "statistics": {"options": {"primary_norm": "linf"}},
        "data": {"folder": str(tmp_path / "pets")},
    }
    (folder / "audit.json").write_text(json.dumps(manifest))
    return folder


def written(audit: Path, place: Path, *, thumbnails: bool = True) -> tuple[v1.References, References]:
    place.mkdir()
    found = write_references(audit, place, thumbnails=thumbnails)
    assert found is not None
    assert found.sha256 == {name: hashlib.sha256((place / name).read_bytes()).hexdigest() for name in FILES}
    return found, References(place)


def test_every_picture_that_counts_is_there(audit: Path, tmp_path: Path) -> None:
    found, bank = written(audit, tmp_path / "bank")
    counted = [number for number in range(2 * EACH) if row(number)["counted"]]
    assert (found.pictures, found.dimensions, found.thumbnails) == (len(counted), DIMENSIONS, len(counted))
    sizes = []
    for key, number in enumerate(counted):
        record, said = bank.record(key), row(number)
        assert (record.id, record.sha256) == (said["file"], said["sha256"])
        assert (record.class_index, record.class_label) == (said["label"], said["label_name"])
        assert record.predicted.label == said["predicted_name"]
        assert record.predicted.probability == pytest.approx(0.75)
        distance = record.distance if record.HasField("distance") else None
        assert distance == said["linf.distance"]
        with Image.open(io.BytesIO(record.thumbnail)) as small:
            assert (small.format, small.size) == ("JPEG", (144, 96))
        sizes.append((record.ByteSize() - len(record.thumbnail), len(record.thumbnail)))
    assert (found.largest_record, found.largest_thumbnail) == tuple(map(max, zip(*sizes, strict=True)))
    # A fifth of the eight cats and of the nine dogs that are right.
    kinds = {
        (label, kind): {bank.record(match.key).id for match in bank.nearest_of(QUERY, label, kind, 9)}
        for label in (0, 1)
        for kind in (PROTOTYPE, CRITICISM)
    }
    assert kinds == {
        (0, PROTOTYPE): {"cat/8.jpg"},
        (0, CRITICISM): {"cat/0.jpg"},
        (1, PROTOTYPE): {"dog/12.jpg"},
        (1, CRITICISM): {"dog/10.jpg"},
    }
    [nearest] = bank.nearest(np.array([1, 7, 2, -1], dtype=np.float32), 1)
    assert bank.record(nearest.key).id == "cat/7.jpg"


def test_thumbnails_are_left_out_or_missing(audit: Path, tmp_path: Path) -> None:
    found, bank = written(audit, tmp_path / "without", thumbnails=False)
    assert (found.thumbnails, found.largest_thumbnail, bank.record(0).thumbnail) == (0, 0, b"")
    (tmp_path / "pets/cat/0.jpg").unlink()
    (tmp_path / "pets/cat/1.jpg").write_bytes(jpeg(2))
    found, bank = written(audit, tmp_path / "with")
    assert (found.pictures - found.thumbnails, [bool(bank.record(key).thumbnail) for key in range(3)]) == (
        2,
        [False, False, True],
    )


def test_thumbnails_of_pictures_that_are_gone_are_no_thumbnails(audit: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "pets")
    with pytest.raises(DataSetError, match=r"no picture of .*audit can be read in .*pets .*--no-thumbnails"):
        write_references(audit, tmp_path, thumbnails=True)


def test_a_network_without_features_gives_no_files(audit: Path, tmp_path: Path) -> None:
    table = parquet.read_table(audit / "audit.parquet")
    place = table.schema.get_field_index("embedding")
    nothing = pa.array([None] * len(table), pa.list_(pa.float32()))
    parquet.write_table(table.set_column(place, "embedding", nothing), audit / "audit.parquet")
    assert write_references(audit, tmp_path, thumbnails=False) is None
    assert not any((tmp_path / name).exists() for name in FILES)
