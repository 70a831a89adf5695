"""Records made from the measurements of the handlers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from whybox import v1
from whybox.v1.errors import PictureError
from whybox_handlers.audits import measuring as handlers
from whybox_server.audits.data.dataset import Labelled
from whybox_server.audits.passes import workers
from whybox_server.audits.passes.journal import Outcome


def raised() -> Exception:
    try:
        return Exception(1 / 0)
    except ZeroDivisionError as error:
        return error


FOUND = v1.Distance(norm="linf", state="found", distance=0.5, unflipped_distance=0.25, searched_radius=1)
LOOKS = {"width": 9.0}
LOGITS = torch.tensor([1.5, 0.25])
MEASURED = {
    "right": handlers.Measured(3, LOGITS, 0.75, torch.tensor([0.5, -2.0]), LOOKS, 255, 1.5, (FOUND,)),
    "wrong": handlers.Measured(4, LOGITS, 0.5, None, LOOKS, 2**63, -0.5),
    "unreadable": PictureError("damaged"),
    "failed": raised(),
}


def test_each_measurement_becomes_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "loaded_classifier", lambda *_: None)
    monkeypatch.setattr(
        handlers, "measure", lambda _classifier, images, *_, **__: [MEASURED[image.decode()] for image in images]
    )
    for text in MEASURED:
        (tmp_path / text).write_text(text)
    work = workers.Work(tmp_path / "m.mar", tmp_path, v1.RobustnessOptions().SerializeToString(), 0, "cpu")
    records = workers.measure_batch(work, [Labelled(text, 3) for text in MEASURED])
    told = {record.file: (record.predicted, record.error) for record in records}
    assert told == {
        "right": (3, ""),
        "wrong": (4, ""),
        "unreadable": (None, "damaged"),
        "failed": (None, "ZeroDivisionError: division by zero"),
    }
    right, *others, failed = records
    assert right.norms == {"linf": Outcome("found", 0.5, 0.25, 1, None, 0, 0, 0, "", ())}
    assert [record.norms for record in others] == [{}, {}]
    wrong, unreadable = others
    assert (right.confidence, right.covariates, right.perceptual_hash) == (0.75, LOOKS, "00000000000000ff")
    assert np.frombuffer(right.embedding, "<f4").tolist() == [0.5, -2.0]
    assert (wrong.embedding, wrong.perceptual_hash) == (b"", "8000000000000000")
    assert (unreadable.confidence, unreadable.covariates, unreadable.perceptual_hash) == (None, {}, "")
    assert [record.failed for record in records] == [False, False, False, True]
    assert "return Exception(1 / 0)" in failed.traceback
    assert {record.logits for record in records} == {b""}


def test_only_pictures_that_are_not_attacked_keep_their_logits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "loaded_classifier", lambda *_: None)
    asked: list[object] = []

    def measure(*given: object, **_: object) -> list[object]:
        asked.append(given[3])
        return [MEASURED["wrong"]]

    monkeypatch.setattr(handlers, "measure", measure)
    (tmp_path / "a").write_text("a")
    [record] = workers.measure_batch(workers.Work(tmp_path, tmp_path, None, 0, "cpu"), [Labelled("a", 3)])
    assert asked == [None]
    assert np.frombuffer(record.logits, "<f4").tolist() == LOGITS.tolist()
