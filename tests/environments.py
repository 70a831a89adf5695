"""Virtual environments for clients of others, which need older packages than Whybox has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

_FOLDER = Path(__file__).parents[1] / ".venv-clients"
_SECONDS = 300


def python_with(*requirements: str) -> Path:
    """The Python of an environment that has these packages; it is made once and kept.

    The test is skipped where it cannot be made, as without a package registry.
    """
    name = requirements[0].partition("[")[0].partition("=")[0]
    folder = _FOLDER / name
    python, made = folder / "bin" / "python", folder / "requirements.txt"
    wanted = "\n".join((sys.version, *requirements))
    _FOLDER.mkdir(exist_ok=True)
    with FileLock(_FOLDER / f"{name}.lock"):
        if not made.exists() or made.read_text() != wanted:
            try:
                _run([sys.executable, "-m", "venv", "--clear", folder])
                _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements])
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                told = (error.stderr or b"").decode(errors="replace").strip().splitlines()
                pytest.skip(f"{name} cannot be installed: {told[-1] if told else error}")
            made.write_text(wanted)
    return python


def apart() -> dict[str, str]:
    """The variables of this process but for those that lead to its own packages."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def _run(command: list[str | Path]) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=_SECONDS, env=apart())
