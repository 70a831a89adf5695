"""The one settings object, and the only reader of the environment."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class SettingsError(Exception):
    """A setting is not as it should be; names it and what would be right."""


class Settings(BaseSettings):
    """What `whybox-server serve` can be told: each entry is also an environment variable, WHYBOX_ and its name."""

    model_config = SettingsConfigDict(env_prefix="WHYBOX_", frozen=True)

    model_store: Path = Field(Path("model_store"), description="Folder with the packed models (.mar).")
    models: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Names of the models to serve, separated by commas; without any, all in the store."
    )
    log_dir: Path = Field(Path("logs"), description="Folder for the logs of TorchServe and its workers.")
    rest_host: str = Field("127.0.0.1", description="Address of the REST interface.")
    rest_port: int = Field(8000, ge=0, le=65535, description="Port of the REST interface; 0 takes a free one.")
    grpc_host: str = Field("127.0.0.1", description="Address of the gRPC interface.")
    grpc_port: int = Field(8001, ge=0, le=65535, description="Port of the gRPC interface; 0 takes a free one.")
    predict_workers: int = Field(1, ge=1, description="Worker processes per model for predictions.")
    analyze_workers: int = Field(1, ge=1, description="Worker processes per model for explanations and attacks.")
    worker_threads: int = Field(1, ge=1, description="Cores that each worker uses.")
    predict_batch: int = Field(8, ge=1, description="Predictions that a worker computes together at most.")
    predict_delay_ms: int = Field(1, ge=1, description="Milliseconds that a prediction waits for others to join it.")
    analyze_batch: int = Field(1, ge=1, description="Analyses that a worker takes together; they answer together.")
    queue_size: int = Field(64, ge=1, description="Requests that may wait per worker pool; more are refused with 503.")
    default_timeout: float = Field(60, gt=0, le=86_400, description="Seconds for a request that names no deadline.")
    max_timeout: float = Field(600, gt=0, le=86_400, description="Longest deadline in seconds that can be asked for.")
    max_image_bytes: int = Field(20 * 2**20, ge=1024, description="Size limit of an encoded picture, bytes.")

    @field_validator("models", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [name for each in value.split(",") if (name := each.strip())]
        return value


def read_settings(**given: Any) -> Settings:
    """The settings: those given here, the others from the environment.

    Args:
        given: By name; None where the environment has the say.

    Raises:
        SettingsError: At least one is wrong.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise SettingsError("; ".join(wrong)) from error
