"""The run of `whybox-server robustness`: from its options to its files."""

from rich.console import Console

from whybox_server.audits.measurements import PictureTable
from whybox_server.audits.passes.duplicates import Copies
from whybox_server.audits.passes.pictures import PICTURES, write_pictures
from whybox_server.audits.passes.run import Pass, PassOptions, measured
from whybox_server.audits.passes.tally import counts, faults
from whybox_server.audits.robust_accuracy import words
from whybox_server.audits.robust_accuracy.figure import draw
from whybox_server.audits.robust_accuracy.report import MEANING, write_report
from whybox_server.audits.robust_accuracy.summary import summarise, summarise_classes

NUMBERS, FIGURE = "robustness.json", "robustness.png"


def measure_robust_accuracy(asked: PassOptions, out: Console, err: Console) -> None:
    """Measures the pictures of a data set, and writes the three files of the results.

    Args:
        asked: The options.
        out: Console for the results.
        err: Console for the progress.

    Raises:
        Exception: As `measured`.
    """
    with measured(asked, "robustness", err) as done:
        _conclude(done, out)


def _conclude(done: Pass, out: Console) -> None:
    model, options, seed = done.model, done.options, done.settings["seed"]
    copies = Copies(done.data, done.journal)
    missing = faults(done.data, done.journal)
    data = counts(done.data, copies, missing)
    write_pictures(done.save / PICTURES, done.data, done.journal, copies, model.labels, options.norms)
    pictures = PictureTable(done.save / PICTURES).everything()
    whole = summarise(pictures, options.norms, seed)
    radii = {name: norm.curve.radius for name, norm in whole.norms.items()}
    classes = summarise_classes(pictures, options.norms, seed, radii)
    write_report(done.save / NUMBERS, done.settings, data, missing, model.labels, whole, classes)
    attack = f"attack {options.attack}, budget {options.budget} gradient evaluations for each picture"
    draw(done.save / FIGURE, whole, f"{model.name} {model.version}", attack)
    out.print(MEANING, style="dim", markup=False, soft_wrap=True)
    for line in words.lines(whole, data, missing):
        out.print(line, markup=False, soft_wrap=True)
    out.print(words.extremes(classes, model.labels, options.norms[0]))
    for name in (NUMBERS, FIGURE, PICTURES):
        out.print(f"saved {done.save / name}", markup=False, soft_wrap=True)
