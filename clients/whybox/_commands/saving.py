"""An analysis as pictures in a folder."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from whybox._sheets.contact_sheet import contact_sheet
from whybox.results import Analysis, Distance, Examples, Explanation


def save_pictures(analysis: Analysis, folder: Path, stem: str) -> Iterator[Path]:
    """Writes every map, region, adversarial picture and drawing of the server, every thumbnail, and the contact sheet.

    Yields each path when it is written. Thumbnails are JPEG, all others PNG.

    Args:
        analysis: What to draw.
        folder: Where to write; a missing folder is made.
        stem: Beginning of the names of all files.

    Raises:
        OSError: The folder or a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    maps = [explanation for explanation in analysis.explanations if explanation.error is None]
    times = Counter(explanation.method for explanation in maps)
    for explanation in maps:
        # Maps of one method differ in their target.
        name = f"{stem}.{explanation.method}"
        yield from _save_map(
            explanation, folder, name if times[explanation.method] == 1 else f"{name}.{explanation.target_class}"
        )
    for distance in analysis.robustness.distances if analysis.robustness else ():
        yield from _save_changes(distance, folder, f"{stem}.robustness.{distance.norm}")
    path = folder / f"{stem}.sheet.png"
    contact_sheet(analysis).save(path)
    yield path


def _save_map(explanation: Explanation, folder: Path, name: str) -> Iterator[Path]:
    if explanation.attribution.size:
        path = folder / f"{name}.png"
        explanation.overlay().save(path)
        yield path
    for kind, png in (("heat_map", explanation.heat_map_png), ("overlay", explanation.overlay_png)):
        if png is not None:
            path = folder / f"{name}.{kind}.png"
            path.write_bytes(png)
            yield path
    if explanation.examples is not None:
        yield from _save_thumbnails(explanation.examples, folder, name)
    if explanation.regions is not None:
        for kind, region in (
            ("sufficient", explanation.regions.sufficient),
            ("necessary", explanation.regions.necessary),
        ):
            if region is not None and region.found:
                path = folder / f"{name}.{kind}.png"
                explanation.spotlight(region).save(path)
                yield path


def _save_thumbnails(examples: Examples, folder: Path, name: str) -> Iterator[Path]:
    for kind, neighbours in examples.by_kind.items():
        for rank, neighbour in enumerate(neighbours, 1):
            if neighbour.thumbnail_jpeg is not None:
                path = folder / f"{name}.{kind}.{rank}.jpg"
                path.write_bytes(neighbour.thumbnail_jpeg)
                yield path


def _save_changes(distance: Distance, folder: Path, name: str) -> Iterator[Path]:
    for kind, png in (("adversarial", distance.adversarial_png), ("change", distance.change_png)):
        if png is not None:
            path = folder / f"{name}.{kind}.png"
            path.write_bytes(png)
            yield path
    if distance.twin is not None:
        for kind, explanation in (("before", distance.twin.before), ("after", distance.twin.after)):
            if explanation is not None and explanation.error is None and explanation.attribution.size:
                path = folder / f"{name}.{kind}.png"
                explanation.overlay().save(path)
                yield path
