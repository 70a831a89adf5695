"""Practice and gold: what tables say, and what is drawn without one."""

from pathlib import Path

import pytest

from whybox_server.studies.creation.asked import Known
from whybox_server.studies.creation.known import drawn_practice, read_known
from whybox_server.studies.creation.sampling import Candidate
from whybox_server.studies.errors import StudyError
from whybox_server.studies.protocol import Answer, Wording

LABELS = ("tench", "cat", "dog")
ANSWERS = (Answer.YES, Answer.NO)
GERMAN = Path(__file__).parents[1] / "pages/german.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a b.jpg").write_bytes(b"")
    return tmp_path


def table(folder: Path, text: str) -> Path:
    path = folder / "gold.csv"
    path.write_text(text)
    return path


def test_a_table_by_label_and_by_index(folder: Path) -> None:
    path = table(folder, "file,label,right,why\na b.jpg,Cat,yes,A cat.\n./a b.jpg,2,no,\n")
    first, second = read_known(path, "--practice", folder, LABELS, ANSWERS)
    assert (first.known, first.right, first.why) == (Known("a b.jpg", 1, 0), Answer.YES, "A cat.")
    assert (second.known, second.right, second.why) == (Known("a b.jpg", 2, 1), Answer.NO, "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,label\na b.jpg,cat\n", "lacks the column right"),
        ("file,label,right\n", "has no rows"),
        ("file,label,right\na b.jpg,cow,yes\n", "line 2: 'cow' is neither the index nor the label"),
        ("file,label,right\na b.jpg,cat,perhaps\n", "line 2: right is 'perhaps'; write yes or no"),
        # Only an answer that is offered can be right.
        ("file,label,right\na b.jpg,cat,maybe\n", "write yes or no"),
        ("file,label,right\nb.jpg,cat,yes\n", "b.jpg does not exist; add the picture"),
        ("file,label,right\n../b.jpg,cat,yes\n", "is no path below the folder"),
        ("file,label,right\n/etc/passwd,cat,yes\n", "is no path below the folder"),
        ("file,label,right\n,cat,yes\n", "is no path below the folder"),
    ],
)
def test_a_table_that_is_wrong(folder: Path, text: str, words: str) -> None:
    with pytest.raises(StudyError, match=f"--gold.*{words}"):
        read_known(table(folder, text), "--gold", folder, LABELS, ANSWERS)


def candidate(file: str, label: int, predicted: int, confidence: float) -> Candidate:
    return Candidate(file, "0" * 64, label, predicted, confidence, "")


def test_practice_is_drawn_from_what_the_model_knows() -> None:
    candidates = [
        candidate("wrong.jpg", 0, 1, 0.99),
        candidate("unsure.jpg", 0, 0, 0.5),
        *(candidate(f"sure-{n}.jpg", 0, 0, 0.95) for n in range(8)),
        candidate("other.jpg", 1, 1, 0.95),
    ]
    practice = drawn_practice(candidates, 4, LABELS, Wording(), 0)
    assert len(practice) == 4
    assert [each.right for each in practice] == [Answer.YES, Answer.NO] * 2
    assert all(each.known.file.startswith(("sure", "other")) for each in practice)
    # The label itself, and one that the model finds out.
    assert [each.known.label is None for each in practice] == [False, True] * 2
    # Other classes come first.
    assert "other.jpg" in {each.known.file for each in practice[:2]}
    assert practice == drawn_practice(candidates[::-1], 4, LABELS, Wording(), 0)
    assert drawn_practice(candidates[:2], 4, LABELS, Wording(), 0) == []


def test_practice_says_why_in_the_language_of_the_study() -> None:
    german = Wording.model_validate_json(GERMAN.read_bytes())
    candidates = [candidate("{label}.jpg", 0, 0, 0.95), candidate("cat.jpg", 1, 1, 0.95)]
    first, second = drawn_practice(candidates, 2, ("{label}", "Katze"), german, 0)
    shown = {"{label}.jpg": "{label}", "cat.jpg": "Katze"}[second.known.file]
    assert first.why == "Das Wort nennt etwas, das auf dem Bild zu sehen ist."
    assert second.why == f"Auf dem Bild ist „{shown}“ zu sehen, und nichts, was das Wort nennt."
