"""Checks and defaults of the options of a certificate."""

from whybox import v1
from whybox.v1.errors import FailedPreconditionError, InvalidRequestError
from whybox_server.validation.checks import check_range

MAX_SIGMA = 2
MIN_SAMPLES, MAX_SAMPLES = 100, 100_000
MAX_ALPHA = 0.5

_DEFAULT_SAMPLES = 1000
_DEFAULT_ALPHA = 0.001


def fill_certified(options: v1.CertifiedOptions) -> None:
    """Fills in the defaults.

    Raises:
        InvalidRequestError: Names the field and what would be right.
    """
    if not options.HasField("sigma"):
        message = (
            f"a certified request without a noise level: set certified.sigma, above 0 and at most {MAX_SIGMA}; "
            "0.05 is a start for a model that was not trained with noise, 0.25 for one that was"
        )
        raise InvalidRequestError(message, field="certified.sigma")
    if not options.HasField("samples"):
        options.samples = _DEFAULT_SAMPLES
    if not options.HasField("alpha"):
        options.alpha = _DEFAULT_ALPHA
    # Written so that NaN is refused.
    if not 0 < options.sigma <= MAX_SIGMA:
        message = f"certified.sigma is {options.sigma}; it must be above 0 and at most {MAX_SIGMA}"
        raise InvalidRequestError(message, field="certified.sigma")
    check_range("certified.samples", options.samples, MIN_SAMPLES, MAX_SAMPLES)
    if not 0 < options.alpha < MAX_ALPHA:
        message = f"certified.alpha is {options.alpha}; it must be above 0 and below {MAX_ALPHA}"
        raise InvalidRequestError(message, field="certified.alpha")


def check_certifiable(model: v1.Model) -> None:
    """Checks what is no fault of the request, so that it spoils this part of the answer alone.

    Raises:
        FailedPreconditionError: The model has one class.
    """
    if model.num_classes < 2:
        message = f"{model.name} has one class: no change leads to another answer, and there is nothing to certify"
        raise FailedPreconditionError(message, reason="ONE_CLASS", field="certified")
