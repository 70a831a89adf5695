"""Asking an explainer or an attack, as the analyzer asks it, with nothing else around."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from whybox import v1
from whybox_handlers.explanations.explainers import EXPLAINERS, Attribution, Question
from whybox_handlers.models import networks
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.models.labels import read_labels
from whybox_handlers.models.runtimes.serving import OnnxServing
from whybox_handlers.models.spec import load_spec
from whybox_handlers.models.subject import Subject
from whybox_handlers.models.weights import read_weights
from whybox_handlers.packing.onnx_export import export
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.batch_sizes import measured
from whybox_handlers.passes.scheduler import Task, run


def served(spec_path: Path) -> Classifier:
    """A model with its real weights, without the checks of packing: torch computes its gradients."""
    spec = load_spec(spec_path)
    network = networks.build(spec.architecture, len(read_labels(spec.labels)))
    network.load(read_weights(spec.weights.path()))
    differentiable = Differentiable(network, list(spec.mean), list(spec.std))
    device = torch.device("cpu")
    classifier = Classifier(v1.Model(), differentiable, OnnxServing(export(differentiable, spec.crop), device), device)
    classifier.batch_sizes = measured(classifier, torch.empty(0, 3, spec.crop, spec.crop))
    return classifier


def subject_of(classifier: Classifier, picture: Tensor) -> Subject:
    """A picture that is its own view, looked at."""
    height, width = picture.shape[1:]
    view = v1.View(width=width, height=height, picture_width=width, picture_height=height)
    return Subject(picture, view, *classifier.look(picture[None]).row(0))


def question_of(
    classifier: Classifier, picture: Tensor, target: int, *baselines: Tensor, tolerance: float = 0, seed: int = 0
) -> Question:
    """Why the target? Without baselines, black."""
    served = classifier.look(picture[None]).row(0)
    objective = torch.zeros(len(served.logits))
    objective[target] = 1
    baselines = baselines or (torch.zeros_like(picture),)
    return Question(picture, objective, *served, baselines, v1.ExplanationOptions(tolerance=tolerance), seed)


def task_of(
    method: str, question: Question, evaluations: int | None = None, limits: Limits | None = None
) -> tuple[Task[Attribution], Passes]:
    """What `run` drives, and the account of what it spends; by default as much as the method's default."""
    row, limits = EXPLAINERS[method], limits or Limits()
    passes = Passes(limits, evaluations or row.default_evaluations or None, row.evaluations)
    # What the question leaves open is the method's default, but for the tolerance, of which 0 is the question's.
    options = row.defaults(method, tolerance=0.0)
    options.MergeFrom(question.options)
    return Task(row.explain(passes, replace(question, options=options)), limits), passes


def explained(classifier: Classifier, method: str, question: Question, evaluations: int | None = None) -> Attribution:
    """Its answer.

    Raises:
        Exception: What the method raised.
    """
    task, _ = task_of(method, question, evaluations)
    run(classifier, [task])
    return task.result()
