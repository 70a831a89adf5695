"""A result that time has changed says so, whatever was asked and whenever time ended; the gateway keeps the others."""

import pytest
from google.protobuf.message import Message
from google.rpc import code_pb2

from clocks import Clock, slowed
from handlers.asked import ASKED, DIFFERENTIATED, SERVED, classifier, work_of
from whybox import v1
from whybox_handlers.work.analyzer import Analyzer

# From no time at all to more than anything here takes.
SECONDS = (0.0, 0.02, 0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 16.0, 40.0, 100.0)


def answered(asked: str, seconds: float) -> v1.WorkResult:
    """What a worker answers that has this time on a clock that only passes turn."""
    clock, work = Clock(), work_of(asked)
    work.aim.FromNanoseconds(int((clock() + 0.9 * seconds) * 1e9))
    work.deadline.FromNanoseconds(int((clock() + seconds) * 1e9))
    (result,) = Analyzer(slowed(classifier(), clock, SERVED, DIFFERENTIATED), clock).answer([work])
    return result


@pytest.mark.parametrize("asked", ASKED)
def test_what_time_has_changed_says_so(asked: str) -> None:
    patient = answered(asked, 10_000)
    assert all(code == code_pb2.OK for code in codes(patient.response)), patient.response
    assert not patient.cut_short
    results = [answered(asked, seconds) for seconds in SECONDS]
    for seconds, result in zip(SECONDS, results, strict=True):
        # The first pieces of long work are not its end.
        if result.final and not result.cut_short:
            assert result.response == patient.response, f"{seconds} s"
    assert results[0].cut_short, "no time at all"
    # Some deadlines leave the answer alone, so that the flag is not always up.
    assert any(not result.cut_short for result in results)


def codes(message: Message) -> list[int]:
    """The codes of all statuses in a message."""
    found = []
    for field, value in message.ListFields():
        if field.name == "status":
            found.append(value.code)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            found += [code for each in (value if field.is_repeated else [value]) for code in codes(each)]
    return found
