"""Studies by the real model: what people see is what the model was asked about."""

import json
import os
import shutil
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from whybox import v1
from whybox_handlers.audits.covariates import perceptual_hash
from whybox_handlers.explanations.embeddings import embedding
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject
from whybox_handlers.pictures.levels import tensor
from whybox_handlers.references import ORDINARY, References, ReferenceWriter
from whybox_server.cli.app import app
from whybox_server.studies.creation import stimuli
from whybox_server.studies.creation.asked import Making
from whybox_server.studies.creation.cells import chosen_cells
from whybox_server.studies.creation.folder import read_protocol
from whybox_server.studies.creation.sampling import Candidate
from whybox_server.studies.protocol import Answer, Picture, Protocol

DATA = Path(os.environ.get("WHYBOX_DATA", "")) / "imagenet-val-500"
CELLS = ("none/clean", "feature/clean", "none/adversarial", "feature/adversarial")


@pytest.fixture(scope="module")
def made(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Protocol]:
    """A study of 24 real pictures."""
    if not DATA.is_dir():
        pytest.skip("needs imagenet-val-500 at WHYBOX_DATA")
    folder = tmp_path_factory.mktemp("study")
    lines = DATA.with_suffix(".csv").read_text().splitlines()
    (folder / "labels.csv").write_text("\n".join([lines[0], *lines[1::21]]) + "\n")
    (folder / "gold.csv").write_text(f"file,label,right\n{lines[2].split(',')[0]},0,yes\n")
    cells = [word for cell in CELLS for word in ("--cell", cell)]
    arguments = [
        *("study", "create", DATA, "--labels", folder / "labels.csv", "--model-store", archive.parent),
        *("--id", "real", "--save", folder / "made", "--errors", 3, "--correct", 0.1, "--gold", folder / "gold.csv"),
        *(*cells, "--given", "--foil", "--practice-pictures", 2, "--workers", 1),
    ]
    outcome = CliRunner().invoke(app, list(map(str, arguments)))
    assert outcome.exit_code == 0, outcome.output
    assert "12 cells" in outcome.stdout
    return folder / "made", read_protocol(folder / "made")


def shown(folder: Path, picture: Picture, cell: str) -> tuple[str, Image.Image]:
    """The label and the picture of a cell."""
    [item] = [item for item in picture.items if f"{cell}" in item.cells]
    return item.label.text, Image.open(folder / item.picture.path).convert("RGB")


def test_every_file_is_what_the_protocol_says_and_tells_no_label(made: tuple[Path, Protocol]) -> None:
    folder, protocol = made
    files = protocol.files()
    below = {path.relative_to(folder).as_posix() for path in folder.rglob("*.webp")}
    assert below == set(files)
    for path, file in files.items():
        content = (folder / path).read_bytes()
        assert sha256(content).hexdigest() == file.sha256
        assert Path(path).stem == file.sha256[:32]
        picture = Image.open(BytesIO(content))
        assert picture.size == (file.width, file.height)
        assert max(picture.size) <= 640
        assert not picture.getexif()
        assert "exif" not in picture.info


def test_strata_and_probabilities(made: tuple[Path, Protocol]) -> None:
    _, protocol = made
    for picture in protocol.pictures:
        assert (picture.stratum == "correct") == (picture.given == picture.predicted)
        number = sum(other.stratum == picture.stratum for other in protocol.pictures)
        population = protocol.source.errors if picture.stratum == "error" else protocol.source.correct
        assert picture.inclusion_probability == number / population
    assert {picture.stratum for picture in protocol.pictures} == {"error", "correct"}
    assert [picture.id for picture in protocol.pictures] == sorted(picture.id for picture in protocol.pictures)


def test_cells_that_ask_the_same_are_one_item(made: tuple[Path, Protocol]) -> None:
    _, protocol = made
    names = {cell.name for cell in protocol.cells}
    for picture in protocol.pictures:
        cells = [name for item in picture.items for name in item.cells]
        assert sorted(cells) == sorted(names)
        together = any({"none/clean/model", "none/clean/given"} <= set(item.cells) for item in picture.items)
        assert together == (picture.stratum == "correct")


def test_a_twin_is_what_the_model_answers_wrongly_and_differs_little(
    made: tuple[Path, Protocol], classifier: Classifier
) -> None:
    folder, protocol = made
    crop = classifier.model.preprocessing.crop
    for picture in protocol.pictures:
        _, clean = shown(folder, picture, "none/clean/model")
        label, twin = shown(folder, picture, "none/adversarial/model")
        assert clean.size == twin.size == (2 * crop, 2 * crop)
        difference = np.abs(np.asarray(clean, int) - np.asarray(twin, int))
        assert 0 < difference.max() <= 16
        assert label not in (picture.given.text, picture.predicted.text)
        # Cubic enlargement by two has its pixels beside those of the view; the mean of four is near enough to ask.
        view = tensor(clean.resize((crop, crop), Image.Resampling.BOX))
        answer = classifier.label(int(classifier.serve(view[None])[0].argmax()))
        assert answer == picture.predicted.text or picture.stratum == "error"


