"""`whybox-server study create`."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import ValidationError
from rich.console import Console

from whybox_server.audits.commands.common import (
    Attack,
    Budget,
    Device,
    LabelColumn,
    Labels,
    Model,
    ModelStore,
    View,
    Where,
    Workers,
)
from whybox_server.settings import read_settings
from whybox_server.studies.commands.common import told
from whybox_server.studies.errors import StudyError
from whybox_server.studies.protocol import Answer, Platform, Policy, Wording

# What the same command finds done after an interrupt.
_KEPT = "all predictions and all pictures made are kept"
_IDS = r"[a-z0-9][a-z0-9-]{0,62}"
_WORDING = {
    "language": "write a code such as en or pt-BR",
    "question": "write a question with {label} where the label stands",
    "instructions": "write a list of paragraphs",
    "consent": "write a list of paragraphs, at least one",
    "contact": "write a text, or leave it out",
    "keys": "write one character for each answer, all different",
    "pages": "write the text as whybox-server study wording prints it, with the same words in braces",
}
# "a-pilot" would be the name of the pilot of "a".
_TAKEN = ("-pilot", "-preview")


def create(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Folder with the pictures (one sub-folder per class, or any layout with --labels), or folder that"
            " whybox-server audit wrote, whose labels and predictions are used.",
            metavar="DIR|AUDIT",
        ),
    ],
    study: Annotated[
        str, typer.Option("--id", help="Name of the study: lower-case letters, digits and hyphens.", metavar="STUDY")
    ] = "study",
    labels: Labels = None,
    label_column: LabelColumn = None,
    where: Where = None,
    model: Model = None,
    model_store: ModelStore = None,
    errors: Annotated[
        int | None, typer.Option(min=1, help="Draw N misclassified pictures. Default: all of them.", metavar="N")
    ] = None,
    correct: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of the correctly classified pictures to draw, 0 to 1.", metavar="SHARE"),
    ] = 0.1,
    cell: Annotated[
        list[str] | None,
        typer.Option(
            help="Cell of the study, ARM/VERSION or ARM/VERSION/LABEL; repeatable. ARM is none, feature (where the"
            " model looked) or example (nearest pictures of the bank), VERSION clean or adversarial, LABEL model, given"
            " (the data set's) or foil. Default: the six cells of all arms and versions with the model's label.",
            metavar="CELL",
        ),
    ] = None,
    given: Annotated[
        bool, typer.Option("--given", help="Ask about the data set's label as well, in the same arms and versions.")
    ] = False,
    foil: Annotated[
        bool,
        typer.Option(
            "--foil",
            help="Ask about a foil as well, with its own explanation: the most probable class that is neither the"
            " model's answer nor the data set's label.",
        ),
    ] = False,
    show: Annotated[
        Literal["whole", "view"] | None,
        typer.Option(
            help="Show the whole picture, or the part that the model sees. Default: view in a study with adversarial"
            " cells, so that picture and twin differ in the change alone; otherwise whole."
        ),
    ] = None,
    explanation: Annotated[
        str, typer.Option(help="Method of the maps in the arm feature; GetModel lists them.", metavar="METHOD")
    ] = "grad_cam",
    examples: Annotated[int, typer.Option(min=1, max=12, help="Number of pictures in the arm example.")] = 3,
    norm: Annotated[
        Literal["linf", "l2"] | None,
        typer.Option(help="Norm that measures the change of adversarial pictures. Default: linf."),
    ] = None,
    budget: Budget = "standard",
    attack: Attack = "",
    practice: Annotated[
        Path | None,
        typer.Option(
            help="Table of pictures that everybody answers first: columns file (below DIR), label, right (yes or no)"
            " and why. Default: pictures that the model knows well, with their label and with an unrelated one.",
            metavar="TABLE",
        ),
    ] = None,
    practice_pictures: Annotated[
        int, typer.Option(min=0, max=50, help="Number of practice pictures without --practice.")
    ] = 6,
    gold: Annotated[
        Path | None,
        typer.Option(
            help="Table of pictures with a known answer that are asked about among the others: columns file, label and"
            " right.",
            metavar="TABLE",
        ),
    ] = None,
    gold_per_annotator: Annotated[
        int | None, typer.Option(min=0, help="Gold pictures for each annotator. Default: all, at most 3.")
    ] = None,
    maybe: Annotated[bool, typer.Option("--maybe", help="Offer “maybe” beside yes and no.")] = False,
    maybe_counts: Annotated[
        Literal["accepted", "rejected"], typer.Option(help="What “maybe” counts as in the primary result.")
    ] = "accepted",
    ties: Annotated[Literal["accepted", "rejected"], typer.Option(help="What a tied majority counts as.")] = "rejected",
    example_labels: Annotated[
        bool, typer.Option("--example-labels", help="Show the labels of examples, which are hidden by default.")
    ] = False,
    per_cell: Annotated[
        int, typer.Option(min=5, help="Number of different annotators who answer each picture in each cell.")
    ] = 5,
    per_annotator: Annotated[
        int, typer.Option(min=1, help="The most pictures that one annotator answers, practice and gold apart.")
    ] = 60,
    annotators: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of annotators you have; a study that they cannot fill is refused.", metavar="N"
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="Seconds that an answer takes, for the estimate of hours.")
    ] = 8.0,
    wording: Annotated[
        Path | None,
        typer.Option(
            help="JSON file with the texts that people read; whybox-server study wording prints the English ones. In"
            " another language it holds all of them.",
            metavar="FILE",
        ),
    ] = None,
    id_parameter: Annotated[
        str,
        typer.Option(
            help="Name of the id that a crowd platform puts into the address, such as PROLIFIC_PID. Default: only"
            " invitations let people in.",
            metavar="NAME",
        ),
    ] = "",
    return_address: Annotated[
        str,
        typer.Option(
            help="Address, https://..., where people go at the end; {code} stands for the person's completion code."
            " Default: the page shows the code.",
            metavar="URL",
        ),
    ] = "",
    save: Annotated[Path | None, typer.Option(help="Folder of the study. Default: study-ID.", metavar="DIR")] = None,
    workers: Workers = None,
    device: Device = "cpu",
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Seed of the draw, of attacks, and of everything in the study.")
    ] = 0,
    view: View = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Create the study anew, also if the folder holds one.")
    ] = False,
) -> None:
    """Create a study: which of the model's errors would people accept?

    The command draws misclassified pictures and a share of the others, makes what people see, and writes the folder of
    the study. It prints what the study asks of people: cells, answers, annotators and hours.

    [cyan]whybox-server study create photos/ --labels photos.csv --id photos --errors 100[/]

    [cyan]whybox-server study create audit-efficientnet-lite0/ --cell none/clean --cell feature/clean --foil[/]

    The arm example needs a model that is packed with --bank. Nobody answers yet: look at the folder, then open it with
    whybox-server study open. After an interrupt the same command continues where it stopped.
    """
    from whybox_server.audits.data.dataset import Choice
    from whybox_server.studies.creation.cells import chosen_cells
    from whybox_server.studies.creation.create import Plan, create
    from whybox_server.studies.creation.predictions import Asked

    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    with told(err, fresh=fresh, kept=_KEPT):
        if not re.fullmatch(_IDS, study) or study.endswith(_TAKEN):
            rule = "at most 63 lower-case letters, digits and hyphens, and no -pilot or -preview at its end"
            raise StudyError(f"--id {study!r} is no name of a study; give {rule}")
        policy = Policy(
            answers=(Answer.YES, Answer.NO, *([Answer.MAYBE] if maybe else [])),
            annotators_per_cell=per_cell,
            pictures_per_annotator=per_annotator,
            ties=ties,
            maybe=maybe_counts,
            show_example_labels=example_labels,
        )
        plan = Plan(
            id=study,
            asked=Asked(
                folder=folder,
                labels=labels,
                choice=Choice(label_column=label_column, where=tuple(where or ()), seed=seed),
                model=model,
                model_store=read_settings(model_store=model_store).model_store,
                norms=(norm,) if norm else (),
                budget=budget,
                attack=attack,
                workers=workers,
                device=device,
                view=view,
                fresh=fresh,
                seed=seed,
            ),
            save=save or Path(f"study-{study}"),
            errors=errors,
            correct=correct,
            cells=chosen_cells(cell or (), given=given, foil=foil),
            show=show,
            explanation=explanation,
            examples=examples,
            practice=practice,
            practice_pictures=practice_pictures,
            gold=gold,
            gold_per_annotator=gold_per_annotator,
            wording=Wording() if wording is None else _read_wording(wording),
            policy=policy,
            platform=_platform(id_parameter, return_address),
            annotators=annotators,
            seconds=seconds,
        )
        created = create(plan, err)
        source = created.protocol.source
        drawn = sum(picture.stratum == "error" for picture in created.protocol.pictures)
        lines = (
            f"study {study}: {drawn} of {source.errors} misclassified pictures,"
            f" {len(created.protocol.pictures) - drawn} of {source.correct} correctly classified ones",
            created.cost.sentence(),
            f"saved {created.folder}; open it with: whybox-server study open {created.folder}",
        )
        for line in lines:
            out.print(line, markup=False, soft_wrap=True)


def _platform(parameter: str, return_address: str) -> Platform:
    if return_address and not parameter:
        raise StudyError("--return-address needs --id-parameter, by which people of the platform come")
    try:
        return Platform(parameter=parameter, return_address=return_address)
    except ValidationError as error:
        if error.errors()[0]["loc"] == ("parameter",):
            raise StudyError(
                f"--id-parameter {parameter!r}: give at most 64 letters, digits, hyphens and underscores"
            ) from None
        raise StudyError(f"--return-address {return_address!r}: give an address that begins with https://") from None


def wording() -> None:
    """Print the texts that people read, in English: translate all of them, and give the file to create --wording.

    [cyan]whybox-server study wording > wording.json[/]
    """
    print(Wording().model_dump_json(indent=2))  # noqa: T201


def _read_wording(path: Path) -> Wording:
    try:
        read = Wording.model_validate_json(path.read_bytes())
    except OSError as error:
        raise StudyError(f"--wording {path} cannot be read ({error.strerror}); give a JSON file") from None
    except ValidationError as error:
        first = error.errors()[0]
        where, fault = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        if not where:
            remedy = 'write one object of texts, such as {"title": "Which labels fit?"}'
        elif first["type"] == "extra_forbidden":
            fault, remedy = "there is no such text", "whybox-server study wording prints all of them"
        else:
            remedy = _WORDING.get(str(first["loc"][0]), "write a text")
        raise StudyError(f"--wording {path}: {where or 'the file'}: {fault}; {remedy}") from None
    missing = read.missing()
    if missing and read.language.lower().split("-")[0] != "en":
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        remedy = "give every text, so that no page is half English; whybox-server study wording prints all of them"
        raise StudyError(f"--wording {path} is in {read.language!r} and lacks {shown}; {remedy}")
    return read
