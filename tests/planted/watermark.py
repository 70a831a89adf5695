"""A translucent watermark on real pictures: what it does to the default model, and what the audit says of it."""

import csv
import importlib.util
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from torch import Tensor

from planted.digits import encoded
from planted.stored import NORM, Stored, Truth
from whybox_handlers.models.archives import load_archive
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.pictures import decoding
from whybox_server.audits.criticism.columns import KINDS
from whybox_server.audits.criticism.find import find
from whybox_server.audits.criticism.findings import Flag
from whybox_server.audits.criticism.options import CriticismOptions
from whybox_server.audits.criticism.pictures import Integers
from whybox_server.audits.criticism.verdicts import FLAGGED
from whybox_server.audits.data.dataset import Choice
from whybox_server.audits.measurements import PictureTable
from whybox_server.audits.passes.pictures import PICTURES
from whybox_server.audits.passes.pool import Workers
from whybox_server.audits.passes.run import PassOptions
from whybox_server.audits.report.rounds import RoundOptions
from whybox_server.audits.report.run import AuditOptions, run_audit

CLASSES = {
    "tench": 0,
    "English springer": 217,
    "cassette player": 482,
    "chain saw": 491,
    "church": 497,
    "French horn": 566,
    "garbage truck": 569,
    "gas pump": 571,
    "golf ball": 574,
    "parachute": 701,
}
"""The classes of `imagenette-bank` in `WHYBOX_DATA`, 150 pictures each, with their indices."""

LEAVES_RIGHT = (0.9, 0.75, 0.5)
"""About which shares of the pictures the watermarks leave right."""

MODEL = "efficientnet-lite0"
# "All rights reserved", as Chinese pictures have it; models are said to take such letters for a carton.
_LETTERS = ("版權", "所有")
_HALVINGS = 6
_COLUMN = "watermark"


@dataclass(frozen=True)
class Watermarked:
    """What a watermark does to a class.

    Attributes:
        label: The class.
        opacity: Of the watermark, 0 (none) to 1.
        pictures: Number of pictures.
        truth: The true effect, with the watermark on every picture.
        mistaken_for: By label: number of watermarked pictures that the model mistakes for it, the most frequent first.
        carton: Number of watermarked pictures that the model takes for a carton.
        verdicts: By kind of flag: what the audit says if a coin has decided which pictures are watermarked.
        flagged: By kind of flag: the share of coin tosses that are flagged.
    """

    label: str
    opacity: float
    pictures: int
    truth: Truth
    mistaken_for: dict[str, int]
    carton: int
    verdicts: dict[str, str]
    flagged: dict[str, float]


def letters(side: int) -> Tensor:
    """[1, side, side], 1 where a letter is, 0 elsewhere: four letters in white that fill the picture."""
    package = importlib.util.find_spec("cvttf_NotoSansCJK_Black")
    if package is None or package.origin is None:
        raise SystemExit("install cvttf-notosanscjk-black, which has the letters of the watermark")
    [path] = Path(package.origin).parent.glob("*.otf")
    mask = Image.new("L", (side, side))
    draw = ImageDraw.Draw(mask)
    size = side // 2
    for row, line in enumerate(_LETTERS):
        draw.text((side / 2, (row + 0.5) * size), line, fill=255, font=ImageFont.truetype(path, size), anchor="mm")
    return torch.from_numpy(np.asarray(mask) / 255).float()[None]


def stamp(pictures: Tensor, opacity: float) -> Tensor:
    """Pictures [N, 3, side, side] in [0, 1] under the watermark, rounded to 8 bits."""
    mask = opacity * letters(pictures.shape[-1])
    stamped: Tensor = ((1 - mask) * pictures + mask).mul(255).round().div(255)
    return stamped


def watermarked(
    name: str, store: Path, tosses: int, workers: int, console: Console, pictures: int | None = None
) -> list[Watermarked]:
    """Stamps three watermarks on every picture of a class, measures all by the command's own pass, and audits them.

    Args:
        name: One of `CLASSES`.
        store: Folder with the packed model.
        tosses: Number of coin tosses.
        workers: Number of processes.
        console: For the progress.
        pictures: How many pictures are used; None for all.
    """
    classifier = load_archive(store / f"{MODEL}-1.0.mar")
    label = CLASSES[name]
    views = _views(classifier, label)[:pictures]
    opacities = [
        opacity_for(lambda opacity: _accuracy(classifier, stamp(views, opacity), label), share)
        for share in LEAVES_RIGHT
    ]
    versions = [views, *(stamp(views, opacity) for opacity in opacities)]
    labels = list(classifier.model.labels)
    with tempfile.TemporaryDirectory() as folder:
        stored = _measured(versions, label, store, Path(folder), workers, console)
    found = []
    for opacity, one in zip(opacities, stored, strict=True):
        tossed = [_audit(one, labels, toss) for toss in range(tosses)]
        wrong, numbers = np.unique(one.predicted[1, one.predicted[1] != label], return_counts=True)
        mistaken_for = {labels[wrong[place]]: int(numbers[place]) for place in np.argsort(-numbers, kind="stable")}
        found.append(
            Watermarked(
                label=name,
                opacity=opacity,
                pictures=len(views),
                truth=one.truth(label),
                mistaken_for=mistaken_for,
                carton=mistaken_for.get("carton", 0),
                verdicts={kind: _words(flag) for kind, flag in tossed[0].items()},
                flagged={kind: float(np.mean([flags[kind].state == FLAGGED for flags in tossed])) for kind in KINDS},
            )
        )
    return found


