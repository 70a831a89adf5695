"""A clock that tests turn, so that no test depends on how busy the machine is."""

import copy
from pathlib import Path

from torch import Tensor, nn

from linear import Watched
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.passes.account import Limits


class Clock:
    """Stands still until it is turned; tells the time in seconds.

    Attributes:
        now: The time.
    """

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def turn(self, seconds: float) -> None:
        """Lets time pass."""
        self.now += seconds

    def leave(self, limits: Limits, seconds: float) -> None:
        """Lets time pass until the limits leave this number of seconds; below 0 the deadline has passed."""
        self.now += limits.seconds_left() - seconds

    def limits(self, seconds: float, lease: Path | None = None) -> Limits:
        """The limits of work that begins now, must be done after `seconds`, and aims at a little less."""
        return Limits(self.now + seconds, lease, self, aim=self.now + seconds - 0.05)


class Slow(nn.Module):
    """A layer that leaves rows as they are, and takes its time for each.

    Args:
        clock: Is turned.
        seconds: For one row.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self._clock, self._seconds = clock, seconds

    def forward(self, rows: Tensor) -> Tensor:
        """The rows."""
        self._clock.turn(self._seconds * len(rows))
        return rows


def slowed(classifier: Classifier, clock: Clock, served: float = 0.01, differentiated: float = 0.05) -> Classifier:
    """The classifier, whose passes turn the clock.

    Args:
        classifier: Is left as it is.
        clock: Is turned.
        served: Seconds for one pass of the serving network, whatever its rows.
        differentiated: Seconds for one pass of the torch network.
    """
    serving = Watched(classifier.serving)

    def meanwhile(_: Tensor, logits: Tensor) -> Tensor:
        clock.turn(served)
        return logits

    def hook(_module: nn.Module, _inputs: object, _outputs: object) -> None:
        clock.turn(differentiated)

    serving.meanwhile = meanwhile
    network = copy.deepcopy(classifier.network)
    network.register_forward_hook(hook)
    return Classifier(classifier.model, network, serving, classifier.device)
