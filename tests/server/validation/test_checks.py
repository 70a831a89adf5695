"""What is offered in place of a name that is not known."""

import pytest

from whybox_server.validation.checks import did_you_mean

KNOWN = ["tench", "tent", "goldfish", "great white shark"]


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("tensh", "did you mean 'tench' or 'tent'?"),
        ("goldfsh", "did you mean 'goldfish'?"),
        ("", ""),
        ("xyz", ""),
    ],
)
def test_similar_names_are_offered(name: str, question: str) -> None:
    assert did_you_mean(name, KNOWN) == question


def test_at_most_n_names_are_offered() -> None:
    assert did_you_mean("tensh", KNOWN, n=1) == "did you mean 'tench'?"
    assert did_you_mean("aa", ["aab", "aac", "aad", "aae"]).count("'") == 2 * 3


def test_known_names_may_come_from_any_iterable() -> None:
    assert did_you_mean("goldfsh", iter(KNOWN)) == "did you mean 'goldfish'?"


def test_only_the_beginning_of_a_long_name_is_compared() -> None:
    known = ["a" * 100]
    assert did_you_mean("a" * 100 + "b" * 10_000, known) == f"did you mean {known[0]!r}?"
    assert did_you_mean("b" * 100 + "a" * 10_000, known) == ""
