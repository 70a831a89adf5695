"""The adversarial twin of an explanation: the same question asked of the picture and of its adversarial neighbour."""

from torch import Tensor

from whybox import v1
from whybox.v1.errors import CancelledError
from whybox_handlers.explanations.explaining import explain
from whybox_handlers.explanations.maps.similarity import map_similarity
from whybox_handlers.failures import note
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Passes
from whybox_handlers.robustness.attacks import Adversarial


async def twin(
    part: v1.Twin,
    classifier: Classifier,
    subject: Subject,
    adversarial: Adversarial,
    method: str,
    seed: int,
    passes: Passes,
    request_id: str = "",
) -> None:
    """Fills in the maps of both pictures, and how alike they are; or why there are none.

    Stock & Cisse showed people a misclassified adversarial picture with its explanation; that is `after`.

    Args:
        part: What is filled in; where the model cannot be explained so, or time is over, its status alone.
        classifier: The model.
        subject: The picture.
        adversarial: Its neighbour with another answer.
        method: Name of an explainer; it runs with its defaults.
        seed: Of the request.
        passes: Its limits hold, and the maps share its time; its account is left alone.
        request_id: For the log.

    Raises:
        CancelledError: The caller is gone.
    """
    part.status.SetInParent()
    try:
        await _compare(part, classifier, subject, adversarial, method, seed, passes)
    except CancelledError:
        raise
    except Exception as error:  # noqa: BLE001 (the distance has been found, whatever happens here)
        part.Clear()
        note(part.status, error, request_id)


async def _compare(
    part: v1.Twin,
    classifier: Classifier,
    subject: Subject,
    adversarial: Adversarial,
    method: str,
    seed: int,
    passes: Passes,
) -> None:
    looking = passes.unlimited()
    if subject.maps is None:
        logits, maps = await looking.logits(adversarial.picture[None]), None
    else:
        logits, several = await looking.logits_and_maps(adversarial.picture[None])
        maps = several[0]
    neighbour = Subject(adversarial.picture, subject.view, logits[0], maps)
    old, new = subject.predicted, int(adversarial.logits.argmax())

    async def explained(explanation: v1.Explanation, of: Subject, target: int, share: float) -> Tensor:
        explanation.method = method
        explanation.status.SetInParent()
        options = _defaults(classifier, method, target)
        own = passes.with_budget(None, "forward", share)
        attribution = await explain(explanation, classifier, of, options, seed, own)
        return attribution.values

    # A third of the time each.
    before = await explained(part.before, subject, old, 1 / 3)
    after = await explained(part.after, neighbour, new, 1 / 2)
    moved = await explained(v1.Explanation(), neighbour, old, 1)
    part.same_class.CopyFrom(map_similarity(before, moved))
    part.new_class.CopyFrom(map_similarity(before, after))


def _defaults(classifier: Classifier, method: str, target: int) -> v1.ExplanationOptions:
    """The method's defaults, as the gateway fills them in for a map of its own."""
    options = v1.ExplanationOptions(method=method, target_class=target, encodings=["uint8"], channels="sum")
    for offered in classifier.model.methods:
        if offered.name == method:
            options.baseline = offered.default_baseline
            if "max_evaluations" in offered.options:
                options.max_evaluations = offered.default_evaluations
            if "tolerance" in offered.options:
                options.tolerance = offered.default_tolerance
    return options
