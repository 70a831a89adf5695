"""A small network with a planted cue, measured and audited as `make bench-bias` does with many, and its parts alone."""

import numpy as np
import pytest
import torch

from planted import mmd_critic
from planted.digits import CUES, LABELS, SIDE, Digits, correlated, halves, stamp, trained
from planted.intervals import Counts, interval, share
from planted.redraws import CONFIDENCE, NULLS, PLANTED, Redraws, Trial, shares
from planted.stored import Stored, store
from planted.watermark import letters, opacity_for
from planted.watermark import stamp as watermark
from whybox_server.audits.criticism.columns import ADVERSARIAL_CRITICISM

CUE = "patch"
EACH = 120


def first(digits: Digits, each: int) -> Digits:
    """The first pictures of each class."""
    return digits.only(np.concatenate([np.flatnonzero(digits.labels == label)[:each] for label in range(len(LABELS))]))


@pytest.fixture(scope="module")
def stored() -> Stored:
    """What a network that relies on the cue makes of pictures that it was not trained on."""
    training, held_back = halves(0)
    return store(trained(training, CUE, 0.9, 0), first(held_back, EACH), CUE)


def trials(stored: Stored, attribute: str, redraws: int = 6) -> list[Trial]:
    """Trials of both classes; 100 of 120 pictures of each are audited."""
    drawing = Redraws(stored, 100)
    return [trial for redraw in range(redraws) for trial in drawing.trials(attribute, redraw, baselines=True)]


@pytest.mark.parametrize(("label", "sign"), [(0, -1), (1, 1)])
def test_the_network_relies_on_the_cue(stored: Stored, label: int, sign: int) -> None:
    """The cue makes the class without it easier to attack and more often wrong, and the class with it the reverse."""
    truth = stored.truth(label)
    assert sign * truth.delta > 0.45
    assert sign * (truth.accuracy_with - truth.accuracy_without) > 0


def test_the_planted_bias_is_flagged(stored: Stored) -> None:
    found = trials(stored, PLANTED)
    assert all(trial.flagged[ADVERSARIAL_CRITICISM] for trial in found)
    assert all(trial.flagged[CONFIDENCE] for trial in found)
    assert {trial.label for trial in found} == {0, 1}


@pytest.mark.parametrize("null", NULLS)
def test_attributes_without_an_effect_are_not(stored: Stored, null: str) -> None:
    """No more than one of 12, with a rate below 5 % each."""
    found = trials(stored, null)
    assert sum(trial.flagged[ADVERSARIAL_CRITICISM] for trial in found) <= 1
    assert np.mean([trial.p_value for trial in found]) > 0.2


def test_the_audit_is_given_the_version_that_the_coin_chose(stored: Stored) -> None:
    rows, stamped = np.arange(6), np.array([True, False] * 3)
    found = stored.audited(rows, stamped, ~stamped)
    for row in rows:
        version = int(stamped[row])
        assert found.distances["linf"][row] == stored.distances[version, row]
        assert found.confidence[row] == stored.confidence[version, row]
    assert found.attributes["attribute"].tolist() == ["0", "1"] * 3
    assert found.confounders["cue"].tolist() == ["1", "0"] * 3
    confident = stored.audited(rows, stamped, ~stamped, of_confidence=True)
    assert confident.distances["linf"].tolist() == np.where(found.right, found.confidence, 0).tolist()


@pytest.mark.parametrize("cue", CUES)
def test_a_cue_changes_its_pictures_alone(cue: str) -> None:
    pictures = first(halves(0)[1], 2).pictures
    having = np.array([True, False, True, False])
    changed = (stamp(pictures, cue, having) != pictures).flatten(1).any(dim=1)
    assert pictures.shape == (4, 3, SIDE, SIDE)
    assert changed.tolist() == having.tolist()


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
def test_cue_and_class_are_correlated(correlation: float) -> None:
    labels = np.arange(100_000) % 2
    having = correlated(labels, correlation, np.random.default_rng(0))
    assert np.corrcoef(labels, having)[0, 1] == pytest.approx(correlation, abs=0.01)


