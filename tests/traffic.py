"""Callers in a process of their own, who ask a real server at a given rate and note what becomes of each call.

The load is open loop: a call is due at its time whether or not earlier ones are answered, and its latency counts from
then, so that a slow server cannot hide behind callers who wait for it.
"""

import argparse
import hashlib
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from presence import present
from whybox import Client
from whybox.v1.errors import UnavailableError, WhyboxError

# A call whose answer is not there by then is lost. Long enough for a machine that is busy with other things while
# TorchServe starts anew.
_TIMEOUT = 180.0
_PAUSE_SECONDS = 0.5
# How long a process of callers may take to load, and to end after its last call.
_START_SECONDS, _END_SECONDS = 60.0, 30.0


def _map(client: Client, image: bytes, method: str, max_evaluations: int | None = None) -> bytes:
    (map_,) = client.explain(image, method, max_evaluations=max_evaluations)
    return map_.attribution.tobytes()


def _search(client: Client, image: bytes, budget: str) -> bytes:
    robustness = client.robustness(image, norms="linf", budget=budget)
    (distance,) = robustness.distances
    return repr((distance.distance, distance.adversarial_class)).encode()


def _prediction(client: Client, image: bytes) -> bytes:
    return repr([score.index for score in client.predict(image).classes]).encode()


QUESTIONS: Mapping[str, Callable[[Client, bytes], bytes]] = {
    "prediction": _prediction,
    "grad_cam": lambda client, image: _map(client, image, "grad_cam"),
    "integrated_gradients": lambda client, image: _map(client, image, "integrated_gradients", 8),
    "fast": lambda client, image: _search(client, image, "fast"),
    "standard": lambda client, image: _search(client, image, "standard"),
}
"""What can be asked, and the bytes of the answer that must be the same each time."""


@dataclass(frozen=True)
class Asked:
    """One call.

    Attributes:
        question: One of `QUESTIONS`.
        due: When it was to be sent, seconds since the epoch.
        seconds: From then to its answer.
        digest: SHA-256 of what was answered; empty without an answer.
        reason: The reason of the error; empty without one.
        retry_after: What the error says of another try, seconds; None without that.
        retryable: Whether the error is UNAVAILABLE.
        message: The error.
    """

    question: str
    due: float
    seconds: float
    digest: str = ""
    reason: str = ""
    retry_after: float | None = None
    retryable: bool = False
    message: str = ""

    @property
    def is_shed(self) -> bool:
        """Whether it was refused for the queue, with a time after which to try again."""
        return self.reason == "QUEUE_FULL" and self.retry_after is not None


def ask(client: Client, question: str, image: bytes, due: float) -> Asked:
    """One call, from the time at which it is due."""
    try:
        digest = hashlib.sha256(QUESTIONS[question](client, image)).hexdigest()
    except WhyboxError as error:
        return Asked(
            question,
            due,
            time.time() - due,
            reason=error.reason,
            retry_after=error.retry_after,
            retryable=isinstance(error, UnavailableError),
            message=error.message,
        )
    return Asked(question, due, time.time() - due, digest)


@dataclass(frozen=True)
class Traffic:
    """What callers do.

    Attributes:
        urls: Addresses of the server, asked in turn.
        mix: Questions with their weights.
        seconds: For how long calls are sent.
        rate: Calls a second; 0 has each caller ask again as soon as it is answered.
        callers: Calls that may be in flight at once.
        seed: Of the order of the questions.
    """

    urls: Sequence[str]
    mix: Mapping[str, float]
    seconds: float
    rate: float = 0
    callers: int = 128
    seed: int = 0

    def send(self, image: bytes) -> list[Asked]:
        """Sends the calls, and waits for all answers."""
        random_ = random.Random(self.seed)
        questions, weights = list(self.mix), list(self.mix.values())
        lock, until = threading.Lock(), time.time() + self.seconds
        with ExitStack() as stack:
            clients = [stack.enter_context(Client(url, timeout=_TIMEOUT)) for url in self.urls]

            def one(number: int, due: float) -> Asked:
                with lock:
                    (question,) = random_.choices(questions, weights)
                return ask(clients[number % len(clients)], question, image, due)

            def again(number: int) -> list[Asked]:
                asked = []
                while time.time() < until:
                    asked.append(one(number, time.time()))
                    if not asked[-1].digest:
                        # A caller who is refused does not ask again at once.
                        time.sleep(_PAUSE_SECONDS)
                return asked

            pool = stack.enter_context(ThreadPoolExecutor(self.callers))
            if not self.rate:
                return [each for own in pool.map(again, range(self.callers)) for each in own]
            began, calls = time.time(), []
            for number in range(round(self.rate * self.seconds)):
                due = began + number / self.rate
                time.sleep(max(due - time.time(), 0))
                calls.append(pool.submit(one, number, due))
            return [call.result() for call in calls]


class Callers:
    """A process that sends traffic."""

    def __init__(self, traffic: Traffic, picture: Path) -> None:
        command = [sys.executable, __file__, json.dumps(asdict(traffic)), str(picture)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._seconds = traffic.seconds
        assert present(self._process.stdout).readline() == "ready\n", "the callers ended before they began"

    def begin(self) -> None:
        """Has them send; until then they are loaded and wait."""
        stdin = present(self._process.stdin)
        stdin.write("begin\n")
        stdin.flush()

    def asked(self) -> list[Asked]:
        """Waits for their end; all calls, in the order in which they were due."""
        out, _ = self._process.communicate(timeout=self._seconds + _TIMEOUT + _END_SECONDS)
        assert self._process.returncode == 0
        return sorted((Asked(**each) for each in json.loads(out)), key=lambda each: each.due)

    def end(self) -> None:
        """Ends them."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            present(pipe).close()


@contextmanager
def calling(traffic: Traffic, picture: Path) -> Iterator[Callers]:
    """Callers that wait to begin, and are gone after the block."""
    callers = Callers(traffic, picture)
    try:
        yield callers
    finally:
        callers.end()


def sent(traffic: Traffic, picture: Path) -> list[Asked]:
    """What became of some traffic, from its beginning to its end."""
    with calling(traffic, picture) as callers:
        callers.begin()
        return callers.asked()


def quantile(asked: Sequence[Asked], share: float) -> float:
    """Milliseconds within which this share of the calls was answered; calls without an answer do not count."""
    return float(np.percentile([1000 * each.seconds for each in asked if each.digest], 100 * share, method="higher"))


def main() -> None:
    """Sends traffic when told to on standard input, and prints what became of it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("traffic", help="fields of Traffic, as JSON")
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    traffic, image = Traffic(**json.loads(options.traffic)), options.picture.read_bytes()
    print("ready", flush=True)  # noqa: T201 (to the process that reads it)
    sys.stdin.readline()
    print(json.dumps([asdict(each) for each in traffic.send(image)]))  # noqa: T201


if __name__ == "__main__":
    main()
