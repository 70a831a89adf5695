"""What can be asked of a certificate."""

from collections.abc import Collection

from whybox import v1
from whybox.v1.errors import FailedPreconditionError, InvalidRequestError
from whybox_server.validation.kinds import integer, number
from whybox_server.validation.options import Option, PartOptions

MAX_SIGMA = 2
MIN_SAMPLES, MAX_SAMPLES = 100, 100_000
MAX_ALPHA = 0.5

_DEFAULT_SAMPLES = 1000
_DEFAULT_ALPHA = 0.001


class CertifiedOptions(PartOptions):
    """Within which radius no change of the picture changes the answer of the smoothed classifier."""

    part = "certified"
    options = (
        Option[v1.Model](
            "sigma",
            number(above=0, high=MAX_SIGMA),
            "Standard deviation of the noise that the certificate is for, for pixel values in [0, 1]. There is no "
            "default; `:analyze` computes a certificate only if an option of certificates is given.",
        ),
        Option[v1.Model](
            "samples",
            integer(MIN_SAMPLES, MAX_SAMPLES),
            f"Noisy pictures that estimate the probability of the class. Default: {_DEFAULT_SAMPLES}.",
            default=lambda _: _DEFAULT_SAMPLES,
        ),
        Option[v1.Model](
            "alpha",
            number(above=0, below=MAX_ALPHA),
            f"Probability that the certificate is wrong. Default: {_DEFAULT_ALPHA}.",
            default=lambda _: _DEFAULT_ALPHA,
        ),
    )

    def fill(self, request: v1.AnalyzeRequest, model: v1.Model) -> None:
        """See `PartOptions.fill`."""
        if not request.certified.HasField("sigma"):
            message = (
                f"a certified request needs a noise level: set certified.sigma, above 0 and at most {MAX_SIGMA}; begin "
                "with 0.05 for a model that was not trained with noise, with 0.25 for a model that was"
            )
            raise InvalidRequestError(message, field="certified.sigma")
        super().fill(request, model)

    def check_possible(
        self,
        request: v1.AnalyzeRequest,  # noqa: ARG002 (all that can be asked needs two classes)
        model: v1.Model,
        others: Collection[v1.Model],  # noqa: ARG002
    ) -> None:
        """See `PartOptions.check_possible`."""
        if model.num_classes < 2:
            message = f"{model.name} has one class: no change leads to another answer, so there is nothing to certify"
            raise FailedPreconditionError(message, reason="ONE_CLASS", field="certified")
