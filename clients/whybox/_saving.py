"""An analysis as pictures in a folder."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from whybox.results import Analysis, Explanation


def save_pictures(analysis: Analysis, folder: Path, stem: str) -> Iterator[Path]:
    """Writes every map, region and drawing of the server as PNG, and the contact sheet; yields each path when written.

    Args:
        analysis: What to draw.
        folder: Where to write; made where it is missing.
        stem: What the names of the files begin with.

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
    path = folder / f"{stem}.sheet.png"
    analysis.contact_sheet().save(path)
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
    if explanation.regions is not None:
        for kind, region in (
            ("sufficient", explanation.regions.sufficient),
            ("necessary", explanation.regions.necessary),
        ):
            if region is not None and region.found:
                path = folder / f"{name}.{kind}.png"
                explanation.spotlight(region).save(path)
                yield path
