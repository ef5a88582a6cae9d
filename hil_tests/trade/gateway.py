"""`python -m gateway run` in a world of ours: the process under test, started and killed by `__main__`.

    python -m hil_tests.trade.gateway CONFIG WORLD

WORLD is a folder of two files. `clock` holds two words: how many seconds the clock is behind, and whether the
kernel calls it synchronised; a Pi without a battery wakes up in 1970 and jumps when NTP has answered. `ports` is
what the kernel would list as USB serial ports, as JSON. Everything else is the gateway's own.
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from gateway import app, health
from gateway.__main__ import main


class World:
    """Reads its files at every question: it is another process that turns the clock and pulls plugs."""

    def __init__(self, folder: Path) -> None:
        self._clock, self._ports = folder / "clock", folder / "ports"

    def now(self) -> datetime:
        """See `gateway.app`."""
        return datetime.now(UTC) - timedelta(seconds=self._words()[0])

    def synchronised(self) -> bool:
        """See `gateway.health`."""
        return bool(self._words()[1])

    def comports(self) -> list[ListPortInfo]:
        """See pyserial."""
        found = []
        for device, location in json.loads(self._ports.read_text()):
            port = ListPortInfo(device, skip_link_detection=True)
            port.location, port.vid, port.pid, port.product = location, 0x1A86, 0x7523, "USB Serial"
            found.append(port)
        return found

    def _words(self) -> tuple[int, int]:
        behind_s, trusted = self._clock.read_text().split()
        return int(behind_s), int(trusted)


if __name__ == "__main__":
    world = World(Path(sys.argv[2]))
    app._now = world.now
    health.clock_synchronised = world.synchronised
    setattr(list_ports, "comports", world.comports)  # noqa: B010 - by name, as mypy would not have it
    sys.exit(main(["run", "--config", sys.argv[1]]))
