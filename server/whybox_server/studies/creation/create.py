"""Creates a study: draws pictures, makes what people see, and writes the protocol."""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from whybox import v1
from whybox_server.audits.passes.pictures import digest_of
from whybox_server.audits.passes.run import make_folder
from whybox_server.studies.collecting.folders import PROTOCOL
from whybox_server.studies.creation.asked import Making, Show, Wanted
from whybox_server.studies.creation.cells import has, number_of_items, registered
from whybox_server.studies.creation.cost import Cost, cost_of
from whybox_server.studies.creation.folder import write_protocol
from whybox_server.studies.creation.kept import forget
from whybox_server.studies.creation.known import Right, drawn_practice, read_known
from whybox_server.studies.creation.making import make_all
from whybox_server.studies.creation.predictions import Asked, Predictions, chosen_model, predict
from whybox_server.studies.creation.sampling import Drawn, Sample, draw
from whybox_server.studies.errors import StudyError
from whybox_server.studies.protocol import (
    Cell,
    Item,
    KnownPicture,
    Label,
    Picture,
    Platform,
    Policy,
    Protocol,
    Source,
    Wording,
)

_FOLDERS = ("pictures", "maps", "examples")
_ID_DIGITS = 16
# The most gold pictures that one person is asked about by default.
_GOLD = 3


@dataclass(frozen=True)
class Plan:
    """What is to be created.

    Attributes:
        id: Name of the study.
        asked: The pictures and the model.
        save: Folder of the study.
        errors: Number of misclassified pictures; None for all.
        correct: Share of the rightly classified ones, 0 to 1.
        cells: The cells.
        show: What people see of a picture; None for the view if a cell is adversarial, else the whole picture.
        explanation: Method of the arm `feature`.
        examples: Number of examples of the arm `example`, at least 1.
        practice: Table of the practice pictures; None to draw them.
        practice_pictures: Number of practice pictures that are drawn; 0 for none.
        gold: Table of the gold pictures; None for none.
        gold_per_annotator: Gold pictures that one person is asked about; None for all, but at most 3.
        wording: What people read.
        platform: Who sends people, beside invitations.
        policy: How answers are collected and counted; contrasts and gold are filled in.
        platform: Who sends people, beside invitations.
        annotators: Number of people who can take part; None for as many as it takes.
        seconds: Seconds that an answer takes.
    """

    id: str
    asked: Asked
    save: Path
    errors: int | None
    correct: float
    cells: tuple[Cell, ...]
    show: Show | None
    explanation: str
    examples: int
    practice: Path | None
    practice_pictures: int
    gold: Path | None
    gold_per_annotator: int | None
    wording: Wording
    policy: Policy
    platform: Platform
    annotators: int | None
    seconds: float


@dataclass(frozen=True)
class Created:
    """A study on the disk.

    Attributes:
        folder: Its folder.
        protocol: Its protocol.
        cost: What it asks of people.
    """

    folder: Path
    protocol: Protocol
    cost: Cost


def create(plan: Plan, err: Console) -> Created:
    """Creates a study. What cannot be filled is refused as early as it can be known.

    Args:
        plan: What is to be created.
        err: Console for the progress.

    Raises:
        StudyError: The study cannot be filled, or its folder holds one already.
        ArchiveError: The model is not packed.
        DataSetError: Pictures or labels are missing or wrong.
        JournalError: An earlier run was made with other settings.
        AuditError: A process died, or the folder cannot be made.
        InterruptedAuditError: SIGINT or SIGTERM arrived; what is predicted and made is kept.
        WhyboxError: The options do not fit the model.
        OSError: A file cannot be read or written.
    """
    archive, model = chosen_model(plan.asked)
    show = _checked(plan, model)
    _prepare(plan)
    predictions = predict(plan.asked, plan.save, err)
    sample = draw(predictions.candidates, plan.errors, plan.correct, plan.asked.seed)
    practice, gold = _practice(plan, predictions, sample), _gold(plan, predictions)
    _once(predictions, sample, [*practice, *gold])
    policy = _policy(plan, gold)
    numbers = [number_of_items(plan.cells, each.candidate, model.labels) for each in sample.drawn]
    cost = cost_of(len(plan.cells), numbers, policy, len(practice), plan.annotators, plan.seconds)
    making = Making(
        archive=archive,
        device=plan.asked.device,
        folder=predictions.folder.absolute(),
        view=predictions.view,
        cells=plan.cells,
        show=show,
        explanation=plan.explanation,
        examples=plan.examples,
        attack=predictions.options.SerializeToString() if has(plan.cells, "adversarial") else b"",
        seed=plan.asked.seed,
        known=_fingerprints(predictions, sample, [*practice, *gold]),
        others=_unpredicted(predictions, [*practice, *gold]),
    )
    wanted: list[Wanted] = [each.candidate for each in sample.drawn]
    wanted += [right.known for right in (*practice, *gold)]
    items = make_all(making, wanted, plan.save, list(model.labels), plan.asked.workers, err)
    protocol = _protocol(plan, policy, predictions, sample, items, practice, gold)
    _remove_others(plan.save, protocol)
    write_protocol(plan.save, protocol)
    forget(plan.save)
    return Created(plan.save, protocol, cost)