def test_halves_are_apart() -> None:
    training, held_back = halves(0)
    assert abs(len(training) - len(held_back)) <= 1
    assert len(training) + len(held_back) == 1797


def test_mmd_critic_chooses_greedily_what_its_paper_says() -> None:
    """Against the objectives themselves, each step over all pictures that are left."""
    generator = np.random.default_rng(0)
    similar = mmd_critic.kernel(generator.normal(size=(12, 3)).astype(np.float32))

    def closeness(chosen: list[int]) -> float:
        return float(2 * similar[:, chosen].mean() - similar[np.ix_(chosen, chosen)].mean())

    chosen: list[int] = []
    for _ in range(4):
        chosen.append(max(set(range(12)) - set(chosen), key=lambda one: closeness([*chosen, one])))
    assert mmd_critic.prototypes(similar, 4).tolist() == chosen
    witness = np.abs(similar.mean(axis=0) - similar[chosen].mean(axis=0))

    def criticism(far: list[int]) -> float:
        return float(witness[far].sum() + np.linalg.slogdet(similar[np.ix_(far, far)])[1])

    far: list[int] = []
    for _ in range(3):
        far.append(max(set(range(12)) - set(chosen) - set(far), key=lambda one: criticism([*far, one])))
    assert mmd_critic.criticisms(similar, np.array(chosen), 3).tolist() == far


def test_mmd_critic_tells_an_attribute_of_the_criticisms() -> None:
    """Far pictures are criticisms; an attribute of the far ones is told, a permuted one is not."""
    generator = np.random.default_rng(0)
    far = np.arange(100) < 20
    embeddings = generator.normal(size=(100, 2)) * np.where(far, 8, 0.5)[:, None]
    similar = mmd_critic.kernel(embeddings.astype(np.float32))
    assert min(shares(similar, far)) < 1e-6
    assert min(shares(similar, generator.permutation(far))) > 0.01


def test_intervals_resample_networks() -> None:
    """Networks that differ make the interval wide, however many redraws each of them has."""

    def network(*outcomes: float) -> Counts:
        return np.array([[outcome, 1.0] for outcome in outcomes] * 250)

    alike = [network(0, 1)] * 6
    different = [network(0), network(1)] * 3
    assert share(alike) == share(different) == 0.5
    low, high = interval(alike)
    assert 0.4 < low < 0.5 < high < 0.6
    low, high = interval(different)
    assert low < 0.2
    assert high > 0.8


@pytest.mark.parametrize("outcome", [0, 1])
def test_intervals_of_what_always_happens(outcome: int) -> None:
    """The closed form of Clopper and Pearson: (alpha / 2) ** (1 / n)."""
    low, high = interval([np.array([[2 * outcome, 2.0]] * 50)] * 2)
    ends = (0.025**0.01, 1) if outcome else (0, 1 - 0.025**0.01)
    assert (low, high) == pytest.approx(ends)


@pytest.mark.parametrize("opacity", [0.0, 0.3, 1.0])
def test_a_watermark_is_translucent_and_white(opacity: float) -> None:
    side = 64
    pictures, mask = torch.full((2, 3, side, side), 0.2), letters(side)
    assert 0.2 < float((mask == 1).float().mean()) < 0.8
    stamped = watermark(pictures, opacity)
    assert torch.allclose(stamped[:, :, mask[0] == 0], torch.tensor(0.2), atol=0.5 / 255)
    assert torch.allclose(stamped[:, :, mask[0] == 1], torch.tensor(0.2 + 0.8 * opacity), atol=0.5 / 255)


@pytest.mark.parametrize(("share_left", "expected"), [(0.9, 0.1), (0.5, 0.5), (0.0, 1.0)])
def test_opacities_leave_a_share_right(share_left: float, expected: float) -> None:
    assert opacity_for(lambda opacity: 1 - opacity, share_left) == pytest.approx(expected, abs=0.02)
