"""The one settings object, and the only reader of the environment."""

import logging
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import ByteSize, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

_log = logging.getLogger(__name__)

# Kubernetes sets NAME_PORT=tcp://10.0.0.1:80 in every container for a Service of that name.
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")


class SettingsError(Exception):
    """A setting is wrong; the message names the setting, its value, and what would be right."""


class _Environment(EnvSettingsSource):
    """The variables WHYBOX_...; an empty one counts as unset, and so does the address of a Service of Kubernetes."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """See `PydanticBaseSettingsSource`; the value of an unset variable is None."""
        value, key, is_complex = super().get_field_value(field, field_name)
        if isinstance(value, str) and not value.strip():
            return None, key, is_complex
        if isinstance(value, str) and field_name.endswith("_port") and _SERVICE_ADDRESS.match(value):
            _log.warning(
                "%s=%s is ignored: Kubernetes sets it for a Service of that name; give the port with --%s",
                variable(field_name),
                value,
                field_name.replace("_", "-"),
            )
            return None, key, is_complex
        return value, key, is_complex


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"WHYBOX_{name.upper()}"


class Settings(BaseSettings):
    """The settings of `whybox-server serve`; the environment variable of each is WHYBOX_ and its name."""

    model_config = SettingsConfigDict(env_prefix="WHYBOX_", frozen=True)

    model_store: Path = Field(
        default=Path("model_store"), description="Folder with the packed models (NAME-VERSION.mar)."
    )
    models: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Names of the models to serve, separated by commas; empty serves every packed model."
    )
    traffic: str = Field(
        default="",
        description="Weights by which requests that name no version are shared out, such as"
        " efficientnet-lite0:1.0=90,1.1=10, with a semicolon between models; @FILE reads them from a file, anew at each"
        " reload. Empty: the newest version takes all.",
    )
    log_dir: Path = Field(default=Path("logs"), description="Folder for the logs of TorchServe and its workers.")
    rest_host: str = Field(default="127.0.0.1", description="Address that REST listens on; :: takes IPv6 and IPv4.")
    rest_port: int = Field(
        default=8000, ge=0, le=65535, description="Port that REST listens on, 1 to 65535; 0 takes a free port."
    )
    rest_keep_alive: int = Field(
        default=75,
        ge=1,
        le=3600,
        description="Seconds, 1 to 3600, that an idle REST connection stays open for the next request. Keep it longer"
        " than the idle timeout of the load balancer, which is 60 s in common ones.",
    )
    grpc_host: str = Field(default="127.0.0.1", description="Address that gRPC listens on; :: takes IPv6 and IPv4.")
    grpc_port: int = Field(
        default=8001, ge=0, le=65535, description="Port that gRPC listens on, 1 to 65535; 0 takes a free port."
    )
    grpc_keep_alive: int = Field(
        default=300,
        ge=1,
        le=86_400,
        description="Seconds, 1 to 86400, that a gRPC connection without a call stays open; clients connect again by"
        " themselves.",
    )
    grpc_upload_seconds: float = Field(
        default=120,
        gt=0,
        le=3600,
        description="Seconds, at most 3600, from the start of a gRPC call to the end of its message.",
    )
    predict_workers: int | None = Field(
        default=None,
        ge=1,
        description="Worker processes per model for predictions and bias flags. Unset, the server chooses: one for each"
        " core, divided among the models, as far as a quarter of the memory holds them.",
    )
    analyze_workers: int | None = Field(
        default=None,
        ge=1,
        description="Worker processes per model for explanations, attacks and certificates, which leave the cores to"
        " predictions. Unset, the server chooses: one for each core, divided among the models, as far as half of the"
        " memory holds them.",
    )
    analyze_nice: int = Field(
        default=5,
        ge=0,
        le=19,
        description="Niceness of the workers of analyses, 0 to 19: of a core that others want too they get half with 0,"
        " a quarter with 5 and a tenth with 10, so that predictions stay fast.",
    )
    worker_memory: ByteSize = Field(
        default=ByteSize(4 * 2**30),
        ge=2**30,
        description="Memory that a worker process may hold, such as 4GiB, at least 1GiB; one that holds more is"
        " replaced.",
    )
    worker_threads: int = Field(
        default=1,
        ge=1,
        description="Cores that each worker process uses; another number changes the last bits of answers.",
    )
    predict_batch: int = Field(
        default=8, ge=1, description="Largest number of predictions that a worker computes in one batch."
    )
    predict_delay_ms: int = Field(
        default=1, ge=1, description="Milliseconds that a prediction waits for others to share its batch."
    )
    analyze_batch: int = Field(
        default=1,
        ge=1,
        description="Largest number of analyses that a worker computes in one batch. All of a batch are answered when"
        " the slowest is done, so keep 1 on a CPU; set 8 or more on a GPU.",
    )
    predict_queue_seconds: float = Field(
        default=2,
        gt=0,
        le=3600,
        description="Seconds of computing for other calls, per worker, that may come before a prediction; more is"
        " refused with UNAVAILABLE (REST: status 503).",
    )
    analyze_queue_seconds: float = Field(
        default=4,
        gt=0,
        le=3600,
        description="The same for explanations, attacks and certificates. What is cheaper comes first, so that a cheap"
        " request is taken while dear ones are refused.",
    )
    quota_seconds: float = Field(
        default=0,
        ge=0,
        description="Seconds of computing that one caller, told by key or else by address, may use per minute; more is"
        " refused with RESOURCE_EXHAUSTED (REST: status 429). 0 sets no quota.",
    )
    bodies_bytes: ByteSize = Field(
        default=ByteSize(256 * 2**20),
        ge=2**20,
        description="Memory for the bodies of all requests in flight, such as 256MiB, at least 1MiB; more is refused"
        " with UNAVAILABLE (REST: status 503).",
    )
    default_timeout: float = Field(
        default=60, gt=0, le=86_400, description="Seconds for a request that gives no timeout, at most 86400 (a day)."
    )
    max_timeout: float = Field(
        default=600, gt=0, le=86_400, description="Longest timeout that a request may give, in seconds, at most 86400."
    )
    drain_seconds: float = Field(
        default=30,
        ge=0,
        le=3600,
        description="Seconds, at most 3600, that requests in flight may take to end when the server stops; the rest is"
        " answered with UNAVAILABLE.",
    )
    max_image_bytes: int = Field(
        default=20 * 2**20, ge=1024, description="Largest encoded picture that a request may send, in bytes."
    )
    cache_bytes: int = Field(
        default=0,
        ge=0,
        description="Memory for parts of answers, in bytes; a caller who asks for the same part again gets it at once."
        " 0 turns the cache off: then nothing of a picture stays after its answer.",
    )

    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Origins of web pages whose scripts may call REST, such as https://app.example.com, separated by"
        " commas; * allows every page. Empty allows none but the server's own.",
    )

    database: str = Field(
        default="",
        description="Database of studies and operations, such as sqlite:///studies.db or postgresql://user:password@host:5432/name."
        " With it the server shows the pages of studies under /studies, and keeps operations; empty leaves both out."
        " The commands of studies use sqlite:///whybox-studies.db then.",
    )
    operation_dir: Path | None = Field(
        default=None,
        description="Folder in which the pictures of operations are kept until these end, of one server alone. Unset:"
        " beside the SQLite database, as NAME.operations, or ./operations with PostgreSQL.",
    )
    operation_hours: float = Field(
        default=24, gt=0, le=8760, description="Hours, at most 8760, for which the result of an operation is kept."
    )
    operation_timeout: float | None = Field(
        default=None,
        gt=0,
        le=86_400,
        description="Seconds that an operation may run, at most 86400. Unset: as long as any request, max_timeout.",
    )
    operations_running: int = Field(
        default=2, ge=1, le=2000, description="Operations that run at once, 1 to 2000; the others wait."
    )
    operations_stored: int = Field(
        default=32,
        ge=1,
        le=10_000,
        description="Operations that a caller may have stored, 1 to 10000, those that ended included; each has a result"
        " of at most 64 MB.",
    )
    public_url: str = Field(
        default="",
        description="Address under which people reach the server, such as https://studies.example.org, for the links of"
        " invitations. Empty: where REST listens.",
    )
    key_file: Path | None = Field(
        default=None,
        description="File of the keys that callers need, over REST and gRPC; whybox-server keys add makes it. Unset,"
        " the server is open, and listens on loopback alone; the API of studies lets nobody in then.",
    )
    tls_certificate: Path | None = Field(
        default=None,
        description="PEM file with the server's certificate, followed by those between it and its authority. With it"
        " and its key REST speaks HTTPS, and gRPC TLS; new files hold for new connections.",
    )
    tls_key: Path | None = Field(
        default=None,
        description="PEM file with the private key of the certificate, without a passphrase, readable by its owner"
        " alone.",
    )
    tls_client_ca: Path | None = Field(
        default=None,
        description="PEM file with the authorities of clients: each client then needs a certificate that one of them"
        " signed, health checks too.",
    )
    insecure: bool = Field(
        default=False,
        description="Whether the server may listen beyond loopback without keys, open to everybody, and without TLS,"
        " readable on the way.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (replaced)
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (not read)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (not read)
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment; see `BaseSettings`."""
        return init_settings, _Environment(settings_cls)

    @field_validator("models", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [name for each in value.split(",") if (name := each.strip())]
        return value


def read_settings(**given: Any) -> Settings:
    """Reads the settings from the arguments and from the environment.

    Args:
        given: Settings by name. A setting that is None or missing comes from the environment.

    Raises:
        SettingsError: A setting is wrong.
    """
    given = {name: value for name, value in given.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError("; ".join(_described(each, given) for each in error.errors())) from error


def _described(wrong: ErrorDetails, given: dict[str, Any]) -> str:
    name = str(wrong["loc"][0])
    value = repr(wrong["input"])
    if name not in given:
        value = f"{variable(name)}={value}"
    what = "should be a size such as 4GiB" if wrong["type"] == "byte_size" else wrong["msg"].removeprefix("Input ")
    return f"{name}: {value} {what}"
