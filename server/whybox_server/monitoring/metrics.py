"""What Prometheus is told: calls, parts and worker pools."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from whybox import v1
from whybox.v1.errors import WhyboxError
from whybox_server.monitoring.readiness import Loads, Readiness

UNKNOWN = "unknown"

# From a cached answer to the longest attack.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


@dataclass
class Call:
    """A call in flight; what is set here becomes its labels when it ends.

    Attributes:
        route: Template of the path, or name of the method; never the path itself.
        model: Name as the caller sent it; a model that is not served is counted as "unknown".
        code: Canonical code of the answer.
    """

    route: str = UNKNOWN
    model: str = ""
    code: str = "OK"


class _Pools(Collector):
    """Asks for the state of the pools at each scrape, so that it cannot be out of date."""

    def __init__(self) -> None:
        self.readiness: Callable[[], Readiness] = dict
        self.loads: Callable[[], Loads] = tuple

    def collect(self) -> Iterator[GaugeMetricFamily]:
        ready = GaugeMetricFamily(
            "whybox_pool_ready", "1 where the pool can answer, else 0", labels=["model", "version", "pool"]
        )
        for model, versions in self.readiness().items():
            for version, pools in versions.items():
                for pool, state in pools.items():
                    ready.add_metric([model, version, pool], float(state == "ready"))
        yield ready
        labels = ["model", "version", "pool"]
        works = GaugeMetricFamily("whybox_queue_works", "Units of work that wait or are with a worker", labels=labels)
        seconds = GaugeMetricFamily(
            "whybox_queue_seconds", "Computing time that they are expected to take yet", labels=labels
        )
        for *names, load in self.loads():
            works.add_metric(names, load.works)
            seconds.add_metric(names, load.seconds)
        yield works
        yield seconds


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._pools = _Pools()
        registry.register(self._pools)
        self._requests = Counter(
            "whybox_requests", "Calls answered", ["transport", "route", "model", "code"], registry=registry
        )
        self._request_seconds = Histogram(
            "whybox_request_seconds",
            "From the arrival of a call to the end of its answer",
            ["transport", "route", "model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._in_flight = Gauge("whybox_requests_in_flight", "Calls being answered", ["transport"], registry=registry)
        self._parts = Counter(
            "whybox_parts", "Parts of answers", ["model", "version", "part", "method", "code"], registry=registry
        )
        self._part_seconds = Histogram(
            "whybox_part_seconds",
            "From handing a part to its worker pool until its answer",
            ["model", "version", "part", "method"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._cache_lookups = Counter(
            "whybox_cache_lookups", "Parts looked up in the cache", ["model", "part", "outcome"], registry=registry
        )
        self._cache_evictions = Counter(
            "whybox_cache_evictions", "Parts that left the cache to make room", registry=registry
        )
        self._cache_entries = Gauge("whybox_cache_entries", "Parts in the cache", registry=registry)
        self._cache_bytes = Gauge("whybox_cache_bytes", "Bytes that the cache takes", registry=registry)
        self._restarts = Counter("whybox_torchserve_restarts", "Restarts of TorchServe", registry=registry)

    def watch_pools(self, readiness: Callable[[], Readiness], loads: Callable[[], Loads] = tuple) -> None:
        """Tells where the state of the pools, and with it the names of the served models, comes from.

        Args:
            readiness: State of each pool.
            loads: What each has to do.
        """
        self._pools.readiness = readiness
        self._pools.loads = loads

    @contextmanager
    def request(self, transport: str, route: str = UNKNOWN) -> Iterator[Call]:
        """Counts and times one call.

        An exception that leaves the block sets the code; a caller that answers with an error instead sets it itself.

        Args:
            transport: "rest" or "grpc".
            route: Template of the path or name of the method; may be set later on the call.
        """
        call = Call(route)
        start = time.perf_counter()
        in_flight = self._in_flight.labels(transport)
        in_flight.inc()
        try:
            yield call
        except WhyboxError as error:
            call.code = error.code_name
            raise
        except (asyncio.CancelledError, GeneratorExit):
            call.code = "CANCELLED"
            raise
        except BaseException:
            call.code = "INTERNAL"
            raise
        finally:
            in_flight.dec()
            model = self._bounded(call.model)
            self._requests.labels(transport, call.route, model, call.code).inc()
            self._request_seconds.labels(transport, call.route, model).observe(time.perf_counter() - start)

    def part(self, model: v1.Model, part: str, method: str, code: str, seconds: float) -> None:
        """Counts and times one part of an answer.

        Args:
            model: The model that answered.
            part: "prediction", "explanation", "robustness", "bias" or "certified".
            method: The explainer, already validated; empty for a part without a choice.
            code: Canonical code of the part's status.
            seconds: From handing it to the worker pool until its answer.
        """
        self._parts.labels(model.name, model.version, part, method, code).inc()
        self._part_seconds.labels(model.name, model.version, part, method).observe(seconds)

    def cache_lookup(self, model: str, part: str, outcome: str) -> None:
        """Counts what became of a look-up in the cache.

        Args:
            model: Name of a served model.
            part: As in `part`.
            outcome: "hit", "shared" (another call was computing the same, and its answer served) or "miss".
        """
        self._cache_lookups.labels(self._bounded(model), part, outcome).inc()

    def cache_evicted(self, parts: int) -> None:
        """Counts parts that left the cache to make room."""
        self._cache_evictions.inc(parts)

    def cache_holds(self, entries: int, taken: int) -> None:
        """Tells how many parts the cache has, and how many bytes they take."""
        self._cache_entries.set(entries)
        self._cache_bytes.set(taken)

    def torchserve_restarted(self) -> None:
        """Counts a restart of TorchServe."""
        self._restarts.inc()

    def render(self) -> tuple[bytes, str]:
        """All metrics in Prometheus' text format, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def _bounded(self, model: str) -> str:
        # Callers can make up names without bound; labels must not grow with them.
        return model if not model or model in self._pools.readiness() else UNKNOWN
