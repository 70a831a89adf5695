import pytest

from whybox.v1.request_ids import is_usable, new_request_id


@pytest.mark.parametrize("request_id", ["a", "order-66.a_b", "A" * 128, "0"])
def test_ids_of_letters_digits_and_three_signs_are_usable(request_id: str) -> None:
    assert is_usable(request_id)


@pytest.mark.parametrize("request_id", ["", "two words", "A" * 129, "a\n", "ä", "a/b", "a;b"])
def test_other_ids_are_not(request_id: str) -> None:
    assert not is_usable(request_id)


def test_new_ids_are_usable_and_differ() -> None:
    ids = {new_request_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(map(is_usable, ids))
