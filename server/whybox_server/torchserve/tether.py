"""Runs a command that ends when the process that started it ends, however that happens.

python -m whybox_server.torchserve.tether PARENT COMMAND [ARGUMENT ...], with the process id of the parent.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Asks Linux to signal this process when its parent dies, then becomes the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            sys.exit("the parent is gone already")
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
