"""`make bench`: explanations beside what others need for the same, in one process, on one thread.

Figures are medians over the pictures. To add a comparison, write a function that returns its table and name it in
`COMPARISONS`. Names on the command line choose among them.
"""

import importlib.util
import statistics
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from captum.attr import IntegratedGradients, Occlusion
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import interpolate

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench.side_by_side import default_model, in_turn
from explaining import question_of, task_of
from whybox_handlers.explanations.explainers import EXPLAINERS, Attribution
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.runtimes.differentiators import TorchDifferentiator
from whybox_handlers.passes.computations import differentiate
from whybox_handlers.passes.scheduler import run
from whybox_handlers.pictures import decoding

ROUNDS = 7
# Captum's default number of steps; and what may be better, in steps and rows of a pass.
CAPTUM_STEPS = 50
CAPTUM_STEPS_IN_BATCHES = ((25, 4), (50, 1), (50, 4), (50, 8), (100, 4))
REFERENCE_PICTURES, REFERENCE_STEPS = 5, 300
MASKS, MASKED_PICTURES = 2000, 2


@dataclass(frozen=True)
class Subject:
    """A picture as the model sees it, [3, H, W], and the class that it predicts, alone and one-hot."""

    view: Tensor
    target: int
    objective: Tensor


@dataclass(frozen=True)
class Answer:
    """A map, and the gradients and forward passes that it cost."""

    values: Tensor
    gradients: int
    forwards: int


Way = Callable[[Subject], Answer]


def load() -> tuple[Classifier, list[Subject]]:
    """The default model, and the 20 real pictures of the foolbox package."""
    classifier = default_model()
    foolbox = importlib.util.find_spec("foolbox")
    if foolbox is None or foolbox.origin is None:
        raise SystemExit("the pictures of this benchmark are in the foolbox package; install whybox[server]")
    subjects = []
    for path in sorted(Path(foolbox.origin).parent.glob("data/imagenet_*.jpg")):
        view, _ = decoding.preprocess(decoding.decode(path.read_bytes()), 256, 224)
        logits = classifier.serve(view[None])[0]
        target = int(logits.argmax())
        subjects.append(Subject(view, target, torch.eye(len(logits))[target]))
    return classifier, subjects


def whybox(classifier: Classifier, method: str, baselines: Callable[[Tensor], Sequence[Tensor]] = lambda _: ()) -> Way:
    """A map as a request gets it, with every default; the pass that makes the prediction is in it."""
    tolerance = EXPLAINERS[method].default_tolerance or 0.0

    def explain(subject: Subject) -> Answer:
        question = question_of(classifier, subject.view, subject.target, *baselines(subject.view), tolerance=tolerance)
        task, passes = task_of(method, question)
        run(classifier, [task])
        if not isinstance(task.outcome, Attribution):
            raise SystemExit(f"{method} failed: {task.outcome}")
        return Answer(task.outcome.values, passes.gradient_evaluations, passes.forward_evaluations + 1)

    return explain


def grad_cam(classifier: Classifier, subjects: Sequence[Subject]) -> Table:
    by_torch = TorchDifferentiator(lambda: classifier.network, classifier.device)

    def forward_and_back(subject: Subject) -> Answer:
        return Answer(by_torch.objectives(subject.view[None], subject.objective[None])[1][0], 1, 1)

    ways = {
        "whybox": whybox(classifier, "grad_cam"),
        "torch, once forward and back": forward_and_back,
        "pytorch-grad-cam": pytorch_grad_cam(classifier),
    }
    measured = in_turn(ways, subjects, ROUNDS)
    table = Table("", "median ms", "ratio", title="Grad-CAM, the prediction included")
    for name, each in measured.items():
        table.add_row(name, f"{each.median:.1f}", f"{each.median / measured['whybox'].median:.2f}")
    return table


def pytorch_grad_cam(classifier: Classifier) -> Way:
    """Jacob Gildenblat's."""
    try:
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    except ImportError as error:
        raise SystemExit(f"this comparison needs whybox[bench]: {error}") from error
    cam = GradCAM(classifier.network, [classifier.network.features])

    def explain(subject: Subject) -> Answer:
        # The packed network's weights are frozen; without this nothing would ask for a gradient.
        picture = subject.view[None].requires_grad_()
        values = cam(picture, [ClassifierOutputTarget(subject.target)])[0]
        return Answer(torch.from_numpy(values), 1, 1)

    return explain


def integrated_gradients(classifier: Classifier, subjects: Sequence[Subject]) -> Table:
    captum = IntegratedGradients(classifier.network)

    def captum_in(steps: int, rows: int | None) -> Way:
        def explain(subject: Subject) -> Answer:
            view, target = subject.view[None], subject.target
            values = captum.attribute(view, target=target, n_steps=steps, internal_batch_size=rows)[0]
            return Answer(values.detach(), steps, steps)

        return explain

    ways = {"whybox": whybox(classifier, "integrated_gradients")}
    for steps, rows in CAPTUM_STEPS_IN_BATCHES:
        ways[f"Captum, {steps} steps in batches of {rows}"] = captum_in(steps, rows)
    ways[f"Captum, {CAPTUM_STEPS} steps at once (its default)"] = captum_in(CAPTUM_STEPS, None)
    measured = in_turn(ways, subjects)
    references = [reference(classifier, subject) for subject in subjects[:REFERENCE_PICTURES]]
    table = Table("", "median ms", "ratio", "gradients", "median gap", "mean gap", "correlation")
    table.title = "Integrated gradients from black"
    table.caption = (
        "gap: |sum of the map - change of the logit| / |change|; correlation: median with "
        f"{REFERENCE_STEPS} equal steps, {REFERENCE_PICTURES} pictures"
    )
    for name, each in measured.items():
        gaps = [gap(classifier, *both) for both in zip(subjects, each.answers, strict=True)]
        near = [correlation(answer.values, best) for answer, best in zip(each.answers, references, strict=False)]
        table.add_row(
            name,
            f"{each.median:.0f}",
            f"{each.median / measured['whybox'].median:.2f}",
            f"{statistics.mean(answer.gradients for answer in each.answers):.1f}",
            f"{statistics.median(gaps):.1%}",
            f"{statistics.mean(gaps):.1%}",
            f"{statistics.median(near):.4f}",
        )
    return table


