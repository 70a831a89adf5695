"""`make bench-serving`: predictions beside the same decoding and network in-process, and TorchServe's own handler.

All ways take turns with the load generator beside them on the same cores, so that whatever else the machine does hits
them alike; ratios are medians over the rounds. In-process, a process for each core computes. The server serves this
model alone, as TorchServe's own handler does.

Beside other work, the way with more processes gets more of the cores, and its answers a second flatter it. Processor
time for an answer, of all processes with the load generator, does not depend on that; idle cores answer at most as
often as it allows.
"""

import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from multiprocessing import get_context
from pathlib import Path

import grpc
import psutil
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench import stock
from servers import Server, serving
from whybox import Client, v1
from whybox.v1 import analysis_pb2_grpc
from whybox_handlers.models.archives import load_archive
from whybox_handlers.models.classifier import Classifier
from whybox_server.packing.pack import pack_model
from whybox_server.torchserve.machine import cores

REPOSITORY = Path(__file__).parents[2]
ROUNDS = 5
CALLS = 96
# Calls with which each configuration of TorchServe's own handler is tried.
TRIED = 32
CALLERS = 16
RATE, RATE_SECONDS = 50, 8
IDLE_CALLS = 60
# Workers x threads and batches of TorchServe's own handler; the best one stands for it.
STOCK = [(workers, threads, batch) for workers, threads in ((1, 2), (2, 1)) for batch in (1, 4, 8)]

Predict = Callable[[bytes], object]
_classifier: Classifier


def pictures() -> list[bytes]:
    spec = importlib.util.find_spec("foolbox")
    if spec is None or spec.origin is None:
        raise SystemExit("the pictures of this benchmark are in the foolbox package; install whybox[server]")
    return [path.read_bytes() for path in sorted(Path(spec.origin).parent.glob("data/imagenet_*.jpg"))]


def _load(archive: Path) -> None:
    global _classifier
    torch.set_num_threads(1)
    _classifier = load_archive(archive)


def _in_process(images: Sequence[bytes]) -> None:
    for image in images:
        picture, _ = _classifier.see(image)
        _classifier.look(picture[None])


def throughput(predict: Predict, images: Sequence[bytes]) -> float:
    """Answers a second with several callers at once."""
    with ThreadPoolExecutor(CALLERS) as callers:
        started = time.perf_counter()
        list(callers.map(predict, images))
        return len(images) / (time.perf_counter() - started)


def latencies(call: Callable[[int], object], number: int) -> list[float]:
    """Milliseconds of one call after another."""
    spent = []
    for index in range(number):
        started = time.perf_counter()
        call(index)
        spent.append(1000 * (time.perf_counter() - started))
    return spent


def processor_seconds() -> float:
    """Processor time so far of this process and all that it has started; those that idle take next to none."""
    own = psutil.Process()
    spent = 0.0
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            spent += times.user + times.system
    return spent


def gateway_ms(server: Server, predict: Predict, images: Sequence[bytes]) -> float:
    """Processor time of the gateway for one prediction, milliseconds, at `RATE` a second."""
    gateway, number = psutil.Process(server.process.pid), RATE * RATE_SECONDS
    with ThreadPoolExecutor(2 * CALLERS) as callers:
        before, started = gateway.cpu_times(), time.perf_counter()
        calls = []
        for index in range(number):
            time.sleep(max(started + index / RATE - time.perf_counter(), 0))
            calls.append(callers.submit(predict, images[index % len(images)]))
        for call in calls:
            call.result()
        after = gateway.cpu_times()
    return 1000 * (after.user + after.system - before.user - before.system) / number


def first_part(server: Server, model: str, images: Sequence[bytes]) -> tuple[float, float]:
    """Median milliseconds until a plain prediction, and until the first part of a stream with a Grad-CAM after it."""
    with grpc.insecure_channel(server.grpc.removeprefix("grpc://")) as channel:
        stub = analysis_pb2_grpc.AnalysisServiceStub(channel)

        def plain(index: int) -> None:
            stub.Analyze(
                v1.AnalyzeRequest(model=model, image=images[index % len(images)], prediction=v1.PredictionOptions())
            )

        spent: list[float] = []

        def streamed(index: int) -> None:
            request = v1.AnalyzeRequest(
                model=model, image=images[index % len(images)], prediction=v1.PredictionOptions()
            )
            request.explanations.add(method="grad_cam")
            started = time.perf_counter()
            parts = stub.StreamAnalysis(request)
            next(parts)
            spent.append(1000 * (time.perf_counter() - started))
            list(parts)

        plains = []
        for index in range(IDLE_CALLS):
            plains += latencies(plain, 1)
            streamed(index)
    return statistics.median(plains), statistics.median(spent)


