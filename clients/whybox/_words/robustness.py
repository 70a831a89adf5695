"""Robustness in words: the smallest change found that flips the prediction, how it was found, and corruptions."""

from collections.abc import Iterator, Sequence

from whybox._words.shared import Line, class_words, cost_words, observation_lines, percent_words
from whybox.results import Attack, AttackCheck, Corruption, Distance, MapSimilarity, Robustness, Transfer, Twin

_GREY_LEVELS = 255


def robustness_lines(robustness: Robustness) -> Iterator[Line]:
    """Each distance and what is known of it, then the corruptions."""
    for distance in robustness.distances:
        yield Line(distance_words(distance))
        if distance.reliable or distance.reasons:
            yield Line(reliability_words(distance), "minor" if distance.reliable else "doubtful", depth=1)
        if distance.percentile_note:
            yield Line(percentile_note_words(distance), "minor" if distance.percentile is None else "doubtful", depth=1)
        yield from observation_lines(distance.observations)
        for transfer in distance.transfers:
            yield Line(transfer_words(transfer), "plain" if transfer.error is None else "bad", depth=1)
        if distance.twin is not None:
            yield Line(twin_words(distance.twin), depth=1)
    if robustness.corruptions:
        yield Line(corruptions_words(robustness.corruptions))


def distance_words(distance: Distance) -> str:
    """The size of the change, the attack and its cost, and whether the change survives rounding to 8 bits."""
    searched = f"{distance.attack}, {cost_words(distance.forward_evaluations, distance.gradient_evaluations)}"
    if distance.distance is None:
        radius = size_words(distance.searched_radius, distance.norm)
        return f"{distance.norm}: no flip was found up to {radius}; a smaller flip may still exist ({searched})"
    words = [f"{distance.norm}: a change of {size_words(distance.distance, distance.norm)} {_becomes(distance)}"]
    words.append(f"an upper bound found by {searched}")
    if distance.survives_8bit is not None:
        words.append(_rounding_words(distance))
    if distance.percentile is not None:
        words.append(_percentile_words(distance, distance.percentile))
    return "; ".join(words)


def reliability_words(distance: Distance) -> str:
    """Whether the distance is reliable, and if not, why."""
    if distance.reliable:
        return "reliable: no check speaks against this distance"
    return f"not reliable: {'; '.join(distance.reasons)}" if distance.reasons else "not reliable"


def percentile_note_words(distance: Distance) -> str:
    """Why there is no percentile, or what to know about it."""
    return f"{'no ' if distance.percentile is None else ''}percentile: {distance.percentile_note}"


def size_words(size: float, norm: str) -> str:
    """A size in grey levels for the norm "linf", and in both units for other norms."""
    if norm == "linf":
        levels = f"{size * _GREY_LEVELS:.3g}"
        return f"{levels} grey level{'' if levels == '1' else 's'} of {_GREY_LEVELS}"
    return f"{size:.3g} ({size * _GREY_LEVELS:.3g} in grey levels)"


def transfer_words(transfer: Transfer) -> str:
    """Whether the adversarial picture fools another model, for example "does not fool lite2: pointer 88.0 %"."""
    name = transfer.model
    if transfer.error is not None:
        return f"{name} could not be asked: {transfer.error.message}"
    after = "" if transfer.adversarial_class is None else f": {class_words(transfer.adversarial_class)}"
    if not transfer.fooled:
        return f"does not fool {name}{after}"
    before = "" if transfer.predicted_class is None else f" instead of {class_words(transfer.predicted_class)}"
    return f"also fools {name}{after}{before}"


def twin_words(twin: Twin) -> str:
    """How similar the evidence for the old and the new class is, and how far the evidence for the old class moved."""
    if twin.error is not None:
        return f"the adversarial picture could not be explained: {twin.error.message}"
    if twin.before is None or twin.after is None:
        return "the adversarial picture has no explanation to compare"
    old, new = twin.before.target_label, twin.after.target_label
    evidence = f"{twin.before.method} for {old} before and for {new} after the change"
    moved = f"for {old} before and after: {similarity_words(twin.same_class)}"
    return f"{evidence}: {similarity_words(twin.new_class)}; {moved}"


