"""The adversarial twin of an explanation: the same question about the picture and about its adversarial neighbour."""

from whybox import v1
from whybox.v1.errors import CancelledError
from whybox_handlers.explanations.explaining import Explained, explain
from whybox_handlers.explanations.maps.similarity import map_similarity
from whybox_handlers.failures import note
from whybox_handlers.models.case import Case
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Passes
from whybox_handlers.robustness.attacks import Adversarial


async def measure_twin(case: Case, adversarial: Adversarial, options: v1.ExplanationOptions, passes: Passes) -> v1.Twin:
    """Explains both pictures, and tells how alike the maps are.

    Stock & Cisse showed people a misclassified adversarial picture with its explanation; that is `after`.

    Args:
        case: Model, picture and seed.
        adversarial: The picture's neighbour with another answer.
        options: Options of the maps, with every default filled in; the target class is set here.
        passes: Its limits hold, and the maps share its time; its account is left alone.

    Returns:
        Only a status, if the model cannot be explained so or time is over: the distance has been found in any case.

    Raises:
        CancelledError: The caller is gone.
    """
    try:
        return await _compared(case, adversarial, options, passes)
    except CancelledError:
        raise
    except Exception as error:  # noqa: BLE001 (the distance has been found, whatever happens here)
        part = v1.Twin()
        note(part.status, error, case.request_id)
        return part


async def _compared(case: Case, adversarial: Adversarial, options: v1.ExplanationOptions, passes: Passes) -> v1.Twin:
    served = (await passes.unlimited().look(adversarial.picture[None])).row(0)
    neighbour = Case(
        case.classifier, Subject(adversarial.picture, case.subject.view, *served), case.seed, case.request_id
    )
    old, new = case.subject.predicted, adversarial.predicted

    async def explained(of: Case, target: int, share: float) -> Explained:
        targeted = v1.ExplanationOptions()
        targeted.CopyFrom(options)
        targeted.target_class = target
        return await explain(of, targeted, passes.with_budget(None, "forward", share))

    # A third of the time each.
    before = await explained(case, old, 1 / 3)
    after = await explained(neighbour, new, 1 / 2)
    moved = await explained(neighbour, old, 1)
    return v1.Twin(
        status={},
        before=before.part,
        after=after.part,
        same_class=map_similarity(before.attribution.values, moved.attribution.values),
        new_class=map_similarity(before.attribution.values, after.attribution.values),
    )
