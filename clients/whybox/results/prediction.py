"""What the model saw: the most probable classes, and the part of the picture that it looked at."""

from dataclasses import dataclass

from whybox.results.part import Part


@dataclass(frozen=True)
class ClassScore:
    """One class of the model.

    Attributes:
        index: Position in the model's labels, from 0.
        label: Name, for example "golden retriever".
        probability: Softmax output, 0 to 1: the model's own confidence, not the chance that the model is right.
    """

    index: int
    label: str
    probability: float


@dataclass(frozen=True)
class View:
    """The part of the upright picture that the model looked at, in pixels. All maps lie over this part.

    Attributes:
        picture_width: Width of the upright picture.
        picture_height: Height of the upright picture.
        left: Left edge of the box that the model saw; like the next three it may be fractional.
        top: Upper edge of the box.
        width: Width of the box.
        height: Height of the box.
    """

    picture_width: int
    picture_height: int
    left: float
    top: float
    width: float
    height: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(left, upper, right, lower), as Pillow wants it."""
        return self.left, self.top, self.left + self.width, self.top + self.height


@dataclass(frozen=True)
class Prediction(Part):
    """The most probable classes.

    Attributes:
        classes: Most probable first.
        view: The part of the picture that the model looked at, or None if the server does not say.
    """

    classes: tuple[ClassScore, ...]
    view: View | None
