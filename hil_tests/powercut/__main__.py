"""`python -m hil_tests.powercut`: the verdict on the outbox as it is, and on what it must not be."""

import logging
import tempfile
from pathlib import Path

from hil_tests.powercut.rig import cut_everywhere
from hil_tests.powercut.store import Weakness
from hil_tests.powercut.trace import available

if __name__ == "__main__":
    if (why_not := available()) is not None:
        raise SystemExit(f"skipped: {why_not}")
    logging.disable()  # every salvaged state would say so
    for weakness in Weakness:
        with tempfile.TemporaryDirectory() as work:
            print(f"weakness {weakness}: {cut_everywhere(Path(work), weakness=weakness)}", flush=True)