def similarity_words(similarity: MapSimilarity | None) -> str:
    """How similar two maps are, for example "SSIM 0.85, top overlap 72.0 %, rank correlation 0.91"."""
    if similarity is None:
        return "not compared"
    overlap = percent_words(similarity.top_overlap)
    return f"SSIM {similarity.ssim:.2f}, top overlap {overlap}, rank correlation {similarity.rank_correlation:.2f}"


def corruption_words(corruption: Corruption) -> str:
    """For example "gaussian_noise changes the answer from severity 3 on"."""
    flips = [level.severity for level in corruption.levels if level.flips]
    if corruption.error is not None:
        return f"{corruption.name} could not be tried: {corruption.error.message}"
    if corruption.stopped_by and not corruption.levels:
        return f"{corruption.name} was not tried: the {corruption.stopped_by} came first"
    if not flips:
        tried = f" up to severity {corruption.levels[-1].severity}" if corruption.stopped_by else ""
        return f"{corruption.name} does not change the answer{tried}"
    words = f"{corruption.name} changes the answer"
    if len(corruption.levels) == 1:
        return words
    if len(flips) == 1:
        return f"{words} at severity {flips[0]}"
    if flips == [level.severity for level in corruption.levels][-len(flips) :]:
        return f"{words} from severity {flips[0]} on"
    return f"{words} at the severities {', '.join(map(str, flips[:-1]))} and {flips[-1]}"


def corruptions_words(corruptions: Sequence[Corruption]) -> str:
    """How many corruptions change the answer, and which ones."""
    changing = [corruption_words(corruption) for corruption in corruptions if corruption.first_flip is not None]
    verb = "changes" if len(changing) == 1 else "change"
    count = f"{len(changing)} of {len(corruptions)} corruptions {verb} the answer"
    if short := sum(corruption.stopped_by != "" for corruption in corruptions):
        count += f", {short} {'was' if short == 1 else 'were'} cut short by the deadline"
    changing += [corruption_words(corruption) for corruption in corruptions if corruption.error is not None]
    return f"{count}: {'; '.join(changing)}" if changing else count


def attack_words(attack: Attack) -> str:
    """The norms of an attack, and the kind of evaluations that it spends."""
    return f"{', '.join(attack.norms)}; {attack.evaluations} evaluations"


def attack_check_words(check: AttackCheck) -> str:
    """Whether gradient-based attacks on the model can be trusted."""
    if not check.pictures:
        return "gradient-based attacks were not checked on this model"
    numbers = [
        f"{check.pictures} pictures, {check.attacked} of them attacked with {check.gradient_evaluations} gradients and "
        f"with {check.forward_evaluations} forward passes"
    ]
    numbers.append(f"a gradient-free attack did much better on {percent_words(check.black_box_better_share)}")
    if check.planted:
        numbers.append(
            f"{check.planted_found} of {check.planted} planted changes were found, "
            f"with {check.planted_evaluations} gradients each"
        )
    verdict = "gradient-based attacks can be trusted"
    if not check.reliable:
        verdict = f"gradient-based attacks cannot be trusted: {'; '.join(check.reasons)}"
    return f"{verdict} ({'; '.join(numbers)})"


def _percentile_words(distance: Distance, percentile: float) -> str:
    words = f"{percentile:.0f} % of the class's audited pictures are easier to flip"
    low, high, number = distance.percentile_ci_low, distance.percentile_ci_high, distance.percentile_n
    if low is None or high is None or number is None:
        return words
    return f"{words} (95 % interval {low:.0f} to {high:.0f} %, n = {number})"


def _becomes(distance: Distance) -> str:
    if distance.adversarial_class is None:
        return "flips it"
    words = f"makes it {class_words(distance.adversarial_class)}"
    if distance.runner_up_class is None:
        return words
    if distance.runner_up_class.index == distance.adversarial_class.index:
        return f"{words}, the runner-up"
    return f"{words}, past the runner-up {class_words(distance.runner_up_class)}"


def _rounding_words(distance: Distance) -> str:
    if distance.survives_8bit:
        return "it survives rounding to 8 bits"
    words = "it does not survive rounding to 8 bits"
    if distance.distance_8bit is None:
        return words
    return f"{words}: in 8 bits a flip takes {size_words(distance.distance_8bit, distance.norm)}"
