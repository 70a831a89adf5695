"""Imports point one way."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


def test_import_rules() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("whybox", "torch torchvision onnxruntime fastapi whybox_handlers whybox_server"),
        ("whybox.cli", "torch torchvision onnxruntime fastapi whybox_handlers whybox_server"),
        ("whybox_handlers.handler", "whybox_server fastapi ts"),
        ("whybox_server.serve", "torch torchvision onnxruntime captum matplotlib whybox_handlers ts"),
        ("whybox_server.cli", "torch torchvision onnxruntime captum matplotlib whybox_handlers ts"),
    ],
)
def test_what_a_process_loads(module: str, forbidden: str) -> None:
    """The static rules cannot see what third parties import."""
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & set({forbidden.split()!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