def gap(classifier: Classifier, subject: Subject, answer: Answer) -> float:
    with torch.no_grad():
        ends = classifier.network(torch.stack([subject.view, torch.zeros_like(subject.view)]))[:, subject.target]
    change = float(ends[0] - ends[1])
    return abs((float(answer.values.double().sum()) - change) / change)


def correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


def reference(classifier: Classifier, subject: Subject) -> Tensor:
    """Midpoints of many equal steps."""
    total = torch.zeros_like(subject.view)
    for place in (torch.arange(REFERENCE_STEPS) + 0.5) / REFERENCE_STEPS:
        total += differentiate(classifier, (place * subject.view)[None], subject.objective[None])[1][0]
    return subject.view * total / REFERENCE_STEPS


def occlusion(classifier: Classifier, subjects: Sequence[Subject]) -> Table:
    captum = Occlusion(classifier.network)

    def sliding(subject: Subject) -> Answer:
        with torch.no_grad():
            values = captum.attribute(
                subject.view[None], (3, 32, 32), (3, 16, 16), baselines=0.5, target=subject.target
            )[0, 0]
        return Answer(values, 0, 170)

    ways = {
        "whybox": whybox(classifier, "occlusion", lambda view: [torch.full_like(view, 0.5)]),
        "Captum (its default: one window at a time)": sliding,
    }
    measured = in_turn(ways, subjects)
    pairs = zip(*(each.answers for each in measured.values()), strict=True)
    farthest = max(float((ours.values - theirs.values).abs().max()) for ours, theirs in pairs)
    table = Table("", "median ms", "ratio", title="Occlusion, 169 windows of 32 x 32, grey")
    table.caption = f"largest difference of two maps: {farthest:.1e} logits"
    for name, each in measured.items():
        table.add_row(name, f"{each.median:.0f}", f"{each.median / measured['whybox'].median:.2f}")
    return table


def rise(classifier: Classifier, subjects: Sequence[Subject]) -> Table:
    def ours(subject: Subject) -> Answer:
        task, passes = task_of("rise", question_of(classifier, subject.view, subject.target), MASKS)
        run(classifier, [task])
        if not isinstance(task.outcome, Attribution):
            raise SystemExit(f"rise failed: {task.outcome}")
        return Answer(task.outcome.values, 0, passes.forward_evaluations)

    ways = {
        "whybox": ours,
        "plain torch, one mask at a time": plain_rise(classifier, 1),
        "plain torch, 16 masks at a time": plain_rise(classifier, 16),
        "plain torch, 100 masks at a time (the authors' default)": plain_rise(classifier, 100),
    }
    measured = in_turn(ways, subjects[:MASKED_PICTURES])
    table = Table("", "median ms", "ratio", "correlation", title=f"RISE, {MASKS} masks")
    table.caption = f"{MASKED_PICTURES} pictures; correlation: with whybox's map, from other masks"
    for name, each in measured.items():
        near = [
            correlation(answer.values, best.values)
            for answer, best in zip(each.answers, measured["whybox"].answers, strict=True)
        ]
        ratio = each.median / measured["whybox"].median
        table.add_row(name, f"{each.median:.0f}", f"{ratio:.2f}", f"{statistics.median(near):.3f}")
    return table


def plain_rise(classifier: Classifier, rows: int) -> Way:
    """The paper's masks through the eager network; logits less their mean weigh them, as whybox's do."""

    def explain(subject: Subject) -> Answer:
        torch.manual_seed(1)
        weighted, kept, values = torch.zeros(224, 224), torch.zeros(224, 224), []
        for _ in range(MASKS // rows):
            enlarged = interpolate((torch.rand(rows, 1, 7, 7) < 0.5).float(), size=(256, 256), mode="bilinear")
            shifts = torch.randint(32, (rows, 2)).tolist()
            masks = torch.stack(
                [
                    mask[:, top : top + 224, left : left + 224]
                    for mask, (top, left) in zip(enlarged, shifts, strict=True)
                ]
            )
            with torch.no_grad():
                logits = classifier.network(subject.view * masks)[:, subject.target]
            weighted += torch.tensordot(logits, masks[:, 0], dims=1)
            kept += masks.sum(dim=(0, 1))
            values.append(logits)
        return Answer((weighted - torch.cat(values).mean() * kept) / MASKS / 0.5, 0, MASKS)

    return explain


COMPARISONS: dict[str, Callable[[Classifier, Sequence[Subject]], Table]] = {
    "grad_cam": grad_cam,
    "integrated_gradients": integrated_gradients,
    "occlusion": occlusion,
    "rise": rise,
}


def main() -> None:
    torch.set_num_threads(1)
    # Captum's and pytorch-grad-cam's, about hooks and about gradients that they switch on.
    warnings.simplefilter("ignore")
    console = Console()
    classifier, subjects = load()
    for name in sys.argv[1:] or COMPARISONS:
        console.print(COMPARISONS[name](classifier, subjects))


if __name__ == "__main__":
    main()
