"""A study of one's own as the subject of a report."""

from collections import Counter

from whybox_server.studies.report.subject import Count, Subject
from whybox_server.studies.state import RawVotes

_KINDS = {
    "pilot": "This was a pilot: its answers try the study out, and never count for it.",
    "preview": "This was a preview: its answers try the pages out, and never count for the study.",
}


def subject_of(raw: RawVotes) -> Subject:
    """What the results of a study are about."""
    study, protocol = raw.study, raw.study.protocol
    answers = Counter((vote.picture_id, cell) for vote in raw.items for cell in vote.cells)
    needed = protocol.policy.annotators_per_cell
    asked = [(picture.id, cell) for picture in protocol.pictures for item in picture.items for cell in item.cells]
    few = sum(answers[question] < needed for question in asked)
    limits = []
    if study.kind in _KINDS:
        limits.append(_KINDS[study.kind])
    if study.state == "open":
        limits.append("The study is still open: these results will change.")
    elif few:
        limits.append(
            f"The study was closed before every question had its {needed} answers. Reason: {study.close_reason}"
        )
    wording = protocol.wording
    return Subject(
        study=study.id,
        digest=study.digest,
        title=wording.title,
        model=f"{protocol.source.model} {protocol.source.version}",
        data=protocol.source.data,
        source="",
        asked=wording.question.replace("{label}", "…"),
        counts=(
            Count(f"questions with at least {needed} answers", len(asked) - few, len(asked)),
            Count("pictures of errors", sum(p.stratum == "error" for p in protocol.pictures), protocol.source.errors),
            Count(
                "pictures of correct answers",
                sum(p.stratum == "correct" for p in protocol.pictures),
                protocol.source.correct,
            ),
        ),
        limits=tuple(limits),
    )
