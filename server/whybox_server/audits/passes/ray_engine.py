"""The engine that measures pictures with Ray Data, on this machine or on a cluster.

Pictures and model are read where they are measured, by their paths: only names, labels and records travel. Ray is
imported inside the functions, because few audits need it. The workers import this module too.
"""

import hashlib
import logging
import os
import pickle
import platform
import secrets
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa

from whybox_server.audits.data.dataset import Labelled
from whybox_server.audits.passes.errors import AuditError
from whybox_server.audits.passes.journal import Record
from whybox_server.audits.passes.leftovers import cleared
from whybox_server.audits.passes.signals import Stop, handlers_kept
from whybox_server.audits.passes.workers import BATCH_SIZE, Work, libraries, measure_batch

# One batch is measured while the next one waits, so that no worker is idle.
_BATCHES_PER_WORKER = 2
# A dataset of Ray holds this many batches per worker: its list of pictures is in memory, and its workers load the model
# anew, which takes as long as a few batches.
_BATCHES_PER_DATASET = 1000
# Ray starts a worker that died again, and gives it the same pictures. Pictures that always kill end the audit.
_RESTARTS = 2
# Ray itself waits for more than a minute.
_ADDRESS_SECONDS = 10
# Batches hold names and records. Ray's least is 75 MiB.
_OBJECT_STORE_BYTES = 100 * 2**20
# Linux allows 107 bytes for the path of a socket, and Ray appends up to 70 to its folder.
_LONGEST_FOLDER = 25

_LOCAL_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Without this, whose name tells half of what it does, Ray listens on all interfaces.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
}
_SETTINGS = {
    # Ray's core writes to the terminal whatever the settings of Python's loggers.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    # A thread of Ray Data that outlives its Ray would start another one.
    "RAY_ENABLE_AUTO_CONNECT": "0",
}


