"""Cells by name, the items that they come to, and the contrasts between them."""

from hashlib import sha256

import pytest

from whybox_server.studies.creation.cells import (
    DEFAULT,
    Shown,
    chosen_cells,
    has,
    merged,
    number_of_items,
    registered,
)
from whybox_server.studies.creation.sampling import Candidate
from whybox_server.studies.errors import StudyError
from whybox_server.studies.protocol import Example, File, Label

CAT, DOG = Label(index=1, text="cat"), Label(index=2, text="dog")
CRANE, MACHINE = Label(index=134, text="crane"), Label(index=517, text="crane")


def file(name: str) -> File:
    return File(path=f"pictures/{name}", sha256=sha256(name.encode()).hexdigest(), width=4, height=3)


@pytest.mark.parametrize(
    ("names", "options", "expected"),
    [
        (
            [],
            {},
            [f"{arm}/{version}" for version in ("clean", "adversarial") for arm in ("none", "feature", "example")],
        ),
        (["none/clean", "feature/adversarial/foil"], {}, ["none/clean", "feature/adversarial/foil"]),
        (["none/clean"], {"given": True, "foil": True}, ["none/clean", "none/clean/given", "none/clean/foil"]),
        # What is named already is not there twice.
        (["none/clean", "none/clean/foil"], {"foil": True}, ["none/clean", "none/clean/foil"]),
    ],
)
def test_cells_by_name(names: list[str], options: dict[str, bool], expected: list[str]) -> None:
    full = [name if name.count("/") == 2 else f"{name}/model" for name in expected]
    assert [cell.name for cell in chosen_cells(names, **options)] == full


@pytest.mark.parametrize("name", ["", "none", "none/dirty", "map/clean", "none/clean/yours", "none/clean/model/x"])
def test_a_name_that_is_no_cell(name: str) -> None:
    with pytest.raises(
        StudyError, match=r"--cell .* is no cell; write \{none,feature,example\}/\{clean,adversarial\}/"
    ):
        chosen_cells([name])


def test_a_cell_that_is_named_twice() -> None:
    with pytest.raises(StudyError, match="none/clean/model is there twice"):
        chosen_cells(["none/clean", "none/clean/model"])


def test_the_default_has_six_cells_and_six_contrasts() -> None:
    assert len(DEFAULT) == 6
    pairs = registered(DEFAULT)
    assert pairs[:3] == (
        ("feature/clean/model", "none/clean/model"),
        ("example/clean/model", "none/clean/model"),
        ("example/clean/model", "feature/clean/model"),
    )
    assert [pair[0].split("/")[1] for pair in pairs] == ["clean"] * 3 + ["adversarial"] * 3


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["none/clean"], 0),
        (["none/clean", "feature/clean"], 1),
        # Another version is no other arm, and foils are looked at apart.
        (["none/clean", "feature/adversarial"], 0),
        (["none/clean/foil", "feature/clean/foil"], 0),
    ],
)
def test_contrasts_are_between_arms_with_the_models_label(names: list[str], pairs: int) -> None:
    assert len(registered(chosen_cells(names))) == pairs


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ([Shown("a", CAT, file("x")), Shown("b", CAT, file("x"))], [("a", "b")]),
        ([Shown("a", CAT, file("x")), Shown("b", DOG, file("x"))], [("a",), ("b",)]),
        ([Shown("a", CAT, file("x")), Shown("b", CAT, file("y"))], [("a",), ("b",)]),
        # People read labels, not indices.
        ([Shown("a", CRANE, file("x")), Shown("b", MACHINE, file("x"))], [("a", "b")]),
        ([Shown("a", CRANE, file("x"), file("m")), Shown("b", MACHINE, file("x"), file("n"))], [("a",), ("b",)]),
        ([Shown("a", CAT, file("x")), Shown("b", CAT, file("x"), file("m"))], [("a",), ("b",)]),
        (
            [Shown("a", CAT, file("x")), Shown("b", CAT, file("x"), None, (Example(file=file("e"), label=DOG),))],
            [("a",), ("b",)],
        ),
        (
            [Shown("a", CAT, file("x")), Shown("b", DOG, file("x")), Shown("c", CAT, file("x"))],
            [("a", "c"), ("b",)],
        ),
    ],
)
def test_cells_that_coincide_are_one_item(shown: list[Shown], expected: list[tuple[str, ...]]) -> None:
    assert [item.cells for item in merged(shown)] == expected


@pytest.mark.parametrize(
    ("names", "given", "predicted", "items"),
    [
        ([], 0, 1, 6),
        ([], 0, 0, 6),
        (["none/clean", "none/clean/given"], 0, 0, 1),
        (["none/clean", "none/clean/given"], 0, 1, 2),
        (["none/clean", "none/adversarial", "none/adversarial/given"], 0, 0, 3),
        # Without the cell of the model's label there is nothing to merge with.
        (["none/clean/given", "feature/clean"], 0, 0, 2),
        (["none/clean", "none/clean/foil"], 0, 0, 2),
        # Two classes with one label: one question, and two maps.
        (["none/clean", "none/clean/given"], 1, 2, 1),
        (["feature/clean", "feature/clean/given"], 1, 2, 2),
    ],
)
def test_the_number_of_items_is_known_beforehand(names: list[str], given: int, predicted: int, items: int) -> None:
    candidate = Candidate("a.jpg", "", given, predicted, 0.5, "")
    assert number_of_items(chosen_cells(names), candidate, ["cat", "crane", "crane"]) == items


def test_what_a_study_needs() -> None:
    cells = chosen_cells(["feature/clean", "none/clean/foil"])
    assert has(cells, "feature")
    assert has(cells, "foil")
    assert not has(cells, "example")
    assert not has(cells, "adversarial")