def _checked(plan: Plan, model: v1.Model) -> Show:
    """What people see of a picture; raises StudyError for a cell that the model cannot fill."""
    if has(plan.cells, "feature"):
        offered = {method.name: method for method in model.methods if not method.gives_examples}
        if plan.explanation not in offered:
            raise StudyError(f"--explanation {plan.explanation}: {model.name} offers {', '.join(offered)}")
        if reason := offered[plan.explanation].unavailable:
            raise StudyError(f"--explanation {plan.explanation}: {reason}")
    if has(plan.cells, "example"):
        remedy = "pack it with --bank AUDIT, or name cells without example (--cell)"
        if reason := next((method.unavailable for method in model.methods if method.gives_examples), "no bank"):
            raise StudyError(f"{model.name} has no pictures for the arm example ({reason}); {remedy}")
        if not model.audit.references.thumbnails:
            raise StudyError(f"the bank of {model.name} is packed without thumbnails; {remedy}")
    adversarial = has(plan.cells, "adversarial")
    # The model's answer and the data set's label, and then those that are neither.
    asked, there = 2 + adversarial + has(plan.cells, "foil"), len(set(model.labels))
    if there < asked > 2:
        remedy = "take clean cells only (--cell), or leave --foil out" if adversarial else "leave --foil out"
        raise StudyError(
            f"{model.name} has {there} labels, and these cells need {asked}: the adversarial picture and the foil of a"
            f" misclassified picture have a label each that is neither its own nor the answer; {remedy}"
        )
    if plan.show == "whole" and adversarial:
        remedy = "take --show view, or name clean cells only (--cell)"
        raise StudyError(f"--show whole: the model sees and an attack changes only a part of a picture; {remedy}")
    return plan.show or ("view" if adversarial else "whole")


def _prepare(plan: Plan) -> None:
    """Makes the folder; what an interrupted run made stays in it, but for --fresh."""
    if (plan.save / PROTOCOL).exists() and not plan.asked.fresh:
        raise StudyError(f"{plan.save} holds a study; give another --save, or --fresh to create it anew")
    make_folder(plan.save)
    (plan.save / PROTOCOL).unlink(missing_ok=True)
    if plan.asked.fresh:
        forget(plan.save)
        for name in _FOLDERS:
            shutil.rmtree(plan.save / name, ignore_errors=True)


def _remove_others(save: Path, protocol: Protocol) -> None:
    """Removes what earlier runs made for other options."""
    files = protocol.files()
    for path in [path for name in _FOLDERS for path in (save / name).glob("*")]:
        if path.relative_to(save).as_posix() not in files:
            path.unlink()


def _practice(plan: Plan, predictions: Predictions, sample: Sample) -> list[Right]:
    labels = list(predictions.model.labels)
    if plan.practice is not None:
        return read_known(plan.practice, "--practice", predictions.folder, labels, plan.policy.answers)
    taken = {each.candidate.file for each in sample.drawn}
    left = [each for each in predictions.candidates if each.file not in taken]
    return drawn_practice(left, plan.practice_pictures, labels, plan.wording, plan.asked.seed)


def _gold(plan: Plan, predictions: Predictions) -> list[Right]:
    if plan.gold is None:
        return []
    labels = list(predictions.model.labels)
    return read_known(plan.gold, "--gold", predictions.folder, labels, plan.policy.answers)


