"""The tables with one row per part agree with each other and with the contract."""

from dataclasses import fields

from whybox import Analysis, AnalyzeOptions, CallOptions, v1
from whybox._messages.parts import PARTS
from whybox._words.parts import SHOWN_PARTS
from whybox.options import ALL_PARTS


def test_each_part_has_one_row_in_each_table() -> None:
    names = [part.name for part in PARTS]
    assert names == list(ALL_PARTS) == [part.name for part in SHOWN_PARTS]
    assert set(names) <= {field.name for field in fields(Analysis)}


def test_parts_are_those_of_the_contract() -> None:
    asked, answered = (
        {field.name for field in message.DESCRIPTOR.fields if field.message_type is not None}
        for message in (v1.AnalyzeRequest, v1.AnalyzeResponse)
    )
    assert asked == set(ALL_PARTS)
    assert answered == {*ALL_PARTS, "timings", "receipt"}


def test_each_option_is_for_one_part_or_for_the_call() -> None:
    options = [option for part in PARTS for option in part.options]
    assert sorted([*options, *CallOptions.__annotations__, "parts"]) == sorted(AnalyzeOptions.__annotations__)
