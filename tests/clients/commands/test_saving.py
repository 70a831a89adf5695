from collections.abc import Callable
from pathlib import Path

from PIL import Image
from typer.testing import Result

from whybox import v1


def test_maps_are_saved_and_named(run: Callable[..., Result], folder: Path) -> None:
    result = run("analyze", "dog.png", "--save", "deep/maps")
    names = [
        "dog.grad_cam.png",
        "dog.integrated_gradients.png",
        "dog.integrated_gradients.heat_map.png",
        "dog.integrated_gradients.overlay.png",
        "dog.integrated_gradients.sufficient.png",
        *(f"dog.example.prototypes.{rank}.jpg" for rank in (1, 2, 3)),
        "dog.robustness.linf.adversarial.png",
        "dog.robustness.linf.change.png",
        "dog.robustness.linf.before.png",
        "dog.robustness.linf.after.png",
        "dog.sheet.png",
    ]
    assert [line for line in result.stdout.splitlines() if line.startswith("wrote")] == [
        f"wrote deep/maps/{name}" for name in names
    ]
    with Image.open(folder / "deep/maps" / names[0]) as overlay:
        assert overlay.size == (43, 43)

    assert sorted(path.name for path in (folder / "deep/maps").iterdir()) == sorted(names)


def test_the_servers_drawings_are_saved_as_they_came(
    run: Callable[..., Result], answer: v1.AnalyzeResponse, folder: Path
) -> None:
    answer.explanations[1].ClearField("attribution")
    assert run("analyze", "dog.png", "--save", "maps").exit_code == 0
    maps = folder / "maps"
    assert not (maps / "dog.integrated_gradients.png").exists()
    for kind in ("heat_map", "overlay"):
        saved = (maps / f"dog.integrated_gradients.{kind}.png").read_bytes()
        assert saved == getattr(answer.explanations[1], kind)


def test_maps_of_one_method_have_their_own_names(
    run: Callable[..., Result], answer: v1.AnalyzeResponse, folder: Path
) -> None:
    answer.explanations.add().CopyFrom(answer.explanations[0])
    answer.explanations[-1].target_class = 281
    assert run("analyze", "dog.png", "--save", "maps").exit_code == 0
    assert sorted(path.name for path in (folder / "maps").glob("dog.grad_cam*")) == [
        "dog.grad_cam.207.png",
        "dog.grad_cam.281.png",
    ]
