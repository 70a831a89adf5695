"""Known pictures that are like a picture to the network."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from whybox.results.prediction import ClassScore


@dataclass(frozen=True)
class Neighbour:
    """An audited picture that is like the picture to the network.

    Attributes:
        id: Its path below the folder of the audited data set.
        sha256: Digest of its file, in hexadecimal.
        similarity: Cosine of its features and the picture's, -1 to 1; 1 means the same features up to their size.
        class_index: Index of the class that its label names.
        class_label: Its name.
        predicted: What the audited model predicted for it; None if the server does not say.
        agrees: Whether that is the target class.
        distance: Size of the smallest change found that flips its prediction, as `Distance.distance`; None if no such
            change was found, or if the prediction was wrong.
        thumbnail_jpeg: The picture in small, or None.
    """

    id: str
    sha256: str
    similarity: float
    class_index: int
    class_label: str
    predicted: ClassScore | None
    agrees: bool
    distance: float | None
    thumbnail_jpeg: bytes | None = field(repr=False)

    @property
    def right(self) -> bool:
        """Whether the audited model predicted its class."""
        return self.predicted is not None and self.predicted.index == self.class_index


@dataclass(frozen=True)
class Examples:
    """The audited pictures that are most like the picture to the network, without the picture itself.

    Attributes:
        prototypes: Those of the target class that are hardest to attack, the most similar first.
        criticisms: Those of the target class that are easiest to attack, the most similar first.
        others: Pictures of other classes, the most similar first.
        agreement: Share of the `nearest` most similar pictures, of whatever class, that show the target class, 0 to 1.
        nearest: Number of pictures that `agreement` counts: 10, or all of a smaller bank.
        pictures: Number of audited pictures that were looked among.
        audit_id: Id of the audit, see `ModelInfo.audit`.
        norm: Norm of the distances.
    """

    prototypes: tuple[Neighbour, ...]
    criticisms: tuple[Neighbour, ...]
    others: tuple[Neighbour, ...]
    agreement: float
    nearest: int
    pictures: int
    audit_id: str
    norm: str

    @property
    def by_kind(self) -> Mapping[str, tuple[Neighbour, ...]]:
        """The pictures by the name of their list."""
        return {"prototypes": self.prototypes, "criticisms": self.criticisms, "others": self.others}
