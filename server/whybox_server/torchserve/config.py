"""The configuration of TorchServe: which models in which worker pools, and to listen to the gateway alone."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from whybox import v1
from whybox_server.gateway.pools import PoolKind
from whybox_server.settings import Settings

# Answers hold maps: a full-resolution one per channel has 600 kB.
_MAX_RESPONSE_BYTES = 64 * 2**20
# The work message around the picture.
_ENVELOPE_BYTES = 64 * 2**10


@dataclass(frozen=True)
class Ports:
    """Loopback ports of TorchServe's gRPC interfaces."""

    inference: int
    management: int


def registered_name(model: v1.Model, kind: PoolKind) -> str:
    """Name under which TorchServe knows one pool of one model; unique, as the names of archives are."""
    return f"{model.name}-{model.version}-{kind}"


def max_message_bytes(settings: Settings) -> int:
    """Limit of every message between the gateway and TorchServe."""
    return max(settings.max_image_bytes + _ENVELOPE_BYTES, _MAX_RESPONSE_BYTES)


def properties(archives: Mapping[Path, v1.Model], folder: Path, ports: Ports, settings: Settings) -> str:
    """Content of TorchServe's config.properties.

    Args:
        archives: Packed models by the path of their archive; all in one folder.
        folder: Private folder of this TorchServe, short enough for Unix socket paths.
        ports: Free loopback ports.
        settings: Sizes of pools, batches and queues.
    """
    registered: dict[str, tuple[Path, v1.Model, PoolKind]] = {
        registered_name(model, kind): (archive, model, kind) for archive, model in archives.items() for kind in PoolKind
    }
    entries = {
        # The HTTP interfaces cannot be switched off; as Unix sockets in a private folder they cannot be reached.
        "inference_address": f"unix:{folder}/inference.sock",
        "management_address": f"unix:{folder}/management.sock",
        "metrics_address": f"unix:{folder}/metrics.sock",
        "grpc_inference_address": "127.0.0.1",
        "grpc_inference_port": ports.inference,
        "grpc_management_address": "127.0.0.1",
        "grpc_management_port": ports.management,
        "enable_model_api": "false",
        "enable_metrics_api": "false",
        "enable_envvars_config": "false",
        # Every call needs the token that TorchServe writes into its private folder at start.
        "disable_token_authorization": "false",
        "token_expiration_min": 100 * 365 * 24 * 60,
        "disable_system_metrics": "true",
        "allowed_urls": "file://.*",
        "max_request_size": max_message_bytes(settings),
        "max_response_size": max_message_bytes(settings),
        # The gateway refuses at `queue_size`; TorchServe, which cannot say "queue full", must never come to that.
        "job_queue_size": 2 * settings.queue_size + 16,
        "model_store": next(iter(archives)).parent.resolve(),
        "load_models": ",".join(f"{name}={archive.name}" for name, (archive, _, _) in registered.items()),
        "models": json.dumps(
            {
                name: {model.version: _pool(archive, kind, settings)}
                for name, (archive, model, kind) in registered.items()
            }
        ),
    }
    # Java reads such files as Latin-1, with the escapes that JSON strings have.
    return "".join(f"{name}={json.dumps(str(value))[1:-1]}\n" for name, value in entries.items())


def _pool(archive: Path, kind: PoolKind, settings: Settings) -> dict[str, object]:
    predict = kind is PoolKind.PREDICT
    workers = settings.predict_workers if predict else settings.analyze_workers
    return {
        "defaultVersion": True,
        "marName": archive.name,
        "minWorkers": workers,
        "maxWorkers": workers,
        "batchSize": settings.predict_batch if predict else settings.analyze_batch,
        "maxBatchDelay": settings.predict_delay_ms,
        # TorchServe kills a worker that takes longer: only one that hangs shall.
        "responseTimeout": math.ceil(2 * settings.max_timeout),
    }
