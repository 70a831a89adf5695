"""The client: one object for models, audits and studies, two transports."""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from types import TracebackType
from typing import Self, TypeVar, Unpack

from whybox._messages.audits import read_report
from whybox._messages.fields import malformed
from whybox._messages.models import read_audit, read_model
from whybox._messages.pictures import encode
from whybox._messages.reading import read_analysis, read_stream
from whybox._messages.requests import analysis_request, known
from whybox._messages.studies import read_invitations, read_results, read_status, read_study
from whybox._transports.addresses import connect
from whybox._transports.transport import MAX_SECONDS, Call
from whybox._transports.trust import FilePath, Trust
from whybox.arguments import flag, integer, number, text
from whybox.operation import Operation
from whybox.options import AnalyzeOptions, CallOptions, ExplainOptions, ImageInput, PredictOptions, RobustnessOptions
from whybox.results import (
    Analysis,
    Audit,
    AuditReport,
    Bias,
    Certified,
    Explanation,
    Invitations,
    ModelInfo,
    Part,
    Prediction,
    Robustness,
    Study,
    StudyResults,
    StudyStatus,
)
from whybox.v1 import (
    AnalyzeRequest,
    GetAuditRequest,
    GetModelRequest,
    GetStudyRequest,
    GetStudyResultsRequest,
    InviteAnnotatorsRequest,
    ListAuditsRequest,
)
from whybox.v1.errors import FailedPreconditionError
from whybox.v1.vocabulary import DEFAULT_METHOD

DEFAULT_URL = "grpc://127.0.0.1:8001"
DEFAULT_SECONDS = 60.0

_PartT = TypeVar("_PartT", bound=Part)


