"""What is proven: a radius within which the smoothed classifier keeps its answer."""

from dataclasses import dataclass

from whybox.results.part import Part


@dataclass(frozen=True)
class Certified(Part):
    """A certificate by randomised smoothing (Cohen et al., arXiv:1902.02918).

    The certificate is about the smoothed classifier, which answers with the class that the model predicts most often
    under Gaussian noise. It is not about the model itself.

    Attributes:
        state: "certified": the smoothed classifier answers `class_index` within `radius`. "abstained": no class was
            shown to win more than half of the votes. "running": more samples follow; only a stream has this state.
        class_index: The answer of the smoothed classifier; if it abstained, the class that was tested.
        class_label: Its name; empty until it is chosen.
        radius: Radius in L2, for pixel values in [0, 1] of the model's view; None unless certified.
        probability_lower_bound: Lower bound of the class's probability under the noise, with confidence 1 - alpha; 0
            while "running".
        sigma: Standard deviation of the noise.
        alpha: Chance that the certificate is wrong.
        samples: Noisy pictures drawn so far for the estimate.
        wanted_samples: Number of samples that were asked for.
        count: Number of `samples` for which the model predicted the class.
        stopped_by: "deadline" if it came before `wanted_samples` were drawn, else empty.
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
        """Whether more samples follow."""
        return self.state == "running"
