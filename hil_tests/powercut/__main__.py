"""`python -m hil_tests.powercut`: the verdict on the outbox as it is, and on what it must not be."""

import logging
import sys
import tempfile
from pathlib import Path

from hil_tests.powercut.rig import cut_everywhere
from hil_tests.powercut.store import Weakness
from hil_tests.powercut.trace import available


def main() -> int:
    """Prints a line for each; 1 when the outbox loses something, or when a weakened one does not (a blind rig)."""
    if (why_not := available()) is not None:
        print(f"skipped: {why_not}", flush=True)
        return 0
    logging.disable()  # every salvaged state would say so
    wrong = 0
    try:
        for weakness in Weakness:
            with tempfile.TemporaryDirectory() as work:
                verdict = cut_everywhere(Path(work), weakness=weakness)
            print(f"weakness {weakness}: {verdict}", flush=True)
            wrong += (verdict.lossy.total() > 0) is (weakness is Weakness.NONE)
    finally:
        logging.disable(logging.NOTSET)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
