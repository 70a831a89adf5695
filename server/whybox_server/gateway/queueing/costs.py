"""What work is expected to cost, learned from what ran."""

from collections import OrderedDict

from whybox import v1

# Of the newest measurement in what is expected.
_NEW = 0.3
# Kinds of work that are remembered; the options of a kind are few hundred bytes.
_KINDS = 2048
# What does not change the cost, or is too large to be looked at.
_LEFT_OUT = {"image", "model", "version", "seed", "view"}


class Costs:
    """Seconds of computing by kind of work, of one pool.

    Work is of a kind if it is asked for with the same options; what never ran so is taken for the average of its
    methods.

    Args:
        first: Seconds that are expected while nothing like it ever ran.
    """

    def __init__(self, first: float) -> None:
        self._first = first
        self._seconds: OrderedDict[bytes, float] = OrderedDict()

    def expected(self, work: v1.Work) -> float:
        """Seconds that the whole of some work takes, above 0."""
        for kind in _kinds(work):
            if kind in self._seconds:
                self._seconds.move_to_end(kind)
                return self._seconds[kind]
        return self._first

    def learn(self, work: v1.Work, seconds: float) -> None:
        """Some work, or a piece of it, took so long."""
        for kind in _kinds(work):
            before = self._seconds.get(kind, seconds)
            self._seconds[kind] = max(before + _NEW * (seconds - before), 1e-4)
            self._seconds.move_to_end(kind)
        while len(self._seconds) > _KINDS:
            self._seconds.popitem(last=False)


def _kinds(work: v1.Work) -> tuple[bytes, bytes]:
    """The kind of work, and the wider one of its methods."""
    exact, methods = [], []
    for field, value in work.request.ListFields():
        if field.name in _LEFT_OUT:
            continue
        parts = value if field.is_repeated else [value]
        exact += [field.name.encode(), *(part.SerializeToString(deterministic=True) for part in parts)]
        methods += [field.name.encode(), *(getattr(part, "method", "").encode() for part in parts)]
    return b"\0".join([b"exact", *exact]), b"\0".join(methods)
