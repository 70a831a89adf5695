"""Explanation by example: audited pictures that are most like a picture to the network."""

from collections.abc import Iterable, Sequence

from torch import Tensor

from whybox import v1
from whybox.v1.errors import FailedPreconditionError
from whybox_handlers.explanations.embeddings import embedding
from whybox_handlers.explanations.explaining import target_of
from whybox_handlers.explanations.neighbourhood import NEAREST, observe_neighbours
from whybox_handlers.models.case import Case
from whybox_handlers.references import CRITICISM, PROTOTYPE, Match, References

EXAMPLE = "example"
"""The name of the method."""

_NO_BANK = (
    "example shows the nearest pictures of an audit, and this model is packed without one; pack it with --bank AUDIT, "
    "or use kernel_shap or integrated_gradients, which need none"
)


def example_method(model: v1.Model) -> v1.Method:
    """The entry of the method in a manifest.

    Args:
        model: The manifest, with the audit that is packed with the model.
    """
    return v1.Method(
        name=EXAMPLE,
        summary="Audited pictures that are most like this one to the network: typical, atypical, and of other classes.",
        reference="Papernot & McDaniel, Deep k-Nearest Neighbors, 2018, arXiv:1803.04765",
        options=["examples", "thumbnails"],
        evaluations="forward",
        unavailable=_why_unavailable(model),
        gives_examples=True,
    )


def _why_unavailable(model: v1.Model) -> str:
    if not model.HasField("audit"):
        return _NO_BANK
    audit = model.audit
    if audit.differences:
        return (
            f"the pictures of audit {audit.id} were seen by a network with other {' and '.join(audit.differences)}; "
            "audit this model and pack it with --bank AUDIT"
        )
    if not audit.HasField("references"):
        return f"audit {audit.id} is packed without features of its pictures; pack it again with --bank AUDIT"
    return ""


def give_examples(case: Case, options: v1.ExplanationOptions) -> v1.Explanation:
    """The audited pictures whose features are nearest to the picture's by cosine, but not the picture itself.

    Prototypes and criticisms of the target class are compared one by one; the others are found in the index.

    Args:
        case: Model and picture.
        options: With every default filled in.

    Raises:
        FailedPreconditionError: The model has no pictures to compare with.
    """
    model, references = case.classifier.model, case.classifier.references
    if reason := _why_unavailable(model):
        raise FailedPreconditionError(reason, reason="METHOD_UNAVAILABLE")
    features = embedding(case.classifier, case.subject)
    if references is None or features is None:
        raise FailedPreconditionError(_NO_BANK, reason="METHOD_UNAVAILABLE")
    target = target_of(case, options)
    part = v1.Explanation(
        status={},
        method=options.method,
        target_class=target,
        target_label=case.classifier.label(target),
        target_logit=float(case.subject.logits[target]),
        stopped_by="done",
        # The first pass of the picture; a network without maps takes another one for the features.
        forward_evaluations=1 if case.subject.maps is not None else 2,
        view=case.subject.view,
    )
    search = _Search(references, features, case.image_sha256)
    nearest = search.nearest()
    part.examples.CopyFrom(_examples(search, nearest, target, options))
    part.examples.pictures, part.examples.audit_id, part.examples.norm = (
        len(references),
        model.audit.id,
        model.audit.primary_norm,
    )
    part.observations.extend(observe_neighbours(case.classifier, case.subject, references, nearest))
    return part


class _Search:
    """Looks for the pictures that are like one picture.

    Args:
        references: Where.
        features: [D]: the picture's.
        own: Digest of the picture, which is never found.
    """

    def __init__(self, references: References, features: Tensor, own: str) -> None:
        self._references, self._own = references, own
        self._features = features.numpy()

    def nearest(self) -> list[int]:
        """The classes of the labels of the `NEAREST` pictures."""
        found = self._known(self._references.nearest(self._features, NEAREST + 1), NEAREST)
        return [picture.class_index for picture in found]

    def outside(self, target: int, count: int) -> list[v1.Neighbour]:
        """Pictures of other classes."""
        return self._known(self._references.nearest_outside(self._features, target, count + 1), count)

    def of(self, target: int, kind: int, count: int) -> list[v1.Neighbour]:
        """Pictures of the class that are of a kind."""
        return self._known(self._references.nearest_of(self._features, target, kind, count + 1), count)

    def _known(self, matches: Iterable[Match], count: int) -> list[v1.Neighbour]:
        """What is known of them, without the picture itself, which is among them at most once."""
        found = []
        for match in matches:
            neighbour = self._references.record(match.key)
            if neighbour.sha256 != self._own:
                neighbour.similarity = match.similarity
                found.append(neighbour)
        return found[:count]


def _examples(search: _Search, nearest: Sequence[int], target: int, options: v1.ExplanationOptions) -> v1.Examples:
    count = options.examples
    examples = v1.Examples(
        prototypes=search.of(target, PROTOTYPE, count),
        criticisms=search.of(target, CRITICISM, count),
        others=search.outside(target, count),
        agreement=nearest.count(target) / len(nearest) if nearest else 0.0,
        nearest=len(nearest),
    )
    for neighbour in (*examples.prototypes, *examples.criticisms, *examples.others):
        neighbour.agrees = neighbour.predicted.index == target
        if not options.thumbnails:
            neighbour.ClearField("thumbnail")
    return examples