def measured_by_ray(
    work: Work, pictures: Iterable[Labelled], number: int, workers: int | None, address: str | None, stop: Stop
) -> Generator[list[Record]]:
    """The records of each batch, as soon as a worker of Ray has measured it.

    Args:
        work: The model and the options of the attack. Every machine of the cluster has both paths.
        pictures: The pictures; they are fetched as they are needed.
        number: How many they are.
        workers: Number of workers, at least 1; None for one per core, or per GPU with `cuda`. Each loads the model once
            for many pictures.
        address: HOST:PORT of a cluster; None starts Ray on this machine alone, and ends it afterwards.
        stop: Notes signals.

    Raises:
        AuditError: Ray is not installed, no cluster answers at the address, a worker died again and again, or a machine
            of the cluster lacks a picture or the model, or has other libraries.
        InterruptedAuditError: A signal arrived.
        WhyboxError: The model cannot be loaded.
        OSError: A picture cannot be read on this machine.
    """
    if not number:
        return
    size = BATCH_SIZE[work.device]
    if address is not None:
        _check(address)
    # Workers have another working directory.
    work = work.absolute()
    with _connected(workers, address) as ray:
        number = min(workers or _available(ray, work.device), -(-number // size))
        begun = _Begun(libraries(), _digest(work.archive))
        waiting = iter(pictures)
        batches = iter(lambda: list(islice(waiting, size)), [])
        while some := list(islice(batches, number * _BATCHES_PER_DATASET)):
            # Ray Data's threads end with its rows, before Ray does.
            with closing(_measured(work, some, min(number, len(some)), begun)) as rows:
                while True:
                    try:
                        with stop.raised():
                            row = next(rows, None)
                    except ray.exceptions.RayError as error:
                        raise AuditError(_explained(error)) from error
                    if row is None:
                        break
                    yield _records(row, address)


def _measured(
    work: Work, batches: Sequence[Sequence[Labelled]], workers: int, begun: "_Begun"
) -> Generator[Mapping[str, Any]]:
    """The outcome of each batch, in any order; see `_Measurer`."""
    import ray.data

    with warnings.catch_warnings():
        # Ray warns that `max_restarts` and `max_task_retries` will get other names in 2.64.
        warnings.simplefilter("ignore", DeprecationWarning)
        outcomes = ray.data.from_arrow([_table(batch) for batch in batches]).map_batches(
            _Measurer,
            fn_constructor_kwargs={"work": work, "measure": measure_batch, "begun": begun},
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=_BATCHES_PER_WORKER),
            num_cpus=1,
            num_gpus=1 if work.device == "cuda" else None,
            max_restarts=_RESTARTS,
            max_task_retries=_RESTARTS,
        )
    yield from outcomes.iter_rows()


def _table(batch: Sequence[Labelled]) -> pa.Table:
    """One row, `pictures`: the pictures, pickled."""
    return pa.table({"pictures": [pickle.dumps(list(batch))]})


@dataclass(frozen=True)
class _Begun:
    """What the measurements depend on as this machine has it.

    Attributes:
        libraries: Versions, by name.
        archive: SHA-256 of the packed model, in hexadecimal.
    """

    libraries: Mapping[str, str]
    archive: str

    def check(self, work: Work) -> None:
        """Raises AuditError if the machine of this process differs."""
        for name, version in libraries().items():
            if version != self.libraries[name]:
                raise AuditError(f"it has {name} {version} instead of {self.libraries[name]}")
        if _digest(work.archive) != self.archive:
            raise AuditError(f"its {work.archive} is another file than here")


class _Measurer:
    """Measures batches in a worker of Ray.

    Args:
        work: The model and the options of the attack.
        measure: `measure_batch`.
        begun: What the machine that runs the command has.
    """

    def __init__(self, work: Work, measure: Callable[[Work, Sequence[Labelled]], list[Record]], begun: _Begun) -> None:
        self._work = work
        self._measure = measure
        self._begun: _Begun | None = begun

    def __call__(self, batch: pa.Table) -> pa.Table:
        """One row: `outcome`, the records or the exception, pickled; `machine`, the name of this one."""
        outcome: list[Record] | Exception
        try:
            if self._begun is not None:
                self._begun.check(self._work)
                self._begun = None
            [pictures] = batch["pictures"].to_pylist()
            outcome = self._measure(self._work, pickle.loads(pictures))  # noqa: S301 (from the command itself)
        except Exception as error:  # noqa: BLE001 (it is raised in the process of the command)
            outcome = error
        return pa.table({"outcome": [pickle.dumps(outcome)], "machine": [platform.node()]})


def _records(row: Mapping[str, Any], address: str | None) -> list[Record]:
    """The records of a batch; raises the error of its worker."""
    outcome: list[Record] | Exception = pickle.loads(row["outcome"])  # noqa: S301 (from this command's own workers)
    if isinstance(outcome, list):
        return outcome
    machine = f"machine {row['machine']} of the cluster at {address} cannot measure"
    if isinstance(outcome, AuditError):
        raise AuditError(f"{machine}: {outcome}")
    if isinstance(outcome, OSError) and address is not None:
        remedy = "every machine needs the pictures and the model at the same paths as here, as on a shared file system"
        raise AuditError(f"{machine}: {outcome.filename} cannot be read ({outcome.strerror}); {remedy}") from outcome
    raise outcome


def _explained(error: Exception) -> str:
    remedy = "run the same command again to continue, if need be with fewer --workers"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "died" in lines[0]:
        fault = f"a worker of Ray died, and again on {_RESTARTS} more attempts; memory may have run out"
        return f"{fault}: {remedy}"
    return f"Ray failed with {lines[-1]}; {remedy}"


def _available(ray: Any, device: str) -> int:
    """The number of cores or GPUs that Ray has.

    Raises:
        AuditError: There are none.
    """
    kind = "GPU" if device == "cuda" else "CPU"
    number = int(ray.cluster_resources().get(kind, 0))
    if not number:
        raise AuditError(f"Ray has no {kind}; add machines to the cluster, or choose another --device")
    return number


def _check(address: str) -> None:
    """Raises AuditError unless a server of gRPC answers at the address, as Ray's does."""
    form = "write HOST:PORT of the cluster, as `ray start --head` prints it"
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in address:
        raise AuditError(f"--ray-address {address!r} is no address; {form}")
    # A cluster that asks for certificates is left to Ray.
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return
    with grpc.insecure_channel(address) as channel:
        try:
            grpc.channel_ready_future(channel).result(_ADDRESS_SECONDS)
        except grpc.FutureTimeoutError as error:
            fault = f"no Ray cluster answers at --ray-address {address} within {_ADDRESS_SECONDS} seconds"
            raise AuditError(f"{fault}; {form}") from error


@contextmanager
def _connected(workers: int | None, address: str | None) -> Iterator[Any]:
    """The library, connected to a cluster, or to a Ray of its own that listens to this machine only.

    Raises:
        AuditError: Ray is not installed, or does not start or connect.
    """
    folder = tempfile.mkdtemp(prefix="ray-", dir=_short_folder())
    with cleared(folder):
        # The log is a file of this process: Ray's own starts later.
        with handlers_kept(), _terminal_spared(Path(folder) / "driver.log"):
            ray = _imported(local=address is None)
            try:
                quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
                if address is None:
                    ray.init(
                        address="local",
                        num_cpus=workers,
                        include_dashboard=False,
                        object_store_memory=_OBJECT_STORE_BYTES,
                        _temp_dir=folder,
                        **quiet,
                    )
                else:
                    ray.init(address=address, **quiet)
            except Exception as error:
                ray.shutdown()
                where = "start" if address is None else f"connect to --ray-address {address}"
                raise AuditError(f"Ray cannot {where}: {str(error).strip() or type(error).__name__}") from error
        try:
            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = False
            yield ray
        finally:
            ray.shutdown()


def _imported(*, local: bool) -> Any:
    """Ray, with settings that it reads while it is imported."""
    os.environ.update(_SETTINGS)
    if local:
        os.environ.update(_LOCAL_SETTINGS)
        # Ray would make a token in the home folder. It reads this one only once.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray.data
    except ImportError as error:
        message = f"--engine ray needs Ray ({error}); install it with: pip install 'whybox[server,ray]'"
        raise AuditError(message) from error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    # Ray prints the errors of its workers, which this engine reports, and has no option against it.
    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    return ray


@contextmanager
def _terminal_spared(log: Path) -> Iterator[None]:
    """Writes what the process writes to file descriptor 2 inside the block to a file: Ray's core knows no other way."""
    kept = os.dup(2)
    try:
        with log.open("wb") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _short_folder() -> str:
    """A folder for temporary files whose path leaves room for the names of Ray's sockets."""
    folder = tempfile.gettempdir()
    return folder if len(os.fsencode(folder)) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108 (a folder of its own in it)


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
