"""The results of a study in words."""

from collections.abc import Iterable, Iterator, Sequence

from whybox.results.studies.outcome import Agreement, CellOutcome, Contrast, Count, Estimate, Exclusions

_ARMS = {"none": "no explanation", "feature": "where the model looked", "example": "nearest pictures"}
_VERSIONS = {"clean": "clean pictures", "adversarial": "adversarial pictures"}
_ASKED = {"model": "", "given": "the data set's label", "foil": "a foil's label"}


def cell_words(name: str) -> str:
    """A cell, for example "nearest pictures, adversarial pictures" for "example/adversarial/model"."""
    arm, version, asked = _parts(name)
    return _joined(_ARMS.get(arm, arm), _VERSIONS.get(version, version), _ASKED.get(asked, f"the label {asked}"))


def is_clean(name: str) -> bool:
    """Whether a cell shows pictures as they are."""
    return _parts(name)[1] == "clean"


def contrast_words(plus: Sequence[str], minus: Sequence[str]) -> str:
    """A difference, for example "feature - none, clean pictures"; what all its cells have in common is said once.

    A difference of differences is told by what differs: "feature - none, adversarial - clean pictures".
    """
    added, taken = [_parts(name) for name in plus], [_parts(name) for name in minus]
    asked = {part[2] for part in (*added, *taken)}
    if len(asked) == 1:
        label = _ASKED.get(added[0][2], f"the label {added[0][2]}")
        match added, taken:
            case [(arm, version, _)], [(other, same, _)] if version == same:
                return _joined(f"{arm} - {other}", _VERSIONS.get(version, version), label)
            case [(arm, version, _), (other, before, _)], [(other_too, version_too, _), (arm_too, before_too, _)] if (
                other,
                version,
                arm,
                before,
            ) == (other_too, version_too, arm_too, before_too):
                return _joined(f"{arm} - {other}", f"{version} - {before} pictures", label)
    return f"{_sum(plus)} - {_sum(minus)}"


def _joined(*words: str) -> str:
    return ", ".join(word for word in words if word)


def _sum(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"({' + '.join(names)})"


def result_lines(
    head: Iterable[str],
    counts: Iterable[Count],
    cells: Iterable[CellOutcome],
    contrasts: Iterable[Contrast],
    agreement: Iterable[Agreement],
    exclusions: Exclusions,
) -> Iterator[str]:
    """The main results, the estimand in `head` before the first interval."""
    yield from (line for line in head if line)
    for count in counts:
        yield f"{count.what}: {count.number:,} of {count.of:,}"
    for cell in cells:
        yield from _cell_lines(cell)
    for contrast in contrasts:
        if contrast.registered and contrast.p_holm is not None:
            yield (
                f"{contrast_words(contrast.plus, contrast.minus)}: {_points(contrast.difference)},"
                f" p {contrast.p_holm:.2g} after Holm, {contrast.pictures:,} pictures"
            )
    for each in agreement:
        if each.scope == "all_cells" and each.alpha is not None:
            yield f"agreement of people: Krippendorff's alpha {each.alpha:.3f}"
    if exclusions.excluded:
        yield f"excluded for gold: {exclusions.excluded} people with {exclusions.answers_dropped:,} answers"


def _cell_lines(cell: CellOutcome) -> Iterator[str]:
    yield f"{cell_words(cell.cell)}: {cell.questions:,} questions, {cell.votes:,} votes"
    if cell.rectified is not None and is_clean(cell.cell):
        yield f"  standard error {_percent(cell.standard_error)}, rectified error {_interval(cell.rectified)}"
        yield (
            f"  errors accepted: {cell.majority_accepted_errors:,} of {cell.asked_errors:,};"
            f" correct answers rejected: {cell.majority_rejected_correct:,} of {cell.asked_correct:,}"
        )
        if cell.accepted_at_least < cell.accepted_at_most:
            yield (
                f"  with all that was never asked about it lies between {_percent(1 - cell.accepted_at_most)} and"
                f" {_percent(1 - cell.accepted_at_least)}"
            )
    else:
        yield f"  accepted {_interval(cell.accepted)}"


def _parts(name: str) -> tuple[str, str, str]:
    arm, _, rest = name.partition("/")
    version, _, asked = rest.partition("/")
    return arm, version, asked


def _interval(estimate: Estimate) -> str:
    return f"{_percent(estimate.estimate)} ({_percent(estimate.low)} to {_percent(estimate.high)})"


def _points(estimate: Estimate) -> str:
    return f"{100 * estimate.estimate:+.1f} points ({100 * estimate.low:+.1f} to {100 * estimate.high:+.1f})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
