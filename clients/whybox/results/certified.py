"""What is proven: within which radius the smoothed classifier keeps its answer."""

from dataclasses import dataclass

from whybox.results.part import Part


@dataclass(frozen=True)
class Certified(Part):
    """A certificate by randomised smoothing (Cohen et al., arXiv:1902.02918).

    It is about the smoothed classifier, which answers with the class that the model gives most often under Gaussian
    noise, and not about the model itself.

    Attributes:
        state: "certified": within `radius` in L2 the smoothed classifier answers `class_index`. "abstained": no class
            is frequent enough for a certificate. "running": more is to come; only a stream says so.
        class_index: The class that the smoothed classifier gives; where it abstained, the one that was tested.
        class_label: Its name; empty until it is chosen.
        radius: In L2, for pixel values in [0, 1] of the model's view; None unless certified.
        probability_lower_bound: With confidence 1 - alpha the class has at least this probability under the noise; 0
            while "running".
        sigma: Standard deviation of the noise.
        alpha: Chance that the certificate is wrong.
        samples: Noisy pictures drawn so far for the estimate.
        wanted_samples: How many were asked for.
        count: How many of `samples` were of the class.
        stopped_by: Empty for all that were asked for, or "deadline".
    """

    state: str
    class_index: int
    class_label: str
    radius: float | None
    probability_lower_bound: float
    sigma: float
    alpha: float
    samples: int
    wanted_samples: int
    count: int
    stopped_by: str

    @property
    def running(self) -> bool:
        """Whether more is to come."""
        return self.state == "running"
