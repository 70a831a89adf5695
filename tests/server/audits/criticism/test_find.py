"""Findings on planted effects: each condition of a flag alone, and what stands beside it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import numpy.typing as npt
import pytest
from google.protobuf.json_format import ParseDict

from server.audits.criticism.planted import LABELS, distance_flag, flags, measured, shifted
from whybox import v1
from whybox_server.audits.criticism.columns import Question
from whybox_server.audits.criticism.find import find, with_repeat
from whybox_server.audits.criticism.options import CriticismOptions
from whybox_server.audits.criticism.pictures import CriticismError, Floats, Measurements

SPREAD = np.linspace(0.01, 1, 100)


def planted(
    n_with: int = 40, n_without: int = 60, factor: float = 0.2, wrong: tuple[int, int] = (0, 0), **more: object
) -> Measurements:
    """Distances that are `factor` times as large with the cue, beside wrong answers of both groups."""
    distances = np.concatenate(
        [np.linspace(0.01, factor, n_with), np.zeros(wrong[0]), np.linspace(0.01, 1, n_without), np.zeros(wrong[1])]
    )
    having = [1] * (n_with + wrong[0]) + [0] * (n_without + wrong[1])
    return measured(distances.tolist(), {"cue": having}, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("factor", "sign", "words"), [(0.2, -1, "easier to attack"), (5.0, 1, "harder to attack")])
def test_a_distance_effect(factor: float, sign: int, words: str) -> None:
    flag = distance_flag(planted(factor=factor))
    assert (flag.state, flag.attribute, flag.value, flag.class_label) == ("flagged", "cue", "1", "cat")
    assert flag.effect is not None
    assert flag.effect * sign > 0.5
    assert (flag.n, flag.n_with, flag.n_without, flag.norm) == (100, 40, 60, "linf")
    assert (flag.reasons, flag.minimum_detectable_effect, flag.split_half_agreement) == ((), None, 100)
    assert f"pictures of cat annotated cue = 1 are {words} than others" in flag.message.lower()


@pytest.mark.parametrize(("n_with", "tested"), [(9, False), (10, True)])
def test_a_column_without_large_groups_is_not_tested(n_with: int, tested: bool) -> None:
    found = find(planted(n_with), LABELS)
    [column] = found.columns
    assert (column.tested, bool(found.manifest["family"])) == (tested, tested)
    assert column.reason == ("" if tested else "has no two groups of 10 pictures that can be compared in any class")


@pytest.mark.parametrize(("wrong", "sign", "words"), [((30, 10), 1, "more often"), ((2, 60), -1, "less often")])
def test_a_gap_of_error_rates(wrong: tuple[int, int], sign: int, words: str) -> None:
    flag = flags(planted(wrong=wrong, factor=1.0))["error_rate"]
    rates = wrong[0] / (40 + wrong[0]), wrong[1] / (60 + wrong[1])
    assert flag.state == "flagged"
    assert flag.effect == pytest.approx(rates[0] - rates[1])
    assert (flag.accuracy_with, flag.accuracy_without) == pytest.approx((1 - rates[0], 1 - rates[1]))
    assert np.sign(rates[0] - rates[1]) == sign
    assert (flag.norm, flag.repeats, flag.unselected_effect) == ("", (), None)
    assert words in flag.message


@pytest.mark.parametrize(("confidences", "sign"), [((0.9, 0.5), 1), ((0.5, 0.9), -1), ((0.7, 0.7), 0)])
def test_a_gap_of_calibration(confidences: tuple[float, float], sign: int) -> None:
    """Half of the answers are right in both groups."""
    confidence = [confidences[0]] * 80 + [confidences[1]] * 120
    flag = flags(planted(wrong=(40, 60), factor=1.0, confidence=confidence))["calibration"]
    assert flag.effect == pytest.approx(confidences[0] - confidences[1])
    assert flag.state == ("flagged" if sign else "not_detected")


def test_what_was_not_measured_is_not_tested() -> None:
    assert set(flags(planted())) == {"adversarial_criticism", "error_rate"}
    bare = replace(planted(wrong=(9, 9)), distances={}, searched_radius={}, reasons={})
    assert set(flags(bare)) == {"error_rate"}
    [criticised] = find(bare, LABELS).classes
    assert (criticised.prototypes, criticised.criticisms, len(criticised.misclassified)) == ((), (), 18)


@pytest.mark.parametrize(
    ("n_with", "min_group", "state"),
    [(9, 10, "insufficient_data"), (10, 10, "flagged"), (19, 20, "insufficient_data"), (20, 20, "flagged")],
)
def test_small_groups_are_never_flagged(n_with: int, min_group: int, state: str) -> None:
    flag = distance_flag(planted(n_with=n_with, factor=0.05), CriticismOptions(min_group=min_group))
    assert (flag.state, flag.n_with, flag.n_without) == (state, n_with, 60)
    # Nothing but its size is said about a group below 10.
    assert (flag.effect is None) == (n_with < 10)


def test_a_small_group_without_an_effect_is_not_detected_with_what_would_have_been() -> None:
    generator = np.random.default_rng(3)
    distances, snow = shifted(19, 106, -0.2, generator)
    flag = distance_flag(measured(distances, {"snow": snow}))
    assert flag.state == "not_detected"
    assert flag.minimum_detectable_effect == pytest.approx(0.5, abs=0.03)
    assert "is neither shown nor excluded; an effect of 0.48 would have been flagged" in flag.message


def test_an_excluded_effect_is_said_to_be_excluded() -> None:
    flag = distance_flag(planted(n_with=3000, n_without=3000, factor=1.0))
    assert flag.state == "not_detected"
    assert "an effect beyond 0.1 is excluded" in flag.message


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (CriticismOptions(delta_threshold=0.6), "its interval does not lie beyond 0.6"),
        (CriticismOptions(delta_threshold=0.2), None),
    ],
)
def test_the_interval_must_lie_beyond_the_threshold(options: CriticismOptions, reason: str | None) -> None:
    flag = distance_flag(planted(factor=0.4), options)
    assert flag.reasons == ((reason,) if reason else ())
    assert flag.state == ("not_detected" if reason else "flagged")


def test_a_selected_effect_is_said_to_be_selected() -> None:
    flag = distance_flag(planted(wrong=(40, 0)))
    assert flag.state == "flagged"
    assert (
        "The test compares the pictures that stayed right, 50 % of those with the value and 100 % of the"
        in flag.message
    )
    assert flag.unselected_effect is not None
    assert flag.effect is not None
    assert flag.unselected_effect < flag.effect
    assert "The test compares" not in distance_flag(planted(wrong=(4, 5))).message


def test_an_effect_that_the_selection_turns_round_is_not_flagged() -> None:
    """With the cue most pictures are wrong; those that stayed right are hard to attack."""
    flag = distance_flag(planted(factor=3.0, wrong=(120, 0)))
    assert flag.effect is not None
    assert flag.unselected_effect is not None
    assert flag.unselected_effect < 0 < flag.effect
    assert flag.state == "not_detected"
    [reason] = flag.reasons
    assert "the effect has the other sign" in reason


def test_halves_that_disagree_are_not_flagged() -> None:
    """Thirty near-duplicates carry the effect: they stay in one half, and the other has none."""
    without = np.linspace(0.01, 1, 60)
    distances = [*np.linspace(0.001, 0.009, 30), *np.linspace(0.012, 1, 20), *without]
    cue = {"cue": [1] * 50 + [0] * 60}
    alone = distance_flag(measured(distances, cue))
    together = distance_flag(measured(distances, cue, groups=[0] * 30 + list(range(1, 81))))
    assert alone.state == "flagged"
    assert together.effect == alone.effect
    assert together.state == "not_detected"
    assert "splits, below 95" in together.reasons[0]


@pytest.mark.parametrize(
    ("primary", "other", "state", "words"),
    [
        (0.2, 1.0, "flagged", "norm l2, which does not decide: the interval"),
        (1.0, 0.2, "not_detected", "lies beyond 0.1"),
        (0.2, 0.2, "flagged", ""),
    ],
)
def test_other_norms_are_told_and_do_not_decide(primary: float, other: float, state: str, words: str) -> None:
    others = planted(factor=other).distances["linf"].tolist()
    flag = distance_flag(planted(factor=primary, other_norms={"l2": others}))
    assert flag.state == state
    [repeat] = flag.repeats
    assert (repeat.what, repeat.beyond_threshold) == ("norm l2", other == 0.2)
    assert words.lower() in flag.message.lower()
    assert ("which does not decide" in flag.message) == bool(words)


def test_a_flag_is_repeated_without_doubtful_distances() -> None:
    doubtful = [True] * 35 + [False] * 65
    [repeat] = distance_flag(planted(reasons=doubtful)).repeats
    assert (repeat.what, repeat.effect, repeat.n_with) == ("without distances that carry reasons", None, 5)
    flag = distance_flag(planted(reasons=[True] * 10 + [False] * 90))
    assert flag.repeats[0].n_with == 30
    assert flag.repeats[0].effect != flag.effect
    assert distance_flag(planted()).repeats == ()


def test_a_flag_is_repeated_at_another_budget() -> None:
    options = CriticismOptions()
    found = find(planted(), LABELS, options)
    same = with_repeat(found, planted(), "at budget standard", options).flags[0]
    other = with_repeat(found, planted(factor=1.0), "at budget standard", options).flags[0]
    assert same.repeats[0].effect == same.effect
    assert same.message == found.flags[0].message
    assert other.state == "flagged"
    assert "At budget standard, which does not decide: the interval" in other.message
    assert with_repeat(found, planted(), "at budget standard", options).flags[1] == found.flags[1]


@pytest.mark.parametrize(
    ("radii", "method"),
    [
        (np.full(100, 1.0), "stratified rank test, asymptotic"),
        (np.full(100, 0.5), "log-rank test"),  # a change beyond the radius was found elsewhere
        (np.where(SPREAD > 0.95, 2.0, 1.0), "log-rank test"),
    ],
)
def test_censored_distances_rank_above_all_others_of_one_radius(radii: Floats, method: str) -> None:
    distances, cue = np.where(SPREAD > 0.9, np.inf, SPREAD), np.arange(100) % 10 > 4
    flag = distance_flag(measured(distances.tolist(), {"cue": (1 * cue).tolist()}, radii=radii.tolist()))
    assert flag.p_value_method == method
    certain = np.where(np.isinf(distances), radii, distances)
    pairs = [
        float(distances[j] <= certain[i] and distances[i] != distances[j])
        - float(distances[i] <= certain[j] and distances[i] != distances[j])
        for i in np.flatnonzero(cue)
        for j in np.flatnonzero(~cue)
    ]
    assert flag.effect == pytest.approx(np.mean(pairs))


def test_where_many_distances_are_censored_only_the_tails_speak() -> None:
    distances = np.where(np.arange(100) % 50 < 12, np.inf, SPREAD)
    [finding, _] = find(measured(distances.tolist(), {"cue": [0] * 50 + [1] * 50}), LABELS).findings
    assert finding.flag.state == "insufficient_data"
    assert finding.flag.reasons == ("no change was found for 24 % of a group, more than 20 %: only the tails speak",)
    assert finding.flag.effect is None
    assert [tail.name for tail in finding.tails] == ["prototypes", "criticisms"]


@pytest.mark.parametrize(
    ("n_with", "method"), [(29, "9999 permutations within strata"), (30, "stratified rank test, asymptotic")]
)
def test_small_groups_are_permuted(n_with: int, method: str) -> None:
    assert distance_flag(planted(n_with=n_with)).p_value_method == method


def test_the_family_holds_all_tests_and_does_not_shrink_by_naming_attributes() -> None:
    generator = np.random.default_rng(0)
    columns: dict[str, npt.ArrayLike] = {
        "cue": [1] * 40 + [0] * 60,
        "three": list("abcd") * 25,
        "few": [1] * 5 + [0] * 95,
    }
    columns |= {f"coin {row}": generator.integers(2, size=100).tolist() for row in range(8)}
    pictures = measured(planted(factor=0.45).distances["linf"].tolist(), columns, confidence=[0.5] * 100)
    all_of_them = find(pictures, LABELS)
    named = find(pictures, LABELS, CriticismOptions(attributes=("cue",)))
    # Three kinds of the cue, of four values and of eight coins; the small group is left out.
    assert all_of_them.manifest["family"] == named.manifest["family"] == 3 * (1 + 4 + 8)
    assert {flag.attribute for flag in named.flags} == {"cue"}
    assert [flag for flag in all_of_them.flags if flag.attribute == "cue"] == list(named.flags)
    crossed = find(pictures, LABELS, CriticismOptions(attributes=("cue",), crosses=(("cue", "three"),)))
    assert crossed.manifest["family"] == 3 * (1 + 4 + 8 + 8)
    assert crossed.flags[0].q_value > named.flags[0].q_value  # type: ignore[operator]


def test_pictures_without_a_value_are_left_out() -> None:
    cue = ["1"] * 40 + ["0"] * 50 + ["", "unknown"] * 5
    flag = distance_flag(measured(planted().distances["linf"].tolist(), {"cue": cue}))
    assert (flag.n_with, flag.n_without) == (40, 50)


def confounded(own: float, seed: int) -> Measurements:
    """Wide pictures are easier to attack and have the cue more often; the cue itself divides distances by `own`."""
    generator = np.random.default_rng(seed)
    wide = generator.random(400) < 0.5
    cue = generator.random(400) < np.where(wide, 0.8, 0.2)
    distances = generator.exponential(1, 400) / np.where(wide, 4, 1) / np.where(cue, own, 1)
    return measured(distances.tolist(), {"cue": (1 * cue).tolist()}, confounders={"wide": (1 * wide).tolist()})


@pytest.mark.parametrize(("own", "state"), [(1.0, "not_detected"), (3.0, "flagged")])
def test_groups_are_compared_within_confounders(own: float, state: str) -> None:
    pictures = confounded(own, seed=0)
    assert distance_flag(pictures).state == "flagged"
    flag = distance_flag(pictures, CriticismOptions(confounders=("wide",)))
    assert flag.state == state
    assert flag.confounders == ("wide",)
    assert flag.adjusted_ci_low is not None
    assert flag.adjusted_ci_high is not None
    assert (flag.adjusted_ci_low <= 0 <= flag.adjusted_ci_high) == (own == 1)
    assert ("a regression with the confounders does not show it" in flag.message.lower()) == (own == 1)


def test_confounders_that_tell_the_attribute_leave_nothing_to_compare() -> None:
    pictures = planted(confounders={"wide": [1] * 40 + [0] * 60})
    flag = distance_flag(pictures, CriticismOptions(confounders=("wide",)))
    assert (flag.state, flag.n_with, flag.n_without, flag.effect) == ("insufficient_data", 40, 60, None)
    assert flag.reasons == ("pictures with the same values of the confounders are in one group",)


@pytest.mark.parametrize(
    ("factor", "number", "state", "reason"),
    [
        (0.5, 40, "flagged", None),
        (2.0, 40, "not_detected", "the other part does not confirm it"),
        (0.5, 5, "insufficient_data", "in the part that would confirm it, a group has fewer than 10"),
        (0.1, 15, "insufficient_data", "a group has 15 pictures, and a flag needs 20"),
    ],
)
@pytest.mark.parametrize("as_split", [True, False])
def test_another_part_confirms(factor: float, number: int, state: str, reason: str | None, as_split: bool) -> None:
    first, second = planted(), planted(n_with=number, n_without=45, factor=factor)
    if as_split:
        both = measured(
            [*first.distances["linf"], *second.distances["linf"]],
            {"cue": [*first.attributes["cue"], *second.attributes["cue"]]},
            split=["a"] * 100 + ["b"] * (number + 45),
        )
        [flag, _] = find(both, LABELS, CriticismOptions(discovery="a")).flags
    else:
        [flag, _] = find(first, LABELS, confirming=second).flags
    assert flag.state == state
    assert [reason in given for given in flag.reasons] == ([True] if reason else [])  # type: ignore[operator]
    alone = distance_flag(first)
    assert (flag.p_value, flag.q_value) == (alone.p_value, alone.q_value)
    if flag.confirmation_p_value is not None:
        assert (flag.n_with, flag.n_without) == (number, 45)
        assert flag.effect == distance_flag(second).effect
        assert (flag.confirmation_p_value < 0.05) == (factor < 1)


def test_a_part_that_finds_nothing_asks_for_no_confirmation() -> None:
    flag = find(planted(factor=1.0), LABELS, confirming=planted()).flags[0]
    assert (flag.state, flag.n_with, flag.confirmation_p_value) == ("not_detected", 40, None)


@pytest.mark.parametrize(
    ("split", "options", "message"),
    [
        (["a", "b", "c", "d"] * 25, CriticismOptions(), "split must have two values, but has 4"),
        (["a"] * 100, CriticismOptions(), "split must have two values, but has 1"),
        (["a", "b"] * 50, CriticismOptions(discovery="c"), "the parts of the split are 'a' and 'b'"),
    ],
)
def test_splits_that_do_not_fit(split: list[str], options: CriticismOptions, message: str) -> None:
    with pytest.raises(CriticismError, match=message):
        find(planted(split=split), LABELS, options)


def test_a_split_and_another_audit_do_not_both_confirm() -> None:
    with pytest.raises(CriticismError, match="give one of them"):
        find(planted(split=["a", "b"] * 50), LABELS, confirming=planted())


@pytest.mark.parametrize(
    ("confirming", "message"),
    [
        (replace(planted(confidence=[0.5] * 100), attributes={}), "no attribute 'cue'"),
        (replace(planted(confidence=[0.5] * 100), distances={}, searched_radius={}, reasons={}), "no distances"),
        (planted(), "no confidence"),
    ],
)
def test_another_audit_must_have_measured_the_same(confirming: Measurements, message: str) -> None:
    with pytest.raises(CriticismError, match=f"the audit that would confirm has {message}"):
        find(planted(confidence=[0.5] * 100), LABELS, confirming=confirming)


def test_a_part_without_the_class_confirms_nothing() -> None:
    flag = find(planted(), LABELS, confirming=planted(labels=[1] * 100)).flags[0]
    assert (flag.state, flag.n_with) == ("insufficient_data", 40)
    assert "in the part that would confirm it, a group has fewer than 10" in flag.reasons[0]


def test_labels_must_have_names() -> None:
    with pytest.raises(CriticismError, match="labels must be 0 to 2"):
        find(planted(labels=[3] * 100), LABELS)


def test_what_is_tested_can_be_followed() -> None:
    followed: list[Question] = []
    measurements = planted(wrong=(9, 9))

    def follow(tested: Sequence[Question]) -> Sequence[Question]:
        followed.extend(tested)
        return tested

    found = find(measurements, LABELS, followed=follow)
    assert [(each.kind, each.attribute) for each in followed] == [(flag.kind, flag.attribute) for flag in found.flags]
    assert found == find(measurements, LABELS)


def test_no_pictures_find_nothing() -> None:
    found = find(measured([], {"cue": []}), LABELS)
    assert (found.findings, found.classes) == ((), ())


def test_the_larger_part_finds_and_the_manifest_says_so() -> None:
    manifest = find(planted(split=["a"] * 30 + ["b"] * 60 + [""] * 10), LABELS).manifest
    assert manifest["parts"] == {"discovery": "b", "confirmation": "a"}


def test_prototypes_and_criticisms_of_each_class() -> None:
    pictures = measured([0.0, 3, 1, 2, 5, np.inf, 0.5], {"cue": [0, 1, 0, 1, 0, 1, 0]}, labels=[1] + [2] * 6)
    dog, owl = find(pictures, LABELS).classes
    assert (dog.class_label, dog.pictures, dog.right, dog.misclassified) == ("dog", 1, 0, ("0.png",))
    assert (owl.class_label, owl.pictures, owl.right) == ("owl", 6, 6)
    assert [(example.file, example.distance) for example in owl.prototypes] == [("5.png", None)]
    assert [(example.file, example.distance) for example in owl.criticisms] == [("6.png", 0.5)]


def test_findings_are_json_and_their_flags_are_those_of_the_contract() -> None:
    pictures = planted(
        wrong=(9, 3),
        confidence=[0.5] * 112,
        confounders={"wide": ["0", "1"] * 56},
        other_norms={"l2": planted(wrong=(9, 3)).distances["linf"].tolist()},
    )
    found = find(pictures, LABELS, CriticismOptions(confounders=("wide",)), audit_id="audit-1")
    entries = json.loads(json.dumps(found.to_entries(), allow_nan=False))
    assert len(entries["flags"]) == len(entries["tails"]) == 3
    for entry, flag in zip(entries["flags"], found.flags, strict=True):
        # Reviewers' notes are kept beside the findings.
        assert entry.keys() == set(v1.BiasFlag.DESCRIPTOR.fields_by_name) - {"notes"}
        message = ParseDict(entry, v1.BiasFlag())
        assert message.effect == flag.effect
        assert message.message.startswith("In audit audit-1, ")
    assert len(asdict(found.flags[0])["repeats"]) == 1
    assert found == find(pictures, LABELS, CriticismOptions(confounders=("wide",)), audit_id="audit-1")


@pytest.mark.parametrize("null", ["permuted", "irrelevant", "confounder only"])
def test_false_positives_of_the_whole_decision(null: str) -> None:
    """Fewer than 5 % of the flags are wrong where there is no effect, as fewer than 3 of 60 show."""
    generator = np.random.default_rng(0)
    real = planted(n_with=60, n_without=80, factor=0.3, wrong=(20, 10))
    flagged = 0
    for trial in range(60):
        options = CriticismOptions()
        if null == "permuted":
            pictures = replace(real, attributes={"cue": generator.permutation(real.attributes["cue"])})
        elif null == "irrelevant":
            right = generator.random(150) < 0.8
            cue = generator.integers(2, size=150).tolist()
            pictures = measured((generator.exponential(1, 150) * right).tolist(), {"cue": cue})
        else:
            pictures, options = confounded(1.0, trial), CriticismOptions(confounders=("wide",))
        flagged += any(flag.state == "flagged" for flag in find(pictures, LABELS, options).flags)
    assert flagged < 3


def test_no_permuted_column_is_flagged_beside_a_real_one() -> None:
    generator = np.random.default_rng(0)
    real = planted(n_with=60, n_without=80, factor=0.2)
    cue = real.attributes["cue"]
    columns = {"cue": cue, **{f"permuted {row}": generator.permutation(cue) for row in range(20)}}
    found = find(replace(real, attributes=columns), LABELS)
    assert {flag.attribute for flag in found.flags if flag.state == "flagged"} == {"cue"}
