"""`whybox-server`, killed once it has made a number of pictures: `python killed.py NUMBER study create ...`."""

import os
import signal
import sys
from itertools import count

from whybox_server.cli.app import app
from whybox_server.studies.creation.asked import Wanted
from whybox_server.studies.creation.kept import Kept
from whybox_server.studies.protocol import Item

if __name__ == "__main__":
    made, last, keep = count(1), int(sys.argv.pop(1)), Kept.keep

    def keep_and_die(kept: Kept, wanted: Wanted, items: tuple[Item, ...]) -> None:
        keep(kept, wanted, items)
        if next(made) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    Kept.keep = keep_and_die  # type: ignore[method-assign, assignment]
    app()
