"""Why TorchServe failed, in the words of its logs."""

import re
from collections.abc import Iterable
from pathlib import Path

from whybox_server.torchserve.folders import LOG, OUTPUT

_TAIL_BYTES = 256 * 2**10
# How each start of TorchServe begins in its log; what stands before belongs to earlier ones.
_BEGINNING = "Torchserve version:"
# The lines of workers name the cause; TorchServe itself sees only that a worker has ended.
_WORKER_ERROR = re.compile(r"-std(?:out|err) - (?:MODEL_LOG - )?((?:\w+\.)*\w*(?:Error|Exception)\b.*)")
_ERROR = re.compile(r"^(?:Caused by: )?((?:\w+\.)*\w*(?:Error|Exception)\b.*)")
# What Java prints although all is well, and the lines of a stack trace.
_CHATTER = re.compile(r"^(WARNING: |Picked up |nvidia-smi |Model server |\s+at )")


def failure_reason(log_dir: Path, since: float) -> str:
    """The last error in the logs, on one line; empty if they tell of none.

    Args:
        log_dir: Folder with the logs.
        since: `time.time()` of the start that failed; a log that was last written before is not its own.
    """
    log = _tail(log_dir / LOG, since).rpartition(_BEGINNING)[2].splitlines()
    printed = [line.strip() for line in _tail(log_dir / OUTPUT, since).splitlines() if not _CHATTER.match(line)]
    return _last(_WORKER_ERROR, log) or _last(_ERROR, log) or " ".join(filter(None, printed[-2:]))


def _last(pattern: re.Pattern[str], lines: Iterable[str]) -> str:
    found = [match[1].strip() for line in lines if (match := pattern.search(line))]
    return found[-1] if found else ""


def _tail(path: Path, since: float) -> str:
    try:
        # Clocks of file systems are coarse.
        if path.stat().st_mtime < since - 1:
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
