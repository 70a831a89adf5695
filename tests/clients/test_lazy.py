"""What importing the package loads, and that its names are there all the same."""

import copy
import importlib
import pickle
import pydoc
import subprocess
import sys

import pytest

import whybox
from whybox import options, results
from whybox.v1 import errors

CLIENT = "grpc httpx numpy PIL rich typer whybox.client whybox.results whybox.v1.analysis_pb2_grpc"


@pytest.mark.parametrize("code", ["import whybox.v1", "import whybox", "from whybox.v1 import errors, request_ids"])
def test_the_contract_loads_nothing_of_the_client(code: str) -> None:
    code = f"import sys; {code}; print(*sorted(set(sys.modules) & set({CLIENT.split()!r})))"
    assert output_of(code) == ""


def test_other_names_load_nothing_either() -> None:
    code = "import sys, whybox; hasattr(whybox, 'torch'); hasattr(whybox, '__path__'); print('numpy' in sys.modules)"
    assert output_of(code) == "False"


@pytest.mark.parametrize(
    "code",
    [
        "import whybox; print(whybox.Client.__name__)",
        "from whybox import Client; print(Client.__name__)",
        "from whybox import *; print(Client.__name__, end='')",
        "import whybox; whybox.v1; whybox.results; whybox.options; print('Client' * ('Client' in dir(whybox)))",
    ],
)
def test_names_are_loaded_when_they_are_used(code: str) -> None:
    assert output_of(code) == "Client"


def output_of(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("name", whybox.__all__)
def test_every_name_resolves_to_what_it_says(name: str) -> None:
    value = getattr(whybox, name)
    assert value.__name__ == name
    # The defining module has the same object.
    assert getattr(importlib.import_module(value.__module__), name) is value
    assert name in dir(whybox)


def test_nothing_is_left_out() -> None:
    exceptions = {name for name in vars(errors) if name.endswith("Error")}
    typed_dicts = {name for name, value in vars(options).items() if hasattr(value, "__total__")}
    # `Part` is only the base of the parts.
    values = set(results.__all__) - {"Part"}
    assert exceptions | typed_dicts | values | {"Client", "Operation", "contact_sheet"} == set(whybox.__all__)


def test_unknown_names_are_told() -> None:
    with pytest.raises(AttributeError, match=r"^module 'whybox' has no attribute 'Klient'$"):
        getattr(whybox, "Klient")  # noqa: B009 (a typo that type checkers need not see)
    with pytest.raises(ImportError, match="cannot import name 'Klient' from 'whybox'"):
        exec("from whybox import Klient")  # noqa: S102 (a typo that type checkers need not see)


def test_help_shows_the_names() -> None:
    text = pydoc.plain(pydoc.render_doc(whybox))
    assert "class Client" in text
    assert "contact_sheet(" in text


def test_results_can_be_copied_and_pickled(analysis: whybox.Analysis) -> None:
    prediction = analysis.prediction
    assert pickle.loads(pickle.dumps(prediction)) == prediction  # noqa: S301 (of our own making)
    assert copy.deepcopy(prediction) == prediction
