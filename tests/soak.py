"""Mixed traffic on a real server whose processes are killed, and what became of each call."""

import itertools
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from servers import Server, memory
from traffic import QUESTIONS, Asked, Traffic, ask, calling, sent
from whybox import Client

MIX = {"prediction": 16, "grad_cam": 4, "fast": 1, "integrated_gradients": 1}
# Calls in flight while the most that a server answers is measured.
_CALLERS = 12
_TICK_SECONDS = 0.2
# The memory at the end is read while the last calls are made.
_LAST_SECONDS = 1.0


@dataclass(frozen=True)
class Times:
    """When things happen, seconds from the beginning.

    Attributes:
        seconds: The end.
        kill_seconds: Time between the ends of two workers; one of each kind in turn.
        torchserve_at: The end of TorchServe.
        warm_at: From then on no process shall grow.
    """

    seconds: float
    kill_seconds: float
    torchserve_at: float
    warm_at: float


LONG = Times(seconds=1800, kill_seconds=60, torchserve_at=150, warm_at=300)
# TorchServe last: it needs a while to be there again, during which nothing is answered.
SHORT = Times(seconds=60, kill_seconds=15, torchserve_at=48, warm_at=10)


@dataclass
class Soaked:
    """What a soak showed.

    Attributes:
        rate: Calls a second.
        asked: All calls.
        wrong: Answers other than those before the soak.
        killed: Processes that were killed, by kind.
        warm: Resident bytes of the largest process of each kind, after the warm-up.
        end: The same at the end.
    """

    rate: float
    asked: list[Asked] = field(default_factory=list)
    wrong: list[Asked] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)
    warm: Mapping[str, int] = field(default_factory=dict)
    end: Mapping[str, int] = field(default_factory=dict)

    @property
    def lost(self) -> list[Asked]:
        """Calls with neither an answer nor an error that says when to try again."""
        return [each for each in self.asked if not each.digest and not (each.retryable and each.retry_after)]

    @property
    def failures(self) -> Counter[str]:
        """Reasons of the calls without an answer."""
        return Counter(each.reason for each in self.asked if not each.digest)


def goldens(server: Server, image: bytes) -> dict[str, str]:
    """The answer to each question of the mix.

    Raises:
        AssertionError: A question has no answer, or another one over the other transport.
    """
    answers: dict[str, str] = {}
    for url in (server.grpc, server.rest):
        with Client(url, timeout=60) as client:
            for question in MIX:
                answered = ask(client, question, image, time.time())
                assert answered.digest, answered
                assert answers.setdefault(question, answered.digest) == answered.digest, question
    return answers


def capacity(server: Server, picture: Path, mix: Mapping[str, float], seconds: float) -> float:
    """Answers a second, with always some calls in flight."""
    assert set(mix) <= set(QUESTIONS)
    asked = sent(Traffic([server.grpc, server.rest], mix, seconds, callers=_CALLERS), picture)
    # Calls in flight at the end are answered after it.
    spent = max(each.due + each.seconds for each in asked) - asked[0].due
    return sum(bool(each.digest) for each in asked) / spent


def resident(server: Server) -> dict[str, int]:
    """Resident bytes of the largest process of each kind."""
    java = [process for process in server.family() if "java" in process.name()]
    kinds: dict[str, Sequence[psutil.Process]] = {
        "gateway": [psutil.Process(server.process.pid)],
        "TorchServe": java,
        **{f"{kind} workers": server.workers(kind) for kind in ("predict", "analyze")},
    }
    held = {}
    for kind, processes in kinds.items():
        sizes = []
        for process in processes:
            try:
                sizes.append(memory(process.pid, "VmRSS"))
            except (FileNotFoundError, IndexError):  # it ended just now
                continue
        if sizes:
            held[kind] = max(sizes)
    return held


def kill(server: Server, kind: str) -> bool:
    """Kills TorchServe, or a worker of a kind; whether there was one."""
    if kind == "TorchServe":
        found = [process for process in server.family() if "java" in process.name()]
    else:
        found = server.workers(kind)
    for process in found[:1]:
        process.kill()
    return bool(found)


def soak(server: Server, picture: Path, rate: float, times: Times) -> Soaked:
    """Sends mixed traffic over both transports, and kills processes meanwhile.

    Args:
        server: Is asked.
        picture: Is shown.
        rate: Calls a second.
        times: When.
    """
    soaked, expected = Soaked(rate), goldens(server, picture.read_bytes())
    traffic = Traffic([server.grpc, server.rest], MIX, times.seconds, rate)
    kinds = itertools.cycle(["predict", "analyze"])
    with calling(traffic, picture) as callers:
        callers.begin()
        began = time.monotonic()
        next_kill, kind = times.kill_seconds, next(kinds)
        torchserve_lives = True
        while (now := time.monotonic() - began) < times.seconds - _LAST_SECONDS:
            if torchserve_lives and now >= times.torchserve_at:
                torchserve_lives = not kill(server, "TorchServe")
                soaked.killed["TorchServe"] += not torchserve_lives
            if now >= next_kill and now < times.seconds - times.kill_seconds / 2 and kill(server, kind):
                soaked.killed[kind] += 1
                next_kill, kind = next_kill + times.kill_seconds, next(kinds)
            if not soaked.warm and now >= times.warm_at:
                soaked.warm = resident(server)
            time.sleep(_TICK_SECONDS)
        soaked.end = resident(server)
        soaked.asked = callers.asked()
    soaked.wrong = [each for each in soaked.asked if each.digest and each.digest != expected[each.question]]
    return soaked