def main() -> None:
    console = Console()
    store = Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "model_store"
    archive = pack_model(REPOSITORY / "model_store/efficientnet-lite0.yaml", store, lambda _: None).archive
    images = pictures()
    work = [images[index % len(images)] for index in range(CALLS)]
    processes = cores()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        alone = folder / "store"
        alone.mkdir()
        (alone / archive.name).symlink_to(archive.resolve())
        classifier = load_archive(archive)
        stock.pack(classifier, folder)

        def settled(*how: int) -> float:
            with stock.serving(folder, *how) as predict:
                stock.wait(predict, images[0])
                throughput(predict, work[: TRIED // 2])
                return throughput(predict, work[:TRIED])

        tried = {how: settled(*how) for how in STOCK}
        best = max(tried, key=lambda how: tried[how])
        console.print(
            "TorchServe's own by workers, threads and batch, answers/s:",
            {how: round(rate) for how, rate in tried.items()},
        )
        pool = stack.enter_context(
            ProcessPoolExecutor(processes, get_context("spawn"), initializer=_load, initargs=(archive,))
        )

        def in_process() -> float:
            started = time.perf_counter()
            list(pool.map(_in_process, [work[index::processes] for index in range(processes)]))
            return CALLS / (time.perf_counter() - started)

        own = stack.enter_context(stock.serving(folder, *best))
        stock.wait(own, images[0])
        server = stack.enter_context(serving(alone, folder / "logs"))
        over_grpc, over_rest = Client(server.grpc), Client(server.rest)
        ways: dict[str, Callable[[], float]] = {
            "in-process": in_process,
            "gRPC": lambda: throughput(over_grpc.predict, work),
            "REST": lambda: throughput(over_rest.predict, work),
            "TorchServe's own": lambda: throughput(own, work),
        }
        for measure in ways.values():
            measure()
        rates: dict[str, list[float]] = {way: [] for way in ways}
        costs: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, measure in ways.items():
                before = processor_seconds()
                rates[way].append(measure())
                costs[way].append(1000 * (processor_seconds() - before) / CALLS)
        table = Table(
            "", "answers/s", "beside in-process", "beside TorchServe's own", "processor ms", "in-process' share"
        )
        table.title = f"Predictions, {archive.stem}, {processes} cores, {CALLERS} callers ({ROUNDS} rounds of {CALLS})"
        for way in ways:
            ratios = [
                statistics.median(mine / theirs for mine, theirs in zip(rates[way], rates[other], strict=True))
                for other in ("in-process", "TorchServe's own")
            ]
            share = statistics.median(
                theirs / mine for mine, theirs in zip(costs[way], costs["in-process"], strict=True)
            )
            table.add_row(
                *(way, f"{statistics.median(rates[way]):.0f}", *(f"{ratio:.2f}" for ratio in ratios)),
                *(f"{statistics.median(costs[way]):.1f}", f"{share:.2f}"),
            )
        console.print(table)
        for name, client in (("gRPC", over_grpc), ("REST", over_rest)):

            def one(index: int, client: Client = client) -> None:
                client.predict(images[index % len(images)])

            idle = latencies(one, IDLE_CALLS)
            console.print(
                f"{name}: idle p50 {statistics.median(idle):.1f} ms,"
                f" p99 {statistics.quantiles(idle, n=100)[-1]:.1f} ms;"
                f" gateway {gateway_ms(server, client.predict, images):.2f} ms of processor time at {RATE} a second"
            )
        plain, first = first_part(server, classifier.model.name, images)
        console.print(f"first part of a stream {first:.1f} ms, a plain prediction {plain:.1f} ms: {first / plain:.2f}")


if __name__ == "__main__":
    main()
