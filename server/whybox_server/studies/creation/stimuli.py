"""What people see: pictures, adversarial twins, maps and examples, made by the model.

A study without adversarial cells shows the whole upright picture, at most `_LONGEST` pixels on its longer side. A study
with them shows the part that the model sees, enlarged in whole steps, in all of its cells: picture and twin then differ
in the change alone, and every pixel that people see is one that the model saw. The twin is the smallest change found
that survives rounding to 8 bits, because nothing smaller reaches a screen.

The twin of a misclassified picture is answered with a third class: an attack that only corrects the answer would ask
people about a right one.

Only the processes that make pictures import this module, which loads torch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from whybox import v1
from whybox.v1 import heat_maps
from whybox.v1.errors import PictureError, WhyboxError
from whybox_handlers import notebook
from whybox_handlers.audits.covariates import perceptual_hash
from whybox_handlers.explanations.embeddings import embedding
from whybox_handlers.models.case import Case
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import run_one
from whybox_handlers.pictures.decoding import decode
from whybox_handlers.pictures.levels import LEVELS, image
from whybox_handlers.references import References
from whybox_handlers.robustness.measurement import measure_robustness
from whybox_handlers.robustness.merged_classes import merged
from whybox_server.audits.passes.duplicates import NEAR
from whybox_server.audits.passes.workers import loaded_classifier
from whybox_server.studies.creation.asked import Encoded, Folder, Known, Made, MadeCell, MadeExample, Making, Wanted
from whybox_server.studies.creation.sampling import Candidate
from whybox_server.studies.protocol import Asked, Cell, Version

_LONGEST = 640
_QUALITY = 90
_OPACITY = 0.5


class _CannotShowError(Exception):
    """A picture cannot be shown as the cells want it; the message says why, and what to do."""


def make(making: Making, wanted: Sequence[Wanted]) -> list[Made]:
    """All that is shown of pictures; a fault of a picture is in its answer.

    Raises:
        FailedPreconditionError: The model cannot be loaded.
        OSError: A picture cannot be read.
    """
    classifier = loaded_classifier(making.archive, making.device)
    made = []
    for each in wanted:
        try:
            cells = _known(making, classifier, each) if isinstance(each, Known) else _all(making, classifier, each)
            made.append(Made(each, cells))
        except (_CannotShowError, WhyboxError) as error:
            made.append(Made(each, fault=str(error)))
    return made


def _known(making: Making, classifier: Classifier, known: Known) -> tuple[MadeCell, ...]:
    encoded = (making.folder / known.file).read_bytes()
    subject = Subject.of(classifier, encoded, view=making.view)
    label = known.label
    if label is None:
        # One of the less probable half of the classes has nothing to do with the picture.
        last = subject.order[-(len(subject.order) // 2) :]
        drawn = int.from_bytes(sha256(f"{making.seed}:{known.file}".encode()).digest()[:7], "big")
        label = last[drawn % len(last)]
    return (MadeCell("", label, _Scene(making, encoded, subject).picture),)


def _all(making: Making, classifier: Classifier, candidate: Candidate) -> tuple[MadeCell, ...]:
    encoded = (making.folder / candidate.file).read_bytes()
    if sha256(encoded).hexdigest() != candidate.sha256:
        raise _CannotShowError("the file has changed since its prediction; run the audit or the command again")
    clean = Subject.of(classifier, encoded, view=making.view)
    if clean.predicted != candidate.predicted:
        now, then = classifier.label(clean.predicted), classifier.label(candidate.predicted)
        raise _CannotShowError(f"the model answers “{now}”, and answered “{then}” before; run the audit again")
    scenes: dict[Version, _Scene] = {"clean": _Scene(making, encoded, clean)}
    if any(cell.version == "adversarial" for cell in making.cells):
        twin = _twin(making, classifier, clean, candidate.label)
        scenes["adversarial"] = _Scene(making, b"", twin)
    taken = {classifier.label(candidate.label), *(classifier.label(each.subject.predicted) for each in scenes.values())}
    foil = next((index for index in clean.order if classifier.label(index) not in taken), None)
    made = []
    for cell in making.cells:
        scene = scenes[cell.version]
        labels: dict[Asked, int | None] = {"model": scene.subject.predicted, "given": candidate.label, "foil": foil}
        label = labels[cell.asked]
        if label is None:
            raise _CannotShowError("the model has no class left for a foil; leave --foil out")
        made.append(_shown(making, classifier, cell, scene, label))
    return tuple(made)


def _shown(making: Making, classifier: Classifier, cell: Cell, scene: "_Scene", label: int) -> MadeCell:
    if cell.arm == "feature":
        return MadeCell(cell.name, label, scene.picture, explanation=scene.map_of(classifier, label))
    if cell.arm == "example":
        examples = tuple(_examples(making, classifier, scene.subject, label))
        if len(examples) < making.examples:
            whose = (
                "" if label == scene.subject.predicted else f" of “{classifier.label(label)}”, the label of {cell.name}"
            )
            raise _CannotShowError(
                f"the bank holds {len(examples)} pictures{whose} without those of the study, and {making.examples} are"
                " to be shown; pack the model with a larger bank (--bank), lower --examples, or leave the cell out"
                " (--cell)"
            )
        return MadeCell(cell.name, label, scene.picture, examples=examples)
    return MadeCell(cell.name, label, scene.picture)


def _twin(making: Making, classifier: Classifier, clean: Subject, given: int) -> Subject:
    """The adversarial twin, in 8 bits; the model's answer to it is neither its earlier one nor the data set's."""
    options = v1.RobustnessOptions.FromString(making.attack)
    # People read labels: another class with the same label would be no other answer.
    labels = {classifier.label(clean.predicted), classifier.label(given)}
    alike = [index for index in clean.order if classifier.label(index) in labels]
    if len(alike) == len(clean.order):
        raise _CannotShowError("the model has no third class for the twin; name clean cells only (--cell)")
    attacked = (classifier, clean) if len(alike) == 1 else merged(classifier, clean, alike)
    found = run_one(attacked[0], measure_robustness(Case(*attacked, making.seed), options, Passes(Limits())))
    if not found.pictures[0]:
        raise _CannotShowError(
            "no adversarial change was found that survives rounding to 8 bits; raise --budget, take another --attack,"
            " or leave the picture out (--where)"
        )
    twin = Subject.of(classifier, found.pictures[0], view=True)
    if twin.predicted in alike:
        raise _CannotShowError(
            "the adversarial picture is answered as the picture itself, because the classes are tied; leave it out"
            " (--where)"
        )
    return twin


@dataclass(frozen=True, eq=False)
class _Scene:
    """A version of a picture.

    Attributes:
        making: What is wanted.
        encoded: The file of the picture; empty for a twin.
        subject: The model's view, and its answer.
    """

    making: Making
    encoded: bytes
    subject: Subject

    @cached_property
    def shown(self) -> Image.Image:
        """The picture as people see it."""
        if self.making.show == "view":
            side = self.subject.picture.shape[-1]
            side *= max(_LONGEST // side, 1)
            return image(self.subject.picture).resize((side, side), Image.Resampling.BICUBIC)
        pixels = decode(self.encoded)
        whole = image(pixels if pixels.is_floating_point() else pixels / LEVELS)
        whole.thumbnail((_LONGEST, _LONGEST), Image.Resampling.LANCZOS)
        return whole

    @cached_property
    def picture(self) -> Encoded:
        """See `shown`; a change must not drown in compression, so views lose nothing."""
        return _encoded("pictures", self.shown, lossless=self.making.show == "view")

    def map_of(self, classifier: Classifier, label: int) -> Encoded:
        """What spoke for a class, in colour over the picture in grey; what the model does not see counts 0."""
        method = self.making.explanation
        attribution = notebook.explain(classifier, self.subject.picture, method, target=label, seed=self.making.seed)
        strengths = Image.fromarray(heat_maps.strengths(attribution.values.numpy(), signed=attribution.signed))
        left, top, right, bottom = self._seen()
        everywhere = Image.new("F", self.shown.size)
        everywhere.paste(strengths.resize((right - left, bottom - top), Image.Resampling.BILINEAR), (left, top))
        values = np.asarray(everywhere, np.float32)
        return _encoded(
            "maps", heat_maps.lay_over(self.shown, values, _OPACITY, signed=attribution.signed), lossless=False
        )

    def _seen(self) -> tuple[int, int, int, int]:
        """The box that the model sees, in the picture that people see."""
        size, view = self.shown.size, self.subject.view
        if self.making.show == "view":
            return 0, 0, *size
        across, down = size[0] / view.picture_width, size[1] / view.picture_height
        return (
            round(view.left * across),
            round(view.top * down),
            round((view.left + view.width) * across),
            round((view.top + view.height) * down),
        )


def _examples(making: Making, classifier: Classifier, subject: Subject, label: int) -> Iterator[MadeExample]:
    """The nearest pictures of the bank, at most `making.examples`. For a label that is not the answer, they are of it.

    Pictures of the study are none, nor are near-duplicates of them or of an earlier example.
    """
    references, features = classifier.references, embedding(classifier, subject)
    if references is None or features is None:
        return
    shown = making.known | _fingerprints(making.archive, making.device, making.folder, making.others, view=making.view)
    known = {digest for digest, _ in shown}
    hashes = {int(hash_, 16) for _, hash_ in shown if hash_}
    of_class = None if label == subject.predicted else label
    found = 0
    for key in _nearest(references, features.numpy()):
        if of_class is not None and references.label(key) != of_class:
            continue
        neighbour = references.record(key)
        if neighbour.sha256 in known or not neighbour.thumbnail:
            continue
        try:
            seen, _ = classifier.see(neighbour.thumbnail)
        except PictureError:
            continue
        hash_ = perceptual_hash(seen)
        if any((hash_ ^ other).bit_count() <= NEAR for other in hashes):
            continue
        hashes.add(hash_)
        yield MadeExample(_thumbnail(neighbour.thumbnail), neighbour.class_index)
        found += 1
        if found == making.examples:
            return


@cache
def _fingerprints(
    archive: Path, device: str, folder: Path, files: Sequence[str], *, view: bool
) -> frozenset[tuple[str, str]]:
    """Digests and perceptual hashes of pictures, computed once for each process."""
    classifier, prints = loaded_classifier(archive, device), set()
    for file in files:
        encoded = (folder / file).read_bytes()
        try:
            seen, _ = classifier.see(encoded, view=view)
        except PictureError:
            # Its own fault is told where it is made.
            continue
        prints.add((sha256(encoded).hexdigest(), f"{perceptual_hash(seen):016x}"))
    return frozenset(prints)


def _nearest(references: References, features: NDArray[np.float32]) -> Iterator[int]:
    """The pictures of the bank, the most similar first; more are looked for as they are needed."""
    asked, told = 32, set[int]()
    while len(told) < len(references):
        for match in references.nearest(features, asked):
            if match.key not in told:
                told.add(match.key)
                yield match.key
        if asked >= len(references):
            return
        asked *= 4


def _thumbnail(content: bytes) -> Encoded:
    with Image.open(BytesIO(content)) as picture:
        return Encoded("examples", content, ".jpg", *picture.size)


def _encoded(folder: Folder, picture: Image.Image, *, lossless: bool) -> Encoded:
    content = BytesIO()
    picture.save(content, "WEBP", lossless=lossless, quality=_QUALITY)
    return Encoded(folder, content.getvalue(), ".webp", *picture.size)
