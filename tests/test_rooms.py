"""Imports point one way, and rooms stay small enough to look over."""

import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

REPOSITORY = Path(__file__).parents[1]


def test_import_rules() -> None:
    command: list[str | Path] = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_no_modules_import_each_other() -> None:
    """Imports for type checkers alone count too: readers of one module need the other to understand it."""
    graph = grimp.build_graph("whybox", "whybox_handlers", "whybox_server", cache_dir=None)
    # Raises CycleError, which names the modules.
    TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}).prepare()


# One module for each row of a table: they are looked up by name, not looked over.
REGISTRIES = {"explainers", "attacks", "corruptions"}


def test_no_folder_holds_more_than_16_modules_and_folders() -> None:
    held = {
        folder: sum(
            path.suffix == ".py" or path.is_dir()
            for path in folder.iterdir()
            # Generated code is read in the files that it is made from.
            if path.name != "__pycache__" and "_pb2" not in path.name
        )
        for room in ("clients/whybox", "handlers/whybox_handlers", "server/whybox_server")
        for folder in [REPOSITORY / room, *(REPOSITORY / room).rglob("*/")]
        if folder.name not in REGISTRIES | {"__pycache__"}
    }
    assert {folder.name: number for folder, number in held.items() if number > 16} == {}


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("whybox.v1", "httpx grpc PIL numpy rich typer whybox.client whybox.results whybox.options whybox.cli"),
        ("whybox", "torch torchvision onnxruntime starlette whybox_handlers whybox_server"),
        ("whybox.cli", "torch torchvision onnxruntime starlette whybox_handlers whybox_server"),
        ("whybox_handlers.handler", "whybox_server starlette ts httpx typer whybox.client whybox.results"),
        (
            "whybox_server.cli.serving",
            "torch torchvision onnxruntime captum matplotlib whybox_handlers ts httpx whybox.client",
        ),
        ("whybox_server.cli.app", "torch torchvision onnxruntime captum matplotlib whybox_handlers ts"),
    ],
)
def test_what_a_process_loads(module: str, forbidden: str) -> None:
    """The static rules cannot see what third parties import."""
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & set({forbidden.split()!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
