"""A class of a model, as people write it: its index or its label."""

import difflib
import re
from collections import defaultdict
from collections.abc import Sequence

from whybox_server.validation.checks import quoted


class ClassNameError(ValueError):
    """What was written is no class of the model; says what would be."""


class Classes:
    """The classes of a model, by what they may be called.

    Args:
        labels: In the order of the indices.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._number = len(labels)
        self._indices: dict[str, list[int]] = defaultdict(list)
        for index, label in enumerate(labels):
            self._indices[_folded(label)].append(index)

    def index(self, written: str) -> int:
        """The index of a class.

        Args:
            written: An index from 0, or a label; case does not matter, and `_` stands for a space.

        Raises:
            ClassNameError: There is no such class, or the label belongs to several.
        """
        if re.fullmatch("[0-9]{1,9}", written.strip()):
            index = int(written)
            if index >= self._number:
                raise ClassNameError(f"class {index} is not one of 0 to {self._number - 1}")
            return index
        found = self._indices.get(_folded(written), [])
        if len(found) > 1:
            raise ClassNameError(f"{quoted(written)} is the label of classes {found}; give the index")
        if not found:
            near = difflib.get_close_matches(_folded(written)[:100], self._indices, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ClassNameError(f"{quoted(written)} is neither the index nor the label of a class{hint}")
        return found[0]


def _folded(label: str) -> str:
    return label.strip().replace("_", " ").casefold()
