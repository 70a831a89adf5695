"""Published votes, read and checked."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whybox_server.studies.errors import StudyError
from whybox_server.studies.report.subject import Subject
from whybox_server.studies.results.compute import Design
from whybox_server.studies.results.votes import Votes


@dataclass(frozen=True)
class Published:
    """Votes that others collected.

    Attributes:
        subject: What they are about.
        votes: The votes.
        design: How they count. Questions that are not one model's answers are one stratum, as large as their number.
    """

    subject: Subject
    votes: Votes
    design: Design


def find_file(folder: Path, name: str, published_by: str) -> Path:
    """A file of a folder of published votes.

    Raises:
        StudyError: It is not there.
    """
    if not folder.is_dir():
        raise StudyError(f"{folder} is no folder; give the folder with the files that {published_by} publishes")
    path = folder / name
    if not path.is_file():
        raise StudyError(f"{folder} has no {name}; give the folder with the files that {published_by} publishes")
    return path


def read_arrays(path: Path, *names: str) -> list[NDArray[Any]]:
    """Arrays of an .npz file.

    Raises:
        StudyError: The file is damaged or has another layout.
    """
    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except KeyError as error:
        raise StudyError(f"{path} has another layout: it holds no {' and '.join(names)}") from error
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise StudyError(f"{path} cannot be read as an .npz file ({error}); download it again") from error


def read_array(path: Path) -> NDArray[Any]:
    """The array of an .npy file.

    Raises:
        StudyError: The file is damaged.
    """
    try:
        with path.open("rb") as content:
            found: NDArray[Any] = np.lib.format.read_array(content, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise StudyError(f"{path} cannot be read as an .npy file ({error}); download it again") from error
    return found
