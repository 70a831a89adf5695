"""Odd pictures with odd names, and a small model of one's own whose labels are odd, too."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from torchvision.models import get_model
from torchvision.transforms.functional import to_pil_image

from architectures import random_pictures
from whybox_server.packing.pack import pack_model

CROP = 32
LABELS = ("<script>alert(1)</script>", "שלום \"a\" & 'b'")
"""HTML, quotes, and text from right to left."""


def noise(width: int, height: int, channels: int = 3, levels: int = 256, seed: int = 0) -> Image.Image:
    """Random pixels; one channel is grey."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    kind = np.uint8 if levels == 256 else np.uint16
    return Image.fromarray(np.random.default_rng(seed).integers(0, levels, shape, dtype=kind))


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    content = BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def _frames(kind: str) -> bytes:
    first, *others = (noise(40, 30, seed=seed) for seed in range(3))
    return encoded(first, kind, save_all=True, append_images=others)


SHOWN: dict[str, Callable[[], bytes]] = {
    "constant.png": lambda: encoded(Image.new("RGB", (64, 64), (90, 90, 90)), "PNG"),
    "narrow.png": lambda: encoded(noise(32, 200), "PNG"),
    "wide.jpg": lambda: encoded(noise(300, 40), "JPEG"),
    "sixteen bits.png": lambda: encoded(noise(50, 60, channels=1, levels=65536), "PNG"),
    "cmyk.jpg": lambda: encoded(noise(50, 60, channels=4).convert("RGBA").convert("CMYK"), "JPEG"),
    "animated.gif": lambda: _frames("GIF"),
    "animated.webp": lambda: _frames("WEBP"),
    "transparent.png": lambda: encoded(noise(60, 50, channels=4), "PNG"),
    "palette.png": lambda: encoded(noise(60, 50).convert("P"), "PNG"),
    "one bit.png": lambda: encoded(noise(60, 50, channels=1).convert("1"), "PNG"),
    "<script>alert(1)<script>.png": lambda: encoded(noise(40, 40, seed=1), "PNG"),
    "new\nline.png": lambda: encoded(noise(40, 40, seed=2), "PNG"),
    "quo\"te's, comma.png": lambda: encoded(noise(40, 40, seed=3), "PNG"),
    "שלום\u202egnp.png": lambda: encoded(noise(40, 40, seed=4), "PNG"),
    "日本 語.png": lambda: encoded(noise(40, 40, seed=5), "PNG"),
    f"{'x' * 251}.png": lambda: encoded(noise(40, 40, seed=6), "PNG"),
    "%s {label}.png": lambda: encoded(noise(40, 40, seed=7), "PNG"),
}
"""Pictures that people can be asked about, by their names."""

LEFT_OUT: dict[str, tuple[Callable[[], bytes], str]] = {
    "1 x 1.png": (lambda: encoded(noise(1, 1), "PNG"), "the picture has 1 x 1 pixels; send one with at least 16"),
    "7 x 500.png": (lambda: encoded(noise(7, 500), "PNG"), "the picture has 7 x 500 pixels; send one with at least 16"),
    "empty.jpg": (lambda: b"", "the picture is empty; send one"),
    "text\u202e.png": (lambda: b"no picture", "this looks like text; send one"),
    "truncated.jpg": (lambda: encoded(noise(90, 80), "JPEG")[:2000], "the JPEG picture is truncated or damaged; send"),
}
"""Pictures that cannot be decoded, with what is said of each."""


def write_pictures(folder: Path) -> Path:
    """The folder, with all of them."""
    folder.mkdir()
    for name, content in SHOWN.items():
        (folder / name).write_bytes(content())
    for name, (content, _) in LEFT_OUT.items():
        (folder / name).write_bytes(content())
    return folder


def pack(folder: Path) -> Path:
    """Packs a ResNet-18 of two classes with random weights, without the tests of methods, and returns its store."""
    folder.mkdir()
    torch.manual_seed(0)
    torch.save(get_model("resnet18", num_classes=len(LABELS)).state_dict(), folder / "weights.pth")
    for index, picture in enumerate(random_pictures(2, CROP)):
        to_pil_image(picture).save(folder / f"{index}.png")
    entries = {
        "name": "mine",
        "version": "1.0",
        "title": "A model of mine",
        "architecture": "torchvision/resnet18",
        "weights": {"file": "weights.pth"},
        "preprocessing": {"resize": CROP, "crop": CROP, "mean": [124, 116, 104], "std": [58, 57, 57]},
        "labels": list(LABELS),
        "check_pictures": {"files": "*.png"},
    }
    (folder / "mine.yaml").write_text(yaml.safe_dump(entries, allow_unicode=True))
    return pack_model(folder / "mine.yaml", folder / "store", lambda _: None, "export").archive.parent
