from typing import Any

import pytest

from presence import present
from whybox import Corruption, Distance, Robustness, Twin, v1
from whybox._messages.models import read_model
from whybox._messages.reading import read_analysis
from whybox._words import robustness as words

DOG = v1.ClassScore(index=251, label="dalmatian", probability=0.712)
POINTER = v1.ClassScore(index=178, label="pointer", probability=0.33)
GONE = {"code": 14, "message": "gone"}


def read(message: v1.Robustness) -> Robustness:
    return present(read_analysis(v1.AnalyzeResponse(robustness=message), b"").robustness)


def distance(**fields: Any) -> Distance:
    message = v1.Robustness(distances=[v1.Distance(**{"norm": "linf", "attack": "fmn", "state": "found", **fields})])
    [value] = read(message).distances
    return value


FOUND = {"distance": 0.5 / 255, "adversarial_class": POINTER, "gradient_evaluations": 9, "forward_evaluations": 1}
SEARCHED = "an upper bound found by fmn, 9 gradients, 1 forward pass"
CHANGE = "linf: a change of 0.5 grey levels of 255 makes it pointer 33.0 %"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (FOUND, f"{CHANGE}; {SEARCHED}"),
        (
            {"distance": 1 / 255},
            "linf: a change of 1 grey level of 255 flips it; "
            "an upper bound found by fmn, 0 gradients, 0 forward passes",
        ),
        (FOUND | {"runner_up_class": POINTER}, f"{CHANGE}, the runner-up; {SEARCHED}"),
        (FOUND | {"runner_up_class": DOG}, f"{CHANGE}, past the runner-up dalmatian 71.2 %; {SEARCHED}"),
        (FOUND | {"survives_8bit": True}, f"{CHANGE}; {SEARCHED}; it survives rounding to 8 bits"),
        (FOUND | {"survives_8bit": False}, f"{CHANGE}; {SEARCHED}; it does not survive rounding to 8 bits"),
        (
            FOUND | {"survives_8bit": False, "distance_8bit": 2 / 255},
            f"{CHANGE}; {SEARCHED}; it does not survive rounding to 8 bits: "
            "in 8 bits a flip takes 2 grey levels of 255",
        ),
        (
            FOUND | {"norm": "l2", "distance": 0.2, "percentile": 40.0},
            "l2: a change of 0.2 (51 in grey levels) makes it pointer 33.0 %; "
            f"{SEARCHED}; 40 % of the class's audited pictures are easier to flip",
        ),
        (
            FOUND | {"percentile": 0.0, "percentile_n": 1, "percentile_ci_low": 0.0, "percentile_ci_high": 79.3},
            f"{CHANGE}; {SEARCHED}; "
            "0 % of the class's audited pictures are easier to flip (95 % interval 0 to 79 %, n = 1)",
        ),
        (
            {"norm": "l2", "state": "not_found", "attack": "square", "searched_radius": 2, "forward_evaluations": 90},
            "l2: no flip was found up to 2 (510 in grey levels); a smaller flip may still exist "
            "(square, 0 gradients, 90 forward passes)",
        ),
    ],
)
def test_distances(fields: dict[str, Any], expected: str) -> None:
    assert words.distance_words(distance(**fields)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"reliable": True}, "reliable: no check speaks against this distance"),
        ({"reasons": ["one", "two"]}, "not reliable: one; two"),
        ({}, "not reliable"),
    ],
)
def test_reliability(fields: dict[str, Any], expected: str) -> None:
    assert words.reliability_words(distance(**fields)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"fooled": True, "predicted_class": DOG, "adversarial_class": POINTER},
            "also fools lite2: pointer 33.0 % instead of dalmatian 71.2 %",
        ),
        ({"fooled": True}, "also fools lite2"),
        ({"predicted_class": DOG, "adversarial_class": DOG}, "does not fool lite2: dalmatian 71.2 %"),
        ({"status": GONE}, "lite2 could not be asked: gone"),
    ],
)
def test_transfers(fields: dict[str, Any], expected: str) -> None:
    [transfer] = distance(transfers=[v1.Transfer(model="lite2", **fields)]).transfers
    assert words.transfer_words(transfer) == expected


def test_a_corruption_that_failed() -> None:
    message = v1.Robustness(corruptions=[v1.Corruption(name="fog", status=GONE)])
    failed = read(message).corruptions
    assert words.corruption_words(failed[0]) == "fog could not be tried: gone"
    told = words.corruptions_words([corruption("mirror", "x"), *failed])
    assert told == "1 of 2 corruptions changes the answer: mirror changes the answer; fog could not be tried: gone"


def twin(**fields: Any) -> Twin:
    return present(distance(twin=v1.Twin(**fields)).twin)


