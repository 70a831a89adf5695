import numpy as np
import pandas as pd
import pytest

from whybox_server.studies.results.dawid_skene import dawid_skene


def votes(classes: int, answers: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """True classes, and question, annotator and answer of seven votes on each of 400 questions, by 30 people."""
    truth = rng.choice(classes, 400, p=np.arange(1, classes + 1) / np.arange(1, classes + 1).sum())
    confusion = rng.dirichlet(np.ones(answers), (30, classes)) * 0.4
    confusion[:, np.arange(classes), np.arange(classes) * (answers - 1) // max(classes - 1, 1)] += 0.6
    question = np.repeat(np.arange(400), 7)
    annotator = np.concatenate([rng.permutation(30)[:7] for _ in range(400)])
    answer = np.array([rng.choice(answers, p=confusion[a, truth[q]]) for q, a in zip(question, annotator, strict=True)])
    return truth, question, annotator, answer


def shares(question: np.ndarray, answer: np.ndarray, answers: int) -> np.ndarray:
    counted = np.bincount(question * answers + answer, minlength=(question.max() + 1) * answers).reshape(-1, answers)
    return np.asarray(counted / counted.sum(axis=1, keepdims=True))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("steps", [1, 5, 50])
def test_its_steps_are_those_of_another_library(classes: int, steps: int) -> None:
    """A tolerance of -inf keeps crowd-kit from an early stop; see the next test."""
    from crowdkit.aggregation import DawidSkene

    _, question, annotator, answer = votes(classes, classes, np.random.default_rng(classes))
    fit = dawid_skene(
        question, annotator, answer, shares(question, answer, classes), classes, steps=steps, tolerance=-np.inf
    )
    table = pd.DataFrame({"task": question, "worker": annotator, "label": answer})
    peer = DawidSkene(n_iter=steps, tol=-np.inf).fit(table)
    assert peer.probas_ is not None
    np.testing.assert_allclose(fit.posterior, peer.probas_.sort_index(axis=0).sort_index(axis=1).to_numpy(), atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_it_ends_at_a_likelihood_that_another_library_stops_before() -> None:
    """crowd-kit's bound of the likelihood counts the prior once for each vote instead of once for each question.

    So the bound may fall while the likelihood grows, and crowd-kit stops there. The likelihoods are exact.
    """
    from crowdkit.aggregation import DawidSkene

    _, question, annotator, answer = votes(3, 3, np.random.default_rng(3))
    fit = dawid_skene(question, annotator, answer, shares(question, answer, 3), 3, tolerance=1e-10)
    peer = DawidSkene(n_iter=500, tol=0).fit(pd.DataFrame({"task": question, "worker": annotator, "label": answer}))
    assert peer.errors_ is not None
    assert peer.priors_ is not None
    confusion = np.zeros((30, 3, 3))
    table = peer.errors_.sort_index(axis=1)
    confusion[table.index.get_level_values("worker"), :, table.index.get_level_values("label")] = table.to_numpy()
    prior = peer.priors_.sort_index().to_numpy()
    likelihood = np.stack(
        [
            np.exp(np.bincount(question, np.log(np.maximum(confusion[annotator, k, answer], 1e-10)))) * prior[k]
            for k in range(3)
        ]
    )
    assert len(peer.loss_history_) < 20 < fit.iterations
    assert np.log(likelihood.sum(axis=0)).sum() / len(question) < fit.log_likelihood - 1e-6


def test_two_classes_behind_three_answers_are_found() -> None:
    truth, question, annotator, answer = votes(2, 3, np.random.default_rng(4))
    start = shares(question, answer, 3) @ np.array([[1, 0], [0.5, 0.5], [0, 1]])
    fit = dawid_skene(question, annotator, answer, start, 3)
    assert fit.converged
    assert ((fit.posterior[:, 1] > 0.5) == truth).mean() > ((start[:, 1] > 0.5) == truth).mean()
    np.testing.assert_allclose(fit.confusion.sum(axis=2), 1)
    np.testing.assert_allclose(fit.prior, [1 / 3, 2 / 3], atol=0.07)


def test_the_likelihood_never_falls() -> None:
    _, question, annotator, answer = votes(2, 3, np.random.default_rng(5))
    start = shares(question, answer, 3) @ np.array([[1, 0], [0.5, 0.5], [0, 1]])
    grown = [
        dawid_skene(question, annotator, answer, start, 3, steps=steps, tolerance=-np.inf).log_likelihood
        for steps in range(1, 12)
    ]
    assert (np.diff(grown) >= -1e-12).all()


def test_the_likelihood_is_that_of_the_votes() -> None:
    """Brute force over questions and classes, at the parameters of the last step."""
    _, question, annotator, answer = votes(2, 2, np.random.default_rng(6))
    fit = dawid_skene(question, annotator, answer, shares(question, answer, 2), 2, steps=3, tolerance=-np.inf)
    total = 0.0
    for one in range(400):
        mine = question == one
        total += np.log(sum(fit.prior[k] * np.prod(fit.confusion[annotator[mine], k, answer[mine]]) for k in range(2)))
    assert fit.log_likelihood == pytest.approx(total / len(question), abs=1e-9)


def test_an_annotator_who_never_met_a_class_leaves_numbers() -> None:
    """The third person saw one question only, of which all are sure."""
    question = np.array([0, 0, 0, 1, 1])
    annotator = np.array([0, 1, 2, 0, 1])
    answer = np.array([1, 1, 1, 0, 0])
    fit = dawid_skene(question, annotator, answer, np.array([[0.0, 1.0], [1.0, 0.0]]), 2, steps=1)
    np.testing.assert_allclose(fit.confusion[2], [[0.5, 0.5], [0.0, 1.0]])
    assert np.isfinite(fit.posterior).all()


def test_steps_run_out_before_convergence() -> None:
    _, question, annotator, answer = votes(2, 2, np.random.default_rng(7))
    fit = dawid_skene(question, annotator, answer, shares(question, answer, 2), 2, steps=2)
    assert (fit.iterations, fit.converged) == (2, False)
