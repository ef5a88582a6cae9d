"""`python -m hil_tests.powercut`: the verdict on the outbox as it is, and on two that it must not be."""

import logging
import tempfile
from pathlib import Path

from hil_tests.powercut.rig import cut_everywhere
from hil_tests.powercut.trace import available

if __name__ == "__main__":
    if (why_not := available()) is not None:
        raise SystemExit(f"skipped: {why_not}")
    logging.disable()  # every salvaged state would say so
    for synchronous in ("FULL", "NORMAL", "OFF"):
        with tempfile.TemporaryDirectory() as work:
            print(f"synchronous={synchronous}: {cut_everywhere(Path(work), synchronous=synchronous)}", flush=True)
