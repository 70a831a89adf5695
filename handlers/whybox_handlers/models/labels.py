"""Class names of a model: one of torchvision's lists, a list in the spec, or a file."""

import json
import unicodedata
from typing import Any

from torchvision.models import get_weight

from whybox_handlers.models.spec import PackageFiles, SpecError

_FORMS = "use a text file with one label per line, or a JSON file that maps each index to its label"


def read_labels(source: str | tuple[str, ...] | PackageFiles) -> list[str]:
    """Class names in index order, two or more.

    Args:
        source: "torchvision/WEIGHTS", for example "torchvision/EfficientNet_B0_Weights.IMAGENET1K_V1"; the labels
            themselves; or a file, UTF-8. A .json file maps each index to its label, or is a list of labels; any other
            file has one label per line.

    Raises:
        SpecError: There is no such source, it is not in one of these forms, or it has fewer than two labels.
    """
    if isinstance(source, str):
        found = _torchvisions(source)
    elif isinstance(source, PackageFiles):
        found = _in_file(source)
    else:
        found = list(source)
    for index, label in enumerate(found):
        # Control characters would break lines; lone surrogates are no text.
        if not label.strip() or {"Cc", "Cs"} & set(map(unicodedata.category, label)):
            raise SpecError(f"labels: label {index} is {label!r}; give each class a name of printable characters")
    if len(found) < 2:
        raise SpecError(
            f"labels: {len(found)} given, and two or more are needed; "
            "a network with one output cannot be packed: train it with one output per class"
        )
    return found


def _torchvisions(source: str) -> list[str]:
    library, _, name = source.partition("/")
    if library != "torchvision":
        raise SpecError(f"labels: {source!r} must be 'torchvision/WEIGHTS', a list of labels or a .txt or .json file")
    try:
        return list(get_weight(name).meta["categories"])
    except (ValueError, KeyError, AttributeError) as error:
        raise SpecError(f"labels: torchvision has no weights {name!r} with categories") from error


def _in_file(source: PackageFiles) -> list[str]:
    path = source.path()
    try:
        # Editors of Windows begin a file with a byte order mark.
        text = path.read_text("utf-8-sig")
        return _in_json(text) if path.suffix.lower() == ".json" else _in_lines(text)
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"labels: {path} cannot be read as UTF-8 ({error}); {_FORMS}") from error
    except ValueError as error:
        raise SpecError(f"labels: {path} {error}; {_FORMS}") from error


def _in_lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.rstrip().split("\n")]
    if "" in lines:
        raise ValueError(f"has no label in line {lines.index('') + 1}")
    return lines


def _in_json(text: str) -> list[str]:
    """As `read_labels`; a label may come as the last text of a list, after its WordNet id, as in ImageNet's own file.

    Raises:
        ValueError: The text is in another form; says what is wrong.
    """
    try:
        content = json.loads(text, object_pairs_hook=_without_repetition)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON ({error})") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if isinstance(content, dict):
        wanted = [str(index) for index in range(len(content))]
        if missing := [index for index in wanted if index not in content]:
            raise ValueError(f"has {len(content)} entries and none for index {missing[0]}")
        content = [content[index] for index in wanted]
    if not isinstance(content, list):
        raise ValueError("holds neither a mapping nor a list")
    named = [label[-1] if isinstance(label, list) and label else label for label in content]
    for index, label in enumerate(named):
        if not isinstance(label, str):
            raise ValueError(f"has {label!r} in place of label {index}")
    return named


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"has several entries for index {repeated}")
    return entries