class Client:
    """A connection to one Whybox server; safe to share between threads.

    Args:
        url: "grpc://host:port" or "http://host:port", or with TLS "grpcs://host:port" or "https://host:port".
        model: Name of the model to ask, unless a call names another; None for the first model by name.
        timeout: Seconds that a call may take, unless the call has its own timeout.
        key: Key that the server needs, from the people who run it. It is sent with every call.
        ca: PEM file with the authorities that may vouch for a server with TLS; None for the usual public ones.
        certificate: PEM files of the client's own certificate and of its key, for servers that ask for one.
        insecure: Whether the key may go to another machine without TLS, readable on the way.

    Raises:
        TypeError: An argument is of another type.
        ValueError: `url` has no known scheme or no host, `model` is empty, `timeout` is out of range, `key` is no word
            of ASCII or would go to another machine without TLS, or `ca` or `certificate` hold something else or are
            given for a `url` without TLS.
        OSError: `ca` or `certificate` cannot be read.

    Example:
        >>> with Client("http://127.0.0.1:8000") as client:
        ...     client.predict("dog.jpg").classes[0].label
        'golden retriever'

    A picture is a path, encoded bytes, a Pillow picture, or a numpy array of shape [height, width], [height, width, 3]
    or [height, width, 4] with uint8 or floats in [0, 1]. Every question takes `CallOptions`, and raises:

        TypeError, ValueError, OSError: An argument is wrong, or the picture cannot be read; nothing was sent.
        UnauthenticatedError: The server needs a key, and the client has none or one that is not known.
        PermissionDeniedError: The key has another scope: predictions, bias, models and audits need "predict", other
            questions "analyze".
        WhyboxError: The server refused, failed, was late or cannot be reached; a note of the error (`__notes__`) names
            the request id.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        model: str | None = None,
        timeout: float = DEFAULT_SECONDS,
        key: str | None = None,
        ca: FilePath | None = None,
        certificate: tuple[FilePath, FilePath] | None = None,
        insecure: bool = False,
    ) -> None:
        self._timeout = _seconds(timeout)
        self._key = None if key is None else _key(key)
        self._model = None if model is None else text("model", model)
        secret = key is not None and not flag("insecure", insecure)
        self._transport = connect(url, Trust.read(ca, certificate), secret=secret)

    def analyze(self, image: ImageInput, **options: Unpack[AnalyzeOptions]) -> Analysis:
        """Asks for a prediction and its evidence.

        A part that the server could not compute carries its `error`; the call fails only when all parts failed.

        Args:
            image: The picture.
            **options: See `AnalyzeOptions`, which includes `SetOptions`, `MapOptions`, `AttackOptions`,
                `SmoothingOptions` and `CallOptions`.
        """
        request = self._request(image, options)
        call = self._address(request, options)
        return read_analysis(self._transport.analyze(request, call), request.image)

    def stream(self, image: ImageInput, **options: Unpack[AnalyzeOptions]) -> Generator[Analysis, None, None]:
        """Asks as `analyze` does, and yields one Analysis per part as soon as that part is ready, the prediction first.

        The call begins with the first `next`, and ends early when the generator is closed. Maps come in the order in
        which they are ready; see `Explanation.index`. A certificate is repeated while it grows; see
        `Certified.running`.
        """
        request = self._request(image, options)
        call = self._address(request, options)
        return read_stream(self._transport.stream(request, call), request)

    def start_analysis(self, image: ImageInput, **options: Unpack[AnalyzeOptions]) -> Operation:
        """Asks as `analyze` does, and returns at once: the analysis goes on at the server, with the server's own time.

        The server needs a database, and the key the scope "analyze". The result is kept there for 24 hours, unless the
        server is set up otherwise.

        Args:
            image: The picture.
            **options: See `analyze`; `timeout` holds for the call that begins the operation.

        Raises:
            FailedPreconditionError: The server has no database.
            QuotaExceededError: The server keeps as many operations for the caller as it may.

        Example:
            >>> operation = client.start_analysis("dog.jpg", norms="l2", budget="thorough")
            >>> operation.result(timeout=600).robustness.distances[0].distance
            0.41
            >>> operation.delete()
        """
        request = self._request(image, options)
        call = self._address(request, options)
        message = self._transport.start_analysis(request, call)
        return Operation(message, self._transport, self._later, request.image)

    def operation(self, name: str, *, timeout: float | None = None, request_id: str | None = None) -> Operation:
        """An operation that this key began, also in another process. Its maps have no picture to lie over.

        Args:
            name: See `Operation.name`.
            timeout: See `CallOptions`, also for `request_id`.
            request_id: Id of the call.

        Raises:
            NotFoundError: There is no such operation of this key, or no longer.
        """
        message = self._transport.get_operation(text("name", name), self._call(timeout, request_id))
        return Operation(message, self._transport, self._later)

    def predict(self, image: ImageInput, *, top_k: int | None = None, **options: Unpack[PredictOptions]) -> Prediction:
        """The most probable classes.

        Args:
            image: The picture.
            top_k: Number of classes to return; None for 5, or all classes of a model with fewer.
            **options: See `SetOptions` and `CallOptions`.

        Example:
            >>> chosen = client.predict("dog.jpg", set_method="aps", set_alpha=0.05).prediction_set
            >>> [score.label for score in chosen.classes]
            ['dalmatian', 'English setter']
        """
        chosen = known(options, PredictOptions)
        return _computed(self.analyze(image, parts="prediction", top_k=top_k, **chosen).prediction)

    def explain(
        self, image: ImageInput, methods: Iterable[str] | str = DEFAULT_METHOD, **options: Unpack[ExplainOptions]
    ) -> tuple[Explanation, ...]:
        """Which pixels or regions spoke for a class, or which known pictures are like this one.

        There is one map, or one answer with pictures, per method and target. A map that failed carries its `error`; the
        call fails only when all maps failed.

        Args:
            image: The picture.
            methods: Methods to explain with; see `ModelInfo.methods`.
            **options: See `MapOptions` and `CallOptions`.

        Returns:
            The maps of the first method, in the order of the targets, then those of the second.

        Example:
            >>> pointer, dalmatian = client.explain("dog.jpg", "grad_cam", target=["pointer", "dalmatian"])
            >>> [why] = client.explain("dog.jpg", "rise", contrast="pointer", max_evaluations=500, quality="all")
            >>> why.quality.reliable
            True
            >>> [alike] = client.explain("dog.jpg", "example", examples=5, thumbnails=True)
            >>> alike.examples.agreement
            0.9
        """
        chosen = known(options, ExplainOptions)
        return self.analyze(image, parts="explanations", methods=methods, **chosen).explanations

    def robustness(self, image: ImageInput, **options: Unpack[RobustnessOptions]) -> Robustness:
        """How small a change makes the model change its mind, and what common corruptions do to its answer.

        Args:
            image: The picture.
            **options: See `AttackOptions` and `CallOptions`.

        Example:
            >>> [distance] = client.robustness("dog.jpg", norms="l2", pictures="adversarial", transfer=True).distances
            >>> [other.model for other in distance.transfers if other.fooled]
            ['efficientnet-lite2']
        """
        chosen = known(options, RobustnessOptions)
        return _computed(self.analyze(image, parts="robustness", **chosen).robustness)

    def bias(self, image: ImageInput, *, attributes: Iterable[str] | str = (), **call: Unpack[CallOptions]) -> Bias:
        """What an audit found about the class that the model predicts.

        Args:
            image: The picture.
            attributes: Annotated attributes whose bias is reported; none of them for all attributes of the audit.
            **call: See `CallOptions`.
        """
        chosen = known(call, CallOptions)
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
        """A proven radius within which no change of the picture changes the answer of the smoothed classifier.

        Each sample costs a forward evaluation: 1000 samples take a small network 10 to 20 seconds on one core. At the
        end of its timeout the call returns a certificate from the samples drawn by then; see `Certified.stopped_by`.

        Args:
            image: The picture.
            sigma: See `SmoothingOptions`, also for the next two.
            samples: Noisy pictures for the estimate.
            alpha: Chance that the certificate is wrong.
            progress: Called about every second with the number of samples drawn and the number asked for.
            **call: See `CallOptions`.

        Example:
            >>> client.certify("dog.jpg", sigma=0.05, progress=lambda done, wanted: print(f"{done} of {wanted}")).radius
            0.123
        """
        if progress is not None and not callable(progress):
            raise TypeError(f"progress must be a function of two numbers, not {progress!r}")
        chosen = known(call, CallOptions)
        part: Certified | None = None
        analyses = self.stream(image, parts="certified", sigma=sigma, samples=samples, alpha=alpha, **chosen)
        with closing(analyses):
            for analysis in analyses:
                part = analysis.certified
                if part is not None and part.error is None and progress is not None:
                    progress(part.samples, part.wanted_samples)
        return _computed(None if part is None or part.running else part)

    def models(self, *, timeout: float | None = None, request_id: str | None = None) -> tuple[ModelInfo, ...]:
        """The served models, sorted by name, without their labels.

        Args:
            timeout: See `CallOptions`, also for `request_id`.
            request_id: Id of the call.
        """
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
        """One model with its labels.

        Args:
            name: Name of the model; None for the model that this client asks.
            version: Version of the model; None for the one that most requests without a version take.
            timeout: See `CallOptions`, also for `request_id`.
            request_id: Id of the call.
        """
        call = self._call(timeout, request_id)
        request = GetModelRequest(version="" if version is None else text("version", version))
        request.model = self._named("name", name, call)
        return read_model(self._transport.get_model(request, call))

    def audits(
        self,
        model: str | None = None,
        *,
        version: str | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> tuple[Audit, ...]:
        """The audits of a model; none if it was packed without one.

        Args:
            model: Name of the model; None for the model that this client asks.
            version: Version of the model; None for the one that most requests without a version take.
            timeout: See `CallOptions`, also for `request_id`.
            request_id: Id of the call.
        """
        call = self._call(timeout, request_id)
        request = ListAuditsRequest(version="" if version is None else text("version", version))
        request.model = self._named("model", model, call)
        return tuple(read_audit(audit) for audit in self._transport.list_audits(request, call).audits)

    def audit(
        self,
        id: str,  # noqa: A002 (as the contract calls it)
        model: str | None = None,
        *,
        page: bool = True,
        version: str | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> AuditReport:
        """All that an audit found, with its files, which are checked against their digests.

        Args:
            id: Id of the audit; see `audits`, and `BiasFlag.audit_id`.
            model: Name of the model; None for the model that this client asks.
            page: Whether the page for people is fetched too, which may have megabytes.
            version: Version of the model; None for the one that most requests without a version take.
            timeout: Seconds that each of the calls may take: one for each file, and one for the list of audits.
            request_id: Id of these calls.

        Raises:
            NotFoundError: The model has no such audit.

        Example:
            >>> [audit] = client.audits()
            >>> report = client.audit(audit.id)
            >>> [flag.message for flag in report.flags if flag.state == "flagged"]
            ['In audit 8927a01510231f4f, pictures of basketball annotated wheelchair = 1 are easier to attack ...']
            >>> report.save("audit")
            (PosixPath('audit/audit.json'), PosixPath('audit/audit.html'))
        """
        call = self._call(timeout, request_id)
        request = GetAuditRequest(audit=text("id", id), version="" if version is None else text("version", version))
        formats = ["json", "html"] if flag("page", page) else ["json"]
        request.model = self._named("model", model, call)
        contents = {}
        for request.format in formats:
            contents[request.format] = self._transport.get_audit(request, call)
        asked = ListAuditsRequest(model=request.model, version=request.version)
        for audit in self._transport.list_audits(asked, call).audits:
            if audit.id == id:
                return read_report(read_audit(audit), contents)
        raise malformed(f"has audit {id}, but does not list it")

    def studies(self, *, timeout: float | None = None, request_id: str | None = None) -> tuple[Study, ...]:
        """The studies of the server, the one that opened last first. The key needs the scope "studies:read".

        Args:
            timeout: See `CallOptions`, also for `request_id`.
            request_id: Id of the call.

        Raises:
            UnauthenticatedError: The client has no key, or the server does not know it.
            PermissionDeniedError: The key has another scope.
            NotFoundError: The server keeps no studies.

        Example:
            >>> client = Client("https://whybox.example.org", key=Path("key.txt").read_text().strip())
            >>> [study.id for study in client.studies()]
            ['photos', 'photos-pilot']
        """
        answer = self._transport.list_studies(self._call(timeout, request_id))
        return tuple(read_study(study) for study in answer.studies)

    def study(
        self,
        id: str,  # noqa: A002 (as the contract calls it)
        *,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> StudyStatus:
        """How far a study is. The key needs the scope "studies:read".

        Args:
            id: Id of the study.
            timeout: See `CallOptions`, also for `request_id`.
            request_id: Id of the call.

        Raises:
            UnauthenticatedError, PermissionDeniedError: See `studies`.
            NotFoundError: There is no such study.
        """
        call = self._call(timeout, request_id)
        return read_status(self._transport.get_study(GetStudyRequest(study=text("id", id)), call))

    def study_results(
        self,
        id: str,  # noqa: A002 (as the contract calls it)
        *,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> StudyResults:
        """What people say of the model's error. The key needs the scope "studies:read".

        The server computes the results when they are first asked for, and keeps them until an answer changes.

        Args:
            id: Id of the study.
            timeout: See `CallOptions`, also for `request_id`.
            request_id: Id of the call.

        Raises:
            UnauthenticatedError, PermissionDeniedError: See `studies`.
            NotFoundError: There is no such study.
            FailedPreconditionError: The study has no answers yet.
            DeadlineExceededError: The results take longer; a later call gets them.

        Example:
            >>> results = client.study_results("photos")
            >>> print(results)
            >>> results.plot().save("results.png")
        """
        call = self._call(timeout, request_id)
        return read_results(self._transport.get_study_results(GetStudyResultsRequest(study=text("id", id)), call))

    def invite(
        self,
        id: str,  # noqa: A002 (as the contract calls it)
        number: int = 1,
        *,
        days: float | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Invitations:
        """Invites people to a study. The key needs the scope "studies:invite".

        Args:
            id: Id of the study.
            number: Number of people, 1 to 1,000.
            days: Days for which the invitations let people in, 0.01 to 365; None for 14.
            timeout: See `CallOptions`, also for `request_id`.
            request_id: Id of the call.

        Raises:
            UnauthenticatedError, PermissionDeniedError: See `studies`.
            NotFoundError: There is no such study.
            FailedPreconditionError: The study is closed.
        """
        call = self._call(timeout, request_id)
        request = InviteAnnotatorsRequest(study=text("id", id), number=integer("number", number, 0))
        if days is not None:
            request.days = _days(days)
        return read_invitations(self._transport.invite_annotators(request, call))

    def close(self) -> None:
        """Closes the connections; the client cannot be used afterwards."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _request(self, image: ImageInput, options: AnalyzeOptions) -> AnalyzeRequest:
        return analysis_request(encode(image), known(options, AnalyzeOptions))

    def _address(self, request: AnalyzeRequest, options: CallOptions) -> Call:
        """Names the model in the request, and returns what the call carries beside it."""
        call = self._call(options.get("timeout"), options.get("request_id"))
        request.model = self._named("model", options.get("model"), call)
        return call

    def _later(self, timeout: float | None) -> Call:
        """A call of an operation."""
        return self._call(timeout, None)

    def _call(self, timeout: float | None, request_id: str | None) -> Call:
        seconds = self._timeout if timeout is None else _seconds(timeout)
        given = {} if request_id is None else {"request_id": text("request_id", request_id)}
        return Call(seconds, **given, key=self._key)

    def _named(self, argument: str, model: str | None, call: Call) -> str:
        return self._default_model(call) if model is None else text(argument, model)

    def _default_model(self, call: Call) -> str:
        if self._model is None:
            models = self._transport.list_models(call).models
            if not models:
                raise FailedPreconditionError("the server serves no model; pack a model and start the server again")
            self._model = models[0].name
        return self._model


def _seconds(timeout: float) -> float:
    what = f"a positive number of seconds, at most {MAX_SECONDS}"
    seconds = number("timeout", timeout, what=what)
    if not 0 < seconds <= MAX_SECONDS:
        raise ValueError(f"timeout must be {what}, not {timeout!r}")
    return seconds


def _days(days: float) -> float:
    return number("days", days, what="a number of days")


def _key(key: object) -> str:
    """A key that a header can carry. Errors do not repeat it."""
    if not isinstance(key, str):
        raise TypeError(f"key must be a str, not {type(key).__name__}")
    if not (key.isascii() and key.isprintable() and key) or " " in key:
        raise ValueError("key must be one word of printable ASCII; strip white space, such as the end of a line")
    return key


def _computed(part: _PartT | None) -> _PartT:
    """The only part of an answer; raises its error if it failed."""
    if part is None:
        raise malformed("lacks the part that it was asked for")
    if part.error is not None:
        raise part.error
    return part
