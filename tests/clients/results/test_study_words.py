"""Cells and contrasts in words."""

import pytest

from whybox.results.studies.words import cell_words, contrast_words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none/clean/model", "no explanation, clean pictures"),
        ("feature/adversarial/foil", "where the model looked, adversarial pictures, a foil's label"),
        ("example/clean/given", "nearest pictures, clean pictures, the data set's label"),
        ("map/blurred/other", "map, blurred, the label other"),
    ],
)
def test_cells(name: str, words: str) -> None:
    assert cell_words(name) == words


@pytest.mark.parametrize(
    ("plus", "minus", "words"),
    [
        (["feature/clean/model"], ["none/clean/model"], "feature - none, clean pictures"),
        (["feature/clean/foil"], ["none/clean/foil"], "feature - none, clean pictures, a foil's label"),
        (["none/clean/foil"], ["none/clean/model"], "none/clean/foil - none/clean/model"),
        (["none/adversarial/model"], ["none/clean/model"], "none/adversarial/model - none/clean/model"),
        (
            ["feature/adversarial/model", "none/clean/model"],
            ["none/adversarial/model", "feature/clean/model"],
            "feature - none, adversarial - clean pictures",
        ),
        (["a/b/c", "d/e/f"], ["g/h/i"], "(a/b/c + d/e/f) - g/h/i"),
    ],
)
def test_contrasts(plus: list[str], minus: list[str], words: str) -> None:
    assert contrast_words(plus, minus) == words
