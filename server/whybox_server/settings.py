"""The one settings object, and the only reader of the environment."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class SettingsError(Exception):
    """A setting is wrong; the message names the setting and what would be right."""


class Settings(BaseSettings):
    """The settings of `whybox-server serve`; the environment variable of each is WHYBOX_ and its name."""

    model_config = SettingsConfigDict(env_prefix="WHYBOX_", frozen=True)

    model_store: Path = Field(default=Path("model_store"), description="Folder with the packed models (.mar).")
    models: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Names of the models to serve, separated by commas; empty serves every packed model."
    )
    log_dir: Path = Field(default=Path("logs"), description="Folder for the logs of TorchServe and its workers.")
    rest_host: str = Field(default="127.0.0.1", description="Address that REST listens on.")
    rest_port: int = Field(
        default=8000, ge=0, le=65535, description="Port that REST listens on, 1 to 65535; 0 takes a free port."
    )
    grpc_host: str = Field(default="127.0.0.1", description="Address that gRPC listens on.")
    grpc_port: int = Field(
        default=8001, ge=0, le=65535, description="Port that gRPC listens on, 1 to 65535; 0 takes a free port."
    )
    predict_workers: int = Field(
        default=1, ge=1, description="Worker processes per model for predictions and bias flags."
    )
    analyze_workers: int = Field(
        default=1, ge=1, description="Worker processes per model for explanations, attacks and certificates."
    )
    worker_threads: int = Field(default=1, ge=1, description="Cores that each worker process uses.")
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
    queue_size: int = Field(
        default=64, ge=1, description="Requests that may wait per worker pool; REST refuses more with status 503."
    )
    default_timeout: float = Field(
        default=60, gt=0, le=86_400, description="Seconds for a request that gives no timeout, at most 86400 (a day)."
    )
    max_timeout: float = Field(
        default=600, gt=0, le=86_400, description="Longest timeout that a request may give, in seconds, at most 86400."
    )
    max_image_bytes: int = Field(
        default=20 * 2**20, ge=1024, description="Largest encoded picture that a request may send, in bytes."
    )

    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Origins of web pages whose scripts may call REST, such as https://app.example.com, separated by"
        " commas; * allows every page. Empty allows none but the server's own.",
    )

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
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise SettingsError("; ".join(wrong)) from error
