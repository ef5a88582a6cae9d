"""`make hil`: the long tests. What hardware is here, a real bluetoothd, power cuts, a siege of KILLS, and a trade.

    python -m hil_tests [KILLS] [--hardware FILE]

The counts of siege and trade are lines of JSON. At the end stands what each part ran on, real or virtual, and
whether it held; 0 when everything did, 1 when not. What was skipped is named with its reason.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hil_tests import conformance
from hil_tests.custody import siege
from hil_tests.hardware import Hardware, adapters, plugged, serial_ports
from hil_tests.powercut.__main__ import main as cut_power
from hil_tests.powercut.trace import available
from hil_tests.trade.__main__ import MINUTES
from hil_tests.trade.__main__ import main as trade

KILLS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of the long tests: `run` gives 0 when it held, `missing` why it cannot run here, `on` what is real."""

    name: str
    on: Callable[[], str]
    run: Callable[[], int]
    missing: Callable[[], str | None] = lambda: None


def main(argv: list[str] | None = None) -> int:
    """Runs every part, also after one has failed; 1 if any has."""
    parser = argparse.ArgumentParser(prog="python -m hil_tests", description=__doc__)
    parser.add_argument("kills", nargs="?", type=int, default=KILLS, help=f"of the siege; {KILLS} unless told")
    parser.add_argument("--seed", type=int, default=os.getpid())
    parser.add_argument("--hardware", type=Path, help="a TOML file that names real adapters and meters")
    arguments = parser.parse_args(argv)
    try:
        hardware = plugged(arguments.hardware)
    except (OSError, ValueError) as error:
        parser.error(f"--hardware: {error}")
    print("hil: hardware", flush=True)
    for line in (*asyncio.run(adapters()), *serial_ports()):
        print(f"  {line}", flush=True)
    seed = arguments.seed
    return held(
        (
            Part(name="bluetoothd", on=conformance.on, run=conformance.main, missing=conformance.missing),
            Part(name="power cuts", on=lambda: "real SQLite, recorded disk", run=cut_power, missing=available),
            Part(
                name="siege",
                on=lambda: "real PostgreSQL and broker, virtual meters",
                run=lambda: siege.main(arguments.kills, seed),
            ),
            Part(
                name="trade",
                on=lambda: f"real PostgreSQL and broker, virtual meters{_real(hardware)}",
                run=lambda: trade(MINUTES, seed, arguments.hardware),
            ),
        )
    )


def held(parts: Sequence[Part], clock: Callable[[], float] = time.monotonic) -> int:
    """Runs them one after the other, and then says of each what it ran on and how it went; 1 if any failed."""
    told, failed, skipped = [], 0, 0
    for part in parts:
        print(f"hil: {part.name}", flush=True)
        if (lacking := part.missing()) is not None:
            skipped += 1
            print(f"  skipped: {lacking}", flush=True)
            told.append(f"{part.name}: skipped: {lacking}")
            continue
        began, status = clock(), _status(part)
        failed += status != 0
        told.append(f"{part.name}: {'FAILED' if status else 'held'} after {clock() - began:.0f} s, on {part.on()}")
    print("hil: summary", flush=True)
    for line in told:
        print(f"  {line}", flush=True)
    ran = len(parts) - skipped
    verdict = f"{failed} of {ran} parts FAILED" if failed else f"all {ran} parts held"
    print(f"hil: {verdict}" + (f", {skipped} skipped" if skipped else ""), flush=True)
    return 1 if failed else 0


def _status(part: Part) -> int:
    try:
        return part.run()
    except Exception as error:  # the other parts are still worth their time
        print(f"  {type(error).__name__}: {error}", flush=True)
        return 1


def _real(hardware: Hardware) -> str:
    return "; real adapters and meters as well" if hardware.settings else "; no real meter"


def _interrupted(number: int, _frame: object) -> None:
    # Everything that was started ends on the way out, through its `with`.
    sys.exit(128 + number)


if __name__ == "__main__":
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, _interrupted)
    sys.exit(main())
