"""The client: one object, four questions, two transports."""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack
from urllib.parse import urlsplit

from whybox._messages.pictures import ImageInput, encode
from whybox._messages.reading import read_analysis, read_model
from whybox._messages.requests import analysis_request, checked_request_id, checked_timeout
from whybox._transports.grpc import GrpcTransport
from whybox._transports.rest import RestTransport
from whybox._transports.transport import Call, Transport
from whybox.options import AnalyzeOptions, CallOptions, ExplainOptions, RobustnessOptions
from whybox.results import Analysis, Bias, Certified, Explanation, ModelInfo, Prediction, Robustness
from whybox.v1 import AnalyzeRequest, AnalyzeResponse, GetModelRequest
from whybox.v1.errors import FailedPreconditionError, InternalError

DEFAULT_URL = "grpc://127.0.0.1:8001"
_GRPC_PORT = 8001

_PartT = TypeVar("_PartT", Prediction, Robustness, Bias, Certified)
_OptionsT = TypeVar("_OptionsT", bound=Mapping[str, object])


class Client:
    """A connection to one Whybox server; safe to share between threads.

    Args:
        url: "grpc://host:port", "http://host:port" or "https://host:port".
        model: Name of the model that is asked unless a call names another; None for the server's first by name.
        timeout: Seconds that a call may take unless it says otherwise.

    Raises:
        ValueError: `url` or `timeout` is of no use.

    Example:
        >>> with Client("http://127.0.0.1:8000") as client:
        ...     client.predict("dog.jpg").classes[0].label
        'golden retriever'

    A picture is given as a path, as encoded bytes, as a Pillow picture, or as a numpy array of shape [height, width],
    [height, width, 3] or [height, width, 4] holding uint8 or floats in [0, 1]. Every question takes `CallOptions`, and
    raises:

        TypeError, ValueError, OSError: An argument is of no use, or the picture cannot be read; nothing was sent.
        WhyboxError: The server refused, failed, was late or is away; a note of the error (`__notes__`) names the
            request id.
    """

    def __init__(self, url: str = DEFAULT_URL, *, model: str | None = None, timeout: float = 60.0) -> None:
        self._timeout = checked_timeout(timeout)
        self._model = model
        self._transport = _connect(url)

    def analyze(self, image: ImageInput, **options: Unpack[AnalyzeOptions]) -> Analysis:
        """Asks for a prediction and its evidence.

        A part that the server could not compute carries its `error`; the call fails only when every part did.

        Args:
            image: The picture.
            **options: `AnalyzeOptions`: parts, top_k, methods, attributes; of maps (`MapOptions`): target, contrast,
                baseline, max_evaluations, tolerance, encodings, channels, quality; of robustness (`AttackOptions`):
                norms, budget, attack, pictures, transfer, twin, corruptions; of a certificate (`SmoothingOptions`):
                sigma, samples, alpha; and `CallOptions`.
        """
        request = self._request(image, options)
        call = self._address(request, options)
        return read_analysis(self._transport.analyze(request, call), request.image)

    def stream(self, image: ImageInput, **options: Unpack[AnalyzeOptions]) -> Generator[Analysis, None, None]:
        """Asks as `analyze` does, and yields one Analysis per part as soon as that part is ready, the prediction first.

        The call begins when the first one is asked for, and ends early when the generator is closed. Maps may come in
        another order than they were asked for; see `Explanation.index`. A certificate comes again and again while it
        grows; see `Certified.running`.
        """
        request = self._request(image, options)
        call = self._address(request, options)
        return _read_stream(self._transport.stream(request, call), request.image)

    def predict(self, image: ImageInput, *, top_k: int = 5, **call: Unpack[CallOptions]) -> Prediction:
        """The `top_k` most probable classes."""
        return _computed(self.analyze(image, parts="prediction", top_k=top_k, **_known(call, CallOptions)).prediction)

    def explain(
        self, image: ImageInput, methods: Iterable[str] | str = "grad_cam", **options: Unpack[ExplainOptions]
    ) -> tuple[Explanation, ...]:
        """Which pixels or regions spoke for a class: one map per method and target.

        A map that failed beside others carries its `error`.

        Args:
            image: The picture.
            methods: Methods to explain with; see `ModelInfo.methods`.
            **options: `MapOptions`: target, contrast, baseline, max_evaluations, tolerance, encodings, channels,
                quality; and `CallOptions`.

        Returns:
            The maps of the first method, in the order of the targets, then those of the second.

        Example:
            >>> pointer, dalmatian = client.explain("dog.jpg", "grad_cam", target=["pointer", "dalmatian"])
            >>> [why] = client.explain("dog.jpg", "rise", contrast="pointer", max_evaluations=500, quality="all")
            >>> why.quality.reliable
            True
        """
        chosen = _known(options, ExplainOptions)
        return self.analyze(image, parts="explanations", methods=methods, **chosen).explanations

    def robustness(self, image: ImageInput, **options: Unpack[RobustnessOptions]) -> Robustness:
        """How small a change makes the model change its mind, and what common corruptions do to its answer.

        Args:
            image: The picture.
            **options: `AttackOptions`: norms, budget, attack, pictures, transfer, twin, corruptions; and `CallOptions`.

        Example:
            >>> [distance] = client.robustness("dog.jpg", norms="l2", pictures="adversarial", transfer=True).distances
            >>> [other.model for other in distance.transfers if other.fooled]
            ['efficientnet-lite2']
        """
        chosen = _known(options, RobustnessOptions)
        return _computed(self.analyze(image, parts="robustness", **chosen).robustness)

    def bias(self, image: ImageInput, *, attributes: Iterable[str] | str = (), **call: Unpack[CallOptions]) -> Bias:
        """What an audit found about the class that the model predicts."""
        chosen = _known(call, CallOptions)
        return _computed(self.analyze(image, parts="bias", attributes=attributes, **chosen).bias)

    def certify(
        self,
        image: ImageInput,
        *,
        sigma: float,
        samples: int | None = None,
        alpha: float | None = None,
        progress: Callable[[int, int], object] | None = None,
        **call: Unpack[CallOptions],
    ) -> Certified:
        """Within which radius no change of the picture changes the answer of the smoothed classifier, proven.

        It takes a forward evaluation for each sample: 10 to 20 seconds for 1000 of them by a small network on one core.
        The time of the call ends it with what it has by then; see `Certified.stopped_by`.

        Args:
            image: The picture.
            sigma: See `SmoothingOptions`, also for the next two.
            samples: Noisy pictures for the estimate.
            alpha: Chance that the certificate is wrong.
            progress: Called with the samples drawn so far and those that were asked for, about every second.
            **call: `CallOptions`.

        Example:
            >>> client.certify("dog.jpg", sigma=0.05, progress=lambda done, wanted: print(f"{done} of {wanted}")).radius
            0.123
        """
        chosen = _known(call, CallOptions)
        part: Certified | None = None
        analyses = self.stream(image, parts="certified", sigma=sigma, samples=samples, alpha=alpha, **chosen)
        with closing(analyses):
            for analysis in analyses:
                part = analysis.certified
                if part is not None and part.error is None and progress is not None:
                    progress(part.samples, part.wanted_samples)
        return _computed(None if part is None or part.running else part)

    def models(self, *, timeout: float | None = None, request_id: str | None = None) -> tuple[ModelInfo, ...]:
        """The served models, sorted by name, without their labels."""
        answer = self._transport.list_models(self._call(timeout, request_id))
        return tuple(read_model(model) for model in answer.models)

    def model(
        self,
        name: str | None = None,
        *,
        version: str | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> ModelInfo:
        """One model with its labels; without a name the one that this client asks."""
        call = self._call(timeout, request_id)
        request = GetModelRequest(model=name or self._default_model(call), version=version or "")
        return read_model(self._transport.get_model(request, call))

    def close(self) -> None:
        """Gives the connections back; the client is of no use afterwards."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _request(self, image: ImageInput, options: AnalyzeOptions) -> AnalyzeRequest:
        return analysis_request(encode(image), _known(options, AnalyzeOptions))

    def _address(self, request: AnalyzeRequest, options: CallOptions) -> Call:
        """Writes model, version and seed into the request, and returns what goes beside it."""
        call = self._call(options.get("timeout"), options.get("request_id"))
        request.model = options.get("model") or self._default_model(call)
        request.version = options.get("version") or ""
        request.seed = options.get("seed") or 0
        return call

    def _call(self, timeout: float | None, request_id: str | None) -> Call:
        return Call(self._timeout if timeout is None else checked_timeout(timeout), checked_request_id(request_id))

    def _default_model(self, call: Call) -> str:
        if self._model is None:
            # Two threads may both ask; they learn the same.
            models = self._transport.list_models(call).models
            if not models:
                raise FailedPreconditionError("The server serves no model.")
            self._model = models[0].name
        return self._model


def _connect(url: str) -> Transport:
    parts = urlsplit(url)
    if parts.scheme == "grpc" and parts.hostname and not parts.path.strip("/"):
        return GrpcTransport(url, parts.netloc if parts.port else f"{parts.netloc}:{_GRPC_PORT}")
    if parts.scheme in ("http", "https") and parts.hostname:
        return RestTransport(url)
    raise ValueError(f"url must be grpc://host:port, http://host:port or https://host:port, not {url!r}")


def _known(options: _OptionsT, kind: type[Any]) -> _OptionsT:
    """The options, all of them of that kind; Python itself does not look into `Unpack`."""
    unknown = options.keys() - kind.__annotations__.keys()
    if unknown:
        raise TypeError(f"unexpected keyword arguments: {', '.join(sorted(unknown))}")
    return options


def _read_stream(answers: Generator[AnalyzeResponse, None, None], picture: bytes) -> Generator[Analysis, None, None]:
    with closing(answers):
        for answer in answers:
            yield read_analysis(answer, picture)


def _computed(part: _PartT | None) -> _PartT:
    """The only part of an answer, which the server must have computed."""
    if part is None:
        raise InternalError("The server's answer lacks the part that it was asked for.", reason="MALFORMED_ANSWER")
    if part.error is not None:
        raise part.error
    return part