def test_a_foil_is_neither_answer_nor_label_and_has_its_own_map(made: tuple[Path, Protocol]) -> None:
    folder, protocol = made
    for picture in protocol.pictures:
        items = {name: item for item in picture.items for name in item.cells}
        foil = items["feature/clean/foil"]
        assert foil.label.text not in (picture.given.text, picture.predicted.text)
        assert foil.label == items["feature/adversarial/foil"].label
        assert foil.explanation != items["feature/clean/model"].explanation
        assert items["none/clean/model"].explanation is None
        assert foil.picture == items["none/clean/model"].picture
    del folder


def test_practice_and_gold(made: tuple[Path, Protocol]) -> None:
    _, protocol = made
    assert [known.right for known in protocol.practice] == [Answer.YES, Answer.NO]
    assert all(known.why for known in protocol.practice)
    [gold] = protocol.gold
    assert (gold.item.label.text, gold.right, gold.why) == ("tench", Answer.YES, "")
    assert protocol.policy.gold_per_annotator == 1
    drawn = {picture.source for picture in protocol.pictures}
    assert drawn.isdisjoint(json.dumps([known.model_dump(mode="json") for known in protocol.practice]).split('"'))


def test_a_gold_picture_that_is_drawn_is_refused(made: tuple[Path, Protocol], archive: Path, tmp_path: Path) -> None:
    folder, protocol = made
    shutil.copytree(folder / "work", tmp_path / "made" / "work")
    (tmp_path / "gold.csv").write_text(f"file,label,right\n{protocol.pictures[0].source},0,no\n")
    arguments = [
        *("study", "create", DATA, "--labels", folder.parent / "labels.csv", "--model-store", archive.parent),
        *("--id", "real", "--save", tmp_path / "made", "--errors", 3, "--correct", 0.1, "--workers", 1),
        *("--cell", "none/clean", "--gold", tmp_path / "gold.csv"),
    ]
    outcome = CliRunner().invoke(app, list(map(str, arguments)))
    assert outcome.exit_code == 1
    assert f"{protocol.pictures[0].source} is a practice or gold picture" in outcome.stderr
    assert "a person sees a picture once" in outcome.stderr


@pytest.fixture
def bank(classifier: Classifier, pictures: dict[Path, int], tmp_path: Path) -> Classifier:
    """The model with the 20 pictures as its bank, each there a second time as a smaller copy."""
    features, records = [], []
    for path, label in pictures.items():
        subject = Subject.of(classifier, path.read_bytes())
        found = embedding(classifier, subject)
        assert found is not None
        for side in (200, 96):
            small = Image.open(path).convert("RGB").resize((side, side))
            content = BytesIO()
            small.save(content, "JPEG", quality=80)
            digest = sha256(path.read_bytes() if side == 200 else content.getvalue()).hexdigest()
            records.append(
                v1.Neighbour(id=f"{path.name}-{side}", sha256=digest, class_index=label, thumbnail=content.getvalue())
            )
            features.append(found.numpy())
    writer = ReferenceWriter(tmp_path, len(features[0]))
    writer.add(np.array(features), records, [ORDINARY] * len(records))
    writer.finish()
    return Classifier(
        classifier.model,
        classifier.network,
        classifier.serving,
        classifier.device,
        classifier.batch_sizes,
        references=References(tmp_path),
    )


@pytest.mark.parametrize("how", ["by digest and hash", "by hash alone", "gold that was never predicted"])
def test_examples_are_no_pictures_of_the_study_and_no_copies(
    bank: Classifier, pictures: dict[Path, int], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    path, label = next((path, label) for path, label in pictures.items() if label == 251)
    subject = Subject.of(bank, path.read_bytes())
    digest, hash_ = sha256(path.read_bytes()).hexdigest(), f"{perceptual_hash(subject.picture):016x}"
    candidate = Candidate(path.name, digest, label, subject.predicted, 0.9, hash_)
    known = frozenset({(digest if how == "by digest and hash" else "", hash_)})
    others: tuple[str, ...] = ()
    if how == "gold that was never predicted":
        known, others = frozenset(), (path.name,)
    cells = chosen_cells(["example/clean"])
    making = Making(path.parent, "cpu", path.parent, False, cells, "whole", "", 5, b"", 0, known, others)
    monkeypatch.setattr(stimuli, "loaded_classifier", lambda *_: bank)
    [made] = stimuli.make(making, [candidate])
    assert made.fault == ""
    [cell] = made.cells
    hashes = [perceptual_hash(bank.see(example.thumbnail.content)[0]) for example in cell.examples]
    assert len(cell.examples) == 5
    for place, one in enumerate(hashes):
        assert (one ^ int(hash_, 16)).bit_count() > 3
        assert all((one ^ other).bit_count() > 3 for other in hashes[place + 1 :])


def test_a_bank_that_is_too_small_is_told(
    bank: Classifier, pictures: dict[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, label = next(iter(pictures.items()))
    subject = Subject.of(bank, path.read_bytes())
    candidate = Candidate(path.name, sha256(path.read_bytes()).hexdigest(), label, subject.predicted, 0.9, "")
    making = Making(
        path.parent, "cpu", path.parent, False, chosen_cells(["example/clean"]), "whole", "", 30, b"", 0, frozenset()
    )
    monkeypatch.setattr(stimuli, "loaded_classifier", lambda *_: bank)
    [made] = stimuli.make(making, [candidate])
    assert "--examples" in made.fault
    assert made.cells == ()
