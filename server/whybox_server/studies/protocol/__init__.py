"""What is fixed before the first person answers."""

from whybox_server.studies.protocol.protocol import (
    Answer,
    Arm,
    Asked,
    Cell,
    Example,
    File,
    Item,
    KnownPicture,
    Label,
    Picture,
    Platform,
    Policy,
    Protocol,
    Source,
    Version,
    canonical,
)
from whybox_server.studies.protocol.wording import Wording

__all__ = [
    "Answer",
    "Arm",
    "Asked",
    "Cell",
    "Example",
    "File",
    "Item",
    "KnownPicture",
    "Label",
    "Picture",
    "Platform",
    "Policy",
    "Protocol",
    "Source",
    "Version",
    "Wording",
    "canonical",
]
