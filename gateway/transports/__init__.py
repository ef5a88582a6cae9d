"""Where bytes move: a transport sees meters and opens lines to them.

What is said on a line is a driver's business; who decides to open one is `gateway.docking`'s.
"""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from gateway.conversation import Sighting
from gateway.converse import Link


class Transport(Protocol):
    """One way meters are reached: a Bluetooth adapter, the serial ports, a dock."""

    @property
    def name(self) -> str:
        """ble, serial or dock."""

    @property
    def state(self) -> str:
        """ok, silent (nothing heard for a while), absent (no hardware), failed, or "" where nobody needs it."""

    def sightings(self) -> AsyncGenerator[Sighting, None]:
        """Meters within reach, again each time they are heard, for ever; close it with `aclosing`."""

    def open(self, sighting: Sighting) -> AbstractAsyncContextManager[Link]:
        """A line to the meter just seen; raises Lost where it cannot be had."""
