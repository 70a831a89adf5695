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


@dataclass(frozen=True)
class Registered:
    """Workers that TorchServe knows under one name.

    Attributes:
        name: The name.
        kind: What they do.
        workers: Number of processes.
        batch: Units of work that one takes at once, at most.
    """

    name: str
    kind: PoolKind
    workers: int
    batch: int

    @property
    def places(self) -> int:
        """Units of work that TorchServe may hold.

        The next batch of predictions forms while one is computed. What the gateway can put aside it keeps itself.
        """
        return (2 if self.kind is PoolKind.PREDICT else 1) * self.workers * self.batch


def registered(model: v1.Model, kind: PoolKind, settings: Settings) -> list[Registered]:
    """How TorchServe knows the workers of a model: each of analyses by itself, so that the gateway chooses it."""
    # Unique, as the names of archives are.
    name = f"{model.name}-{model.version}-{kind}"
    if kind is PoolKind.PREDICT:
        return [Registered(name, kind, settings.predict_workers or 1, settings.predict_batch)]
    numbers = range(1, (settings.analyze_workers or 1) + 1)
    return [Registered(f"{name}-{number}", kind, 1, settings.analyze_batch) for number in numbers]


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
    entered = [
        (each, archive, model)
        for archive, model in archives.items()
        for kind in PoolKind
        for each in registered(model, kind, settings)
    ]
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
        # The gateway keeps the queue; TorchServe, which cannot say "queue full", must never come to that.
        "job_queue_size": 2 * max(each.places for each, _, _ in entered) + 16,
        "model_store": next(iter(archives)).parent.resolve(),
        "load_models": ",".join(f"{each.name}={archive.name}" for each, archive, _ in entered),
        "models": json.dumps(
            {each.name: {model.version: _entry(each, archive, settings)} for each, archive, model in entered}
        ),
    }
    # Java reads such files as Latin-1, with the escapes that JSON strings have.
    return "".join(f"{name}={json.dumps(str(value))[1:-1]}\n" for name, value in entries.items())


def _entry(registered: Registered, archive: Path, settings: Settings) -> dict[str, object]:
    return {
        "defaultVersion": True,
        "marName": archive.name,
        "minWorkers": registered.workers,
        "maxWorkers": registered.workers,
        "batchSize": registered.batch,
        "maxBatchDelay": settings.predict_delay_ms,
        # TorchServe kills a worker that takes longer: only one that hangs shall.
        "responseTimeout": math.ceil(2 * settings.max_timeout),
    }
