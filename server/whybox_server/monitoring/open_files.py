"""How many connections each transport may hold, so that the process never runs out of open files."""

import resource
from dataclasses import dataclass

# More than any server of this kind needs; also where the system sets no limit.
_MOST_FILES = 65_536


@dataclass(frozen=True)
class Shares:
    """Connections that each transport may hold; the rest of the files is for logs, pictures and TorchServe.

    Attributes:
        rest: Half of the limit on open files.
        grpc: A quarter of it.
    """

    rest: int
    grpc: int


def connection_shares() -> Shares:
    """The shares of this process's limit on open files (`ulimit -n`)."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _MOST_FILES if limit == resource.RLIM_INFINITY else min(limit, _MOST_FILES)
    return Shares(rest=max(files // 2, 1), grpc=max(files // 4, 1))