def _once(predictions: Predictions, sample: Sample, known: Sequence[Right]) -> None:
    """Makes sure that nobody sees a picture of the study for practice or as gold, too."""
    drawn = {each.candidate.sha256: each.candidate.file for each in sample.drawn}
    for right in known:
        digest = hashlib.sha256((predictions.folder / right.known.file).read_bytes()).hexdigest()
        if digest in drawn:
            remedy = "take another one, or leave it out of the study (--where)"
            raise StudyError(
                f"{right.known.file} is a practice or gold picture, and {drawn[digest]}, which is the same, is drawn"
                f" for the study; a person sees a picture once: {remedy}"
            )


def _fingerprints(predictions: Predictions, sample: Sample, known: Sequence[Right]) -> frozenset[tuple[str, str]]:
    """Digests and perceptual hashes of the pictures of the study that were predicted."""
    files = {right.known.file for right in known}
    shown = [each.candidate for each in sample.drawn]
    shown += [each for each in predictions.candidates if each.file in files]
    return frozenset((each.sha256, each.perceptual_hash) for each in shown)


def _unpredicted(predictions: Predictions, known: Sequence[Right]) -> tuple[str, ...]:
    """Practice and gold pictures that stand in no table of the data set."""
    predicted = {each.file for each in predictions.candidates}
    return tuple(sorted({right.known.file for right in known} - predicted))


def _policy(plan: Plan, gold: Sequence[Right]) -> Policy:
    wanted = min(len(gold), _GOLD) if plan.gold_per_annotator is None else plan.gold_per_annotator
    if wanted > len(gold):
        raise StudyError(
            f"--gold-per-annotator {wanted} are more than the {len(gold)} gold pictures; give a --gold table"
        )
    return plan.policy.model_copy(update={"contrasts": registered(plan.cells), "gold_per_annotator": wanted})


def _protocol(
    plan: Plan,
    policy: Policy,
    predictions: Predictions,
    sample: Sample,
    items: Mapping[Wanted, tuple[Item, ...]],
    practice: Sequence[Right],
    gold: Sequence[Right],
) -> Protocol:
    model, options = predictions.model, predictions.options
    # Sorted by a name that tells nothing: neither strata nor classes stand together.
    pictures = sorted((_picture(plan, model, each, items[each.candidate]) for each in sample.drawn), key=_id)
    attack = f"{options.attack}, {options.norms[0]}, {options.budget} gradient evaluations, in 8 bits"
    return Protocol(
        id=plan.id,
        seed=plan.asked.seed,
        wording=plan.wording,
        policy=policy,
        platform=plan.platform,
        source=Source(
            model=model.name,
            version=model.version,
            digest=digest_of(predictions.archive),
            data=predictions.folder.resolve().name,
            errors=sample.errors,
            correct=sample.correct,
            explanation=plan.explanation if has(plan.cells, "feature") else "",
            bank=model.audit.id if has(plan.cells, "example") else "",
            attack=attack if has(plan.cells, "adversarial") else "",
        ),
        cells=plan.cells,
        pictures=tuple(pictures),
        practice=tuple(_known_picture(plan, right, items[right.known], "practice") for right in practice),
        gold=tuple(_known_picture(plan, right, items[right.known], "gold") for right in gold),
    )


def _picture(plan: Plan, model: v1.Model, drawn: Drawn, items: tuple[Item, ...]) -> Picture:
    candidate = drawn.candidate
    return Picture(
        id=_named(plan, candidate.file),
        source=candidate.file,
        stratum=candidate.stratum,
        inclusion_probability=drawn.inclusion_probability,
        given=Label(index=candidate.label, text=model.labels[candidate.label]),
        predicted=Label(index=candidate.predicted, text=model.labels[candidate.predicted]),
        items=items,
    )


def _known_picture(plan: Plan, right: Right, items: tuple[Item, ...], cell: str) -> KnownPicture:
    [item] = items
    name = _named(plan, f"{cell}:{right.known.number}:{right.known.file}")
    why = right.why if cell == "practice" else ""
    return KnownPicture(id=name, item=item.model_copy(update={"cells": (cell,)}), right=right.right, why=why)


def _named(plan: Plan, what: str) -> str:
    """A name that depends on the study, its seed and the picture, and tells nothing of it."""
    return hashlib.sha256(f"{plan.id}:{plan.asked.seed}:{what}".encode()).hexdigest()[:_ID_DIGITS]


def _id(picture: Picture) -> str:
    return picture.id
