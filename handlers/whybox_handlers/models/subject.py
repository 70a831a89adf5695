"""A picture with the answer of the serving network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from whybox import v1
from whybox.v1.errors import FailedPreconditionError
from whybox_handlers.models.classifier import Classifier

NOT_FINITE = "NOT_FINITE"
"""Reason of errors about numbers that are infinite or no numbers."""


@dataclass(frozen=True)
class Subject:
    """One picture, looked at.

    Attributes:
        picture: [3, crop, crop] in [0, 1].
        view: Its place in the picture that was sent.
        logits: [classes].
        maps: [C, h, w], the last feature maps; None for a network without such maps.

    Raises:
        FailedPreconditionError: A logit is not finite: that is no answer.
    """

    picture: Tensor
    view: v1.View
    logits: Tensor
    maps: Tensor | None

    def __post_init__(self) -> None:
        if not is_answer(self.logits):
            raise FailedPreconditionError("the model's output is not finite for this picture", reason=NOT_FINITE)

    @classmethod
    def of(
        cls,
        classifier: Classifier,
        image: bytes,
        *,
        view: bool = False,
        change: Callable[[Tensor], Tensor] | None = None,
    ) -> Self:
        """An encoded picture, looked at alone: its logits do not depend on neighbours.

        Args:
            classifier: The model.
            image: The encoded picture.
            view: Whether it is the view itself; see `Classifier.see`.
            change: What is done to the decoded picture; see `Classifier.see`.

        Raises:
            PictureError: It cannot be decoded, or it is to be the view and has another size.
            FailedPreconditionError: A logit is not finite.
        """
        picture, box = classifier.see(image, view=view, change=change)
        return cls(picture, box, *classifier.look(picture[None]).row(0))

    @property
    def probabilities(self) -> Tensor:
        """[classes], summing to 1; float64."""
        return torch.softmax(self.logits.double(), dim=0)

    @property
    def predicted(self) -> int:
        """The class that comes first in `order`."""
        return predicted_class(self.logits)

    def margin(self, index: int) -> float:
        """The logit of a class minus the largest one of the others."""
        others = torch.cat([self.logits[:index], self.logits[index + 1 :]])
        return float(self.logits[index] - others.max())

    @property
    def order(self) -> list[int]:
        """All classes, the largest logit first; see `ranking`."""
        return ranking(self.logits)

    @property
    def tied(self) -> bool:
        """Whether the runner-up has exactly the logit of the predicted class: the picture lies on their boundary."""
        first, *others = self.order
        return bool(others) and bool(self.logits[first] == self.logits[others[0]])

    def flips(self, logits: Tensor) -> bool:
        """Whether logits [classes] of the changed picture are an answer, and another one than this picture's."""
        return is_answer(logits) and predicted_class(logits) != self.predicted


def ranking(logits: Tensor) -> list[int]:
    """Indices of the classes by their logits, [classes], the largest first; among equal logits the lowest index first.

    Every part of an answer ranks classes by this rule, so that all parts name the same class.
    """
    return logits.argsort(descending=True, stable=True).tolist()


def predicted_class(logits: Tensor) -> int:
    """The class that `ranking` puts first."""
    # torch.argmax returns the first of equal largest values.
    return int(logits.argmax())


def check_finite(numbers: Tensor, of: str) -> Tensor:
    """The numbers as they are.

    Args:
        numbers: Of any shape.
        of: What they are and for which input, for the message: "the map of rise", for example.

    Raises:
        FailedPreconditionError: One of them is not finite.
    """
    if not bool(numbers.isfinite().all()):
        raise FailedPreconditionError(f"{of} is not finite", reason=NOT_FINITE)
    return numbers


def is_answer(logits: Tensor) -> bool:
    """Whether logits, [classes], name a class: they are all finite."""
    return bool(logits.isfinite().all())
