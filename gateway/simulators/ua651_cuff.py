"""A virtual A&D UA-651BLE: a cuff of the SIG's service that says nothing before its clock has been written.

Written from what the maker's SDK is quoted with. What a cuff stores and tells is `pressure_cuff`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from gateway.simulators.meter import Characteristic, Outgoing
from gateway.simulators.pressure_cuff import BLOOD_PRESSURE, CLOCK, MEASUREMENT, PressureCuff


@dataclass(kw_only=True)
class Ua651(PressureCuff):
    """Hangs up in truth after five seconds; here it only keeps silent, so that no test waits for it."""

    name: str = "A&D_UA-651BLE_000001"
    maker: str = "A&D Medical"
    model: str = "UA-651BLE"
    wound_up: bool = False

    def own_characteristics(self) -> tuple[Characteristic, ...]:
        """See VirtualMeter."""
        clock = Characteristic(
            service=BLOOD_PRESSURE, channel=CLOCK, properties=frozenset({"read", "write"}), protected=True
        )
        return *(one for one in super().own_characteristics() if one.channel != CLOCK), clock

    def write(self, channel: str, data: bytes, subscribed: frozenset[str]) -> Iterator[Outgoing]:
        """See VirtualMeter: the clock."""
        month, day, hour, minute, second = data[2:7]
        written = datetime(int.from_bytes(data[:2], "little"), month, day, hour, minute, second)  # noqa: DTZ001
        self.clock_error = written - self.now()
        self.wound_up = True
        return self.on_subscribed(subscribed)

    def on_subscribed(self, subscribed: frozenset[str]) -> Iterator[Outgoing]:
        """See VirtualMeter."""
        return super().on_subscribed(subscribed) if self.wound_up and MEASUREMENT in subscribed else iter(())

    def on_link_lost(self) -> None:
        """See VirtualMeter."""
        self.wound_up = False
