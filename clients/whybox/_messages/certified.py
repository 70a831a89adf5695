"""Certificates: the request for one, and the answer."""

from whybox import results, v1
from whybox._messages.fields import error, plain, same_named
from whybox.options import AnalyzeOptions, SmoothingOptions


def ask_certified(options: AnalyzeOptions) -> v1.CertifiedOptions:
    """The options of a certificate; those that were not given stay absent.

    Raises:
        TypeError, ValueError: See `same_named`; or `sigma` is missing.
    """
    if options.get("sigma") is None:
        raise ValueError("certified needs sigma, the standard deviation of the noise; there is no default")
    return v1.CertifiedOptions(**same_named(options, SmoothingOptions.__annotations__, v1.CertifiedOptions))


def read_certified(message: v1.Certified, picture: bytes) -> results.Certified:  # noqa: ARG001 (as all readers)
    """The value of a certificate."""
    return results.Certified(**plain(message), error=error(message.status))