def side(label: str) -> v1.Explanation:
    return v1.Explanation(method="grad_cam", target_label=label, regions=v1.Regions())


def test_twins() -> None:
    moved = v1.MapSimilarity(ssim=0.9, top_overlap=0.8, rank_correlation=0.7)
    other = v1.MapSimilarity(ssim=0.25, top_overlap=0.125, rank_correlation=-0.5)
    told = words.twin_words(twin(before=side("dalmatian"), after=side("pointer"), same_class=moved, new_class=other))
    assert told == (
        "grad_cam for dalmatian before and for pointer after the change: "
        "SSIM 0.25, top overlap 12.5 %, rank correlation -0.50; "
        "for dalmatian before and after: SSIM 0.90, top overlap 80.0 %, rank correlation 0.70"
    )
    assert "not compared" in words.twin_words(twin(before=side("dalmatian"), after=side("pointer")))
    assert words.twin_words(twin(before=side("dalmatian"))) == "the adversarial picture has no explanation to compare"
    assert words.twin_words(twin(status=GONE)) == "the adversarial picture could not be explained: gone"


def corruption(name: str, flips: str) -> Corruption:
    """One level for each letter; x flips. At ! the deadline came."""
    stopped, flips = ("deadline", flips.rstrip("!")) if "!" in flips else ("", flips)
    levels = [v1.CorruptionLevel(severity=index, flips=each == "x") for index, each in enumerate(flips, 1)]
    first = flips.index("x") + 1 if "x" in flips else None
    message = v1.Robustness(corruptions=[v1.Corruption(name=name, levels=levels, stopped_by=stopped, first_flip=first)])
    [value] = read(message).corruptions
    return value


@pytest.mark.parametrize(
    ("flips", "expected"),
    [
        (".....", "fog does not change the answer"),
        ("..xxx", "fog changes the answer from severity 3 on"),
        ("xxxxx", "fog changes the answer from severity 1 on"),
        ("....x", "fog changes the answer at severity 5"),
        (".x.x.", "fog changes the answer at the severities 2 and 4"),
        ("xx.xx", "fog changes the answer at the severities 1, 2, 4 and 5"),
        (".x...", "fog changes the answer at severity 2"),
        ("x", "fog changes the answer"),
        (".", "fog does not change the answer"),
        ("!", "fog was not tried: the deadline came first"),
        ("...!", "fog does not change the answer up to severity 3"),
        ("..x!", "fog changes the answer at severity 3"),
    ],
)
def test_corruptions(flips: str, expected: str) -> None:
    assert words.corruption_words(corruption("fog", flips)) == expected


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ({"fog": "..", "snow": ".."}, "0 of 2 corruptions change the answer"),
        ({"fog": "..", "snow": "!"}, "0 of 2 corruptions change the answer, 1 was cut short by the deadline"),
        (
            {"fog": "xx", "snow": ".."},
            "1 of 2 corruptions changes the answer: fog changes the answer from severity 1 on",
        ),
        (
            {"fog": "xx", "mirror": "x"},
            "2 of 2 corruptions change the answer: fog changes the answer from severity 1 on; "
            "mirror changes the answer",
        ),
    ],
)
def test_all_corruptions(marks: dict[str, str], expected: str) -> None:
    assert words.corruptions_words([corruption(name, flips) for name, flips in marks.items()]) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {
                "reliable": True,
                "pictures": 20,
                "attacked": 5,
                "planted": 5,
                "planted_found": 5,
                "gradient_evaluations": 10,
                "forward_evaluations": 150,
                "planted_evaluations": 15,
            },
            "gradient-based attacks can be trusted (20 pictures, 5 of them attacked with 10 gradients and with 150 "
            "forward passes; a gradient-free attack did much better on 0.0 %; 5 of 5 planted changes were found, with "
            "15 gradients each)",
        ),
        (
            {
                "reasons": ["one", "two"],
                "pictures": 8,
                "attacked": 4,
                "black_box_better_share": 0.25,
                "gradient_evaluations": 10,
                "forward_evaluations": 300,
            },
            "gradient-based attacks cannot be trusted: one; two (8 pictures, 4 of them attacked with 10 gradients and "
            "with 300 forward passes; a gradient-free attack did much better on 25.0 %)",
        ),
        ({}, "gradient-based attacks were not checked on this model"),
    ],
)
def test_what_is_known_of_the_model(fields: dict[str, Any], expected: str) -> None:
    model = read_model(v1.Model(attack_check=v1.AttackCheck(**fields)))
    assert words.attack_check_words(present(model.attack_check)) == expected


def test_what_attacks_spend() -> None:
    [attack] = read_model(v1.Model(attacks=[v1.Attack(norms=["linf", "l2"], evaluations="forward")])).attacks
    assert words.attack_words(attack) == "linf, l2; forward evaluations"
