"""`make hil`: the long tests. What hardware is here, a real bluetoothd, power cuts, a siege of KILLS, and a trade.

    python -m hil_tests [KILLS] [--hardware FILE]

The counts of siege and trade are lines of JSON. 0 when everything held, 1 when not; what was skipped is named
with its reason.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hil_tests import conformance
from hil_tests.custody import siege
from hil_tests.hardware import adapters, serial_ports
from hil_tests.powercut.__main__ import main as cut_power
from hil_tests.trade.__main__ import MINUTES
from hil_tests.trade.__main__ import main as trade

KILLS = 200


def main(argv: list[str] | None = None) -> int:
    """Runs every part, also after one has failed; 1 if any has."""
    parser = argparse.ArgumentParser(prog="python -m hil_tests", description=__doc__)
    parser.add_argument("kills", nargs="?", type=int, default=KILLS, help=f"of the siege; {KILLS} unless told")
    parser.add_argument("--seed", type=int, default=os.getpid())
    parser.add_argument("--hardware", type=Path, help="a TOML file that names real adapters and meters")
    arguments = parser.parse_args(argv)
    print("hil: hardware", flush=True)
    for line in (*asyncio.run(adapters()), *serial_ports()):
        print(f"  {line}", flush=True)
    failed = [
        name
        for name, part in (
            ("bluetoothd", conformance.main),
            ("power cuts", cut_power),
            ("siege", lambda: siege.main(arguments.kills, arguments.seed)),
            ("trade", lambda: trade(MINUTES, arguments.seed, arguments.hardware)),
        )
        if _run(name, part)
    ]
    print(f"hil: FAILED: {', '.join(failed)}" if failed else "hil: all held", flush=True)
    return 1 if failed else 0


def _run(name: str, part: Callable[[], int]) -> int:
    print(f"hil: {name}", flush=True)
    began = time.monotonic()
    try:
        status = part()
    except Exception as error:  # the other parts are still worth their time
        print(f"  {type(error).__name__}: {error}", flush=True)
        status = 1
    print(f"hil: {name} {'FAILED' if status else 'done'} after {time.monotonic() - began:.0f} s", flush=True)
    return status


def _interrupted(number: int, _frame: object) -> None:
    # Everything that was started ends on the way out, through its `with`.
    sys.exit(128 + number)


if __name__ == "__main__":
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, _interrupted)
    sys.exit(main())
