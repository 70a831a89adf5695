"""Answers of a study, as its store gives them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from whybox_server.studies.protocol import Answer, Protocol
from whybox_server.studies.state import RawVote, RawVotes, Study

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def vote(who: str, picture: str, *cells: str, answer: Answer = Answer.YES, milliseconds: int | None = None) -> RawVote:
    return RawVote(who, picture, cells, answer, milliseconds, AT)


def raw(
    protocol: Protocol, *items: RawVote, gold: Sequence[RawVote] = (), practice: Sequence[RawVote] = (), **study: Any
) -> RawVotes:
    """The answers of an open study; `study` changes its fields."""
    fields: dict[str, Any] = {"kind": "main", "state": "open", "closed_at": None, "close_reason": ""} | study
    opened = Study(protocol.id, protocol, protocol.digest, Path("study"), opened_at=AT, **fields)
    return RawVotes(opened, items, tuple(gold), tuple(practice))