def _views(classifier: Classifier, label: int) -> Tensor:
    """[N, 3, crop, crop] in [0, 1], what the model sees of the pictures of a class, rounded to 8 bits."""
    if "WHYBOX_DATA" not in os.environ:
        raise SystemExit("set WHYBOX_DATA to the folder that holds imagenette-bank")
    data = Path(os.environ["WHYBOX_DATA"])
    with (data / "imagenette-bank.csv").open() as file:
        files = [row["file"] for row in csv.DictReader(file) if int(row["imagenet1k_index"]) == label]
    sizes = classifier.model.preprocessing
    pictures = (decoding.decode((data / "imagenette-bank" / file).read_bytes()) for file in files)
    return torch.stack(
        [decoding.preprocess(picture, sizes.resize, sizes.crop)[0].mul(255).round().div(255) for picture in pictures]
    )


def _accuracy(classifier: Classifier, pictures: Tensor, label: int) -> float:
    return float((classifier.serve(pictures).argmax(dim=1) == label).float().mean())


def opacity_for(accuracy: Callable[[float], float], share: float) -> float:
    """The opacity at which about a share of the answers is right; 1 if more are right under every watermark."""
    low, high = 0.0, 1.0
    if accuracy(high) > share:
        return high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if accuracy(middle) > share else (low, middle)
    return high


def _measured(
    versions: list[Tensor], label: int, store: Path, folder: Path, workers: int, console: Console
) -> list[Stored]:
    """The pictures as `whybox-server audit` measures them: the first version with each of the others."""
    rows = []
    for version, pictures in enumerate(versions):
        for number, picture in enumerate(pictures):
            file = f"{version}-{number:04}.png"
            (folder / file).write_bytes(encoded(picture))
            rows.append((file, label, version))
    table = folder / "table.csv"
    with table.open("w", newline="") as content:
        csv.writer(content).writerows([("file", "label", _COLUMN), *rows])
    source = PassOptions(
        folder=folder,
        model=MODEL,
        model_store=store,
        labels=table,
        norms=(NORM,),
        budget="fast",
        attack="",
        save=folder / "audit",
        workers=Workers(number=workers),
        device="cpu",
        seed=0,
        view=True,
        fresh=False,
    )
    asked = AuditOptions(
        source, None, Choice(), CriticismOptions(), None, None, thumbnails=False, rounds=RoundOptions(repeat=False)
    )
    run_audit(asked, Console(quiet=True), console)
    found = PictureTable(folder / "audit" / PICTURES, [_COLUMN]).everything()
    places = {file: place for place, file in enumerate(found.files)}

    def of(version: int) -> Integers:
        return np.array([places[f"{version}-{number:04}.png"] for number in range(len(versions[0]))])

    return [
        Stored(
            labels=found.labels[of(0)],
            predicted=found.predicted[both],
            confidence=found.confidence[both],
            distances=found.distances[NORM][both],
            searched_radius=found.searched_radius[NORM][both],
            embeddings=np.empty((*both.shape, 0), dtype=np.float32),
        )
        for version in range(1, len(versions))
        for both in [np.stack([of(0), of(version)])]
    ]


def _audit(stored: Stored, labels: list[str], toss: int) -> dict[str, Flag]:
    """The flags by kind if a coin decides which pictures have the watermark."""
    coin = np.random.default_rng(toss).random(len(stored.labels)) < 0.5
    measurements = stored.audited(np.arange(len(coin)), coin, coin)
    return {flag.kind: flag for flag in find(measurements, labels, CriticismOptions(seed=toss)).flags}


def _words(flag: Flag) -> str:
    if flag.effect is None:
        return flag.state
    return f"{flag.state}: {flag.effect:+.2f} [{flag.ci_low:+.2f}, {flag.ci_high:+.2f}]"
