"""`whybox-server study import`: published votes as studies."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from whybox_server.audits.commands.common import Fresh, LabelColumn, Labels, Model, ModelStore, View, Workers
from whybox_server.settings import read_settings
from whybox_server.studies.commands.common import told
from whybox_server.studies.errors import StudyError

if TYPE_CHECKING:
    from whybox_server.studies.imports.answers import ModelAnswers
    from whybox_server.studies.imports.published import Published

_REAL = "real"


def import_votes(
    which: Annotated[
        Literal["real", "label-errors", "salient-imagenet"],
        typer.Argument(help="Whose votes: real, label-errors or salient-imagenet.", metavar="WHICH"),
    ],
    path: Annotated[Path, typer.Argument(help="Folder with the published files.", metavar="PATH")],
    save: Annotated[
        Path | None, typer.Option(help="Folder for the results. Default: study-WHICH.", metavar="DIR")
    ] = None,
    model: Model = None,
    pictures: Annotated[
        Path | None,
        typer.Option(
            help="Only real: folder with ImageNet's validation pictures, which the model predicts and the votes judge.",
            metavar="DIR",
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Only real: table with the model's predictions in place of a model: columns file, predicted and the"
            " class, as whole numbers from 0 to 999.",
            metavar="TABLE",
        ),
    ] = None,
    labels: Labels = None,
    label_column: LabelColumn = None,
    model_store: ModelStore = None,
    workers: Workers = None,
    view: View = False,
    fresh: Fresh = False,
    maybe: Annotated[
        Literal["accepted", "rejected"], typer.Option(help="What the answer “maybe” counts as.")
    ] = "accepted",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the redraws.")] = 0,
) -> None:
    """Read published votes as a study, and write results.json and results.html.

    [cyan]whybox-server study import label-errors label-errors/[/]

    [cyan]whybox-server study import real real-labels/ --pictures val/ --labels val.csv --model efficientnet-lite0[/]

    PATH is a folder with the files of google-research/reassessed-imagenet (raters.npz, scores.npz), of
    cleanlab/label-errors (imagenet_mturk.json, imagenet_val_set_*.npy) or of singlasahil14/salient_imagenet
    (discover_spurious_features.csv). With --pictures or --predictions the votes of real rectify the error of a model.
    """
    # Imported here: the command starts sooner without libraries that draw.
    from whybox_server.studies.imports.rectified_model import rectified_model
    from whybox_server.studies.report.write import write_results

    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    folder = save or Path(f"study-{which}")
    with told(err, fresh=fresh, kept="predictions are kept"):
        _check(which, model, pictures, predictions, labels)
        published = _read(which, path, maybe)
        if pictures is not None:
            answers = _predicted(
                pictures, model, model_store, labels, label_column, folder, workers, view, fresh, seed, err
            )
            published = rectified_model(published, answers)
        elif predictions is not None:
            from whybox_server.studies.imports.answers import answers_of_table

            published = rectified_model(published, answers_of_table(predictions, labels, label_column))
        write_results(folder, published.subject, published.votes, published.design, out, err, seed=seed)


def _check(which: str, model: str | None, pictures: Path | None, predictions: Path | None, labels: Path | None) -> None:
    """Raises StudyError for options that do not fit each other."""
    given = {"--pictures": pictures, "--predictions": predictions, "--model": model, "--labels": labels}
    named = [name for name, value in given.items() if value is not None]
    if which != _REAL and named:
        raise StudyError(f"{named[0]} is for real only: the votes of {which} are about the answers of one network")
    if pictures is not None and predictions is not None:
        raise StudyError("give --pictures to predict them by a packed model, or --predictions, not both")
    if model is not None and pictures is None:
        raise StudyError("--model predicts pictures; give their folder as --pictures")
    if labels is not None and pictures is None and predictions is None:
        raise StudyError("--labels gives the classes of pictures; give --pictures or --predictions too")


def _read(which: str, path: Path, maybe: Literal["accepted", "rejected"]) -> "Published":
    from whybox_server.studies.imports.label_errors import read_label_errors
    from whybox_server.studies.imports.real import read_real
    from whybox_server.studies.imports.salient_imagenet import read_salient_imagenet

    if which == _REAL:
        return read_real(path, maybe)
    return read_label_errors(path) if which == "label-errors" else read_salient_imagenet(path)


def _predicted(
    pictures: Path,
    model: str | None,
    model_store: Path | None,
    labels: Path | None,
    label_column: str | None,
    save: Path,
    workers: int | None,
    view: bool,
    fresh: bool,
    seed: int,
    err: Console,
) -> "ModelAnswers":
    from whybox_server.audits.data.dataset import Choice
    from whybox_server.audits.passes.pool import Workers
    from whybox_server.audits.passes.run import PassOptions
    from whybox_server.studies.imports.answers import answers_of_model

    options = PassOptions(
        folder=pictures,
        model=model,
        model_store=read_settings(model_store=model_store).model_store,
        labels=labels,
        choice=Choice(label_column=label_column),
        norms=(),
        budget="standard",  # nothing is attacked
        attack="",
        save=save,
        workers=Workers(number=workers),
        device="cpu",
        seed=seed,
        view=view,
        fresh=fresh,
    )
    return answers_of_model(options, err)
