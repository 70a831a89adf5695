"""Classes of a model as people write them: by index or by label."""

import re
from collections import defaultdict
from collections.abc import Sequence

from whybox_server.validation.checks import did_you_mean, quoted


class ClassNameError(ValueError):
    """A text is neither the index nor the label of a class; the message says what would be."""


class Classes:
    """The classes of a model, found by index or label.

    Args:
        labels: The label of each class, in the order of the indices.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._number = len(labels)
        self._indices: dict[str, list[int]] = defaultdict(list)
        for index, label in enumerate(labels):
            self._indices[_folded(label)].append(index)

    def index(self, written: str) -> int:
        """The index of the class that a text names.

        Args:
            written: An index from 0, or a label. Upper and lower case are the same, and so are `_` and a space.

        Raises:
            ClassNameError: No class has this index or label, or several classes have this label.
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
            question = did_you_mean(_folded(written), self._indices, n=1)
            hint = f" ({question})" if question else ""
            raise ClassNameError(f"{quoted(written)} is neither the index nor the label of a class{hint}")
        return found[0]


def _folded(label: str) -> str:
    return label.strip().replace("_", " ").casefold()
