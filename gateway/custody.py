"""What one conversation brings is vouched for and kept: a reading is on disk before its driver goes on.

When a meter is talked to is `gateway.docking`'s, what a reading is `gateway.vouch`'s, where it is kept
`gateway.buffer`'s.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from gateway.conversation import Garbled, Record, Sighting
from gateway.vouch import Circumstances, vouch
from gateway.wire.messages import Device, Reading, Visit

log = logging.getLogger(__name__)

LONGEST_FACT = 120
"""A maker's or a meter's name fits on its case. 512 bytes are what the radio would carry."""
RECORDS_PER_ARRIVAL = 1000
"""More than fit into one frame of any meter."""
KNOWN_AS = "@known_as"
"""In place of a driver's name: the mark that keeps by which key the readings of a Bluetooth address are named."""


class Outbox(Protocol):
    """What docking needs of `gateway.buffer.outbox.Outbox`."""

    async def journal(self, conversation: UUID, at: datetime, channel: str, data: bytes) -> None:
        """Raw bytes, on disk on return."""

    async def put(self, readings: Sequence[Reading]) -> int:
        """Readings, on disk on return; how many were new."""

    async def mark(self, driver: str, device_key: str) -> str | None:
        """What a driver last remembered of a meter."""

    async def set_mark(self, driver: str, device_key: str, value: str) -> None:
        """Remembers."""


@dataclass(kw_only=True)
class Custody:
    """See `converse.Keeper`: vouches for and keeps what one conversation brings.

    `handed` tells which bytes the driver has last seen, by their place in the journal. A record is numbered by the
    bytes it is in, so that replaying them with a repaired decoder, which may see records that the old one missed,
    gives all others the ids they had.
    """

    outbox: Outbox
    driver: str
    sighting: Sighting
    conversation: UUID
    clock: Callable[[], datetime]
    clock_trusted: Callable[[], bool]
    visit_at: Callable[[datetime], Visit | None]
    local_utc_offset_min: int
    saved: Callable[[Reading], None]
    handed: Callable[[], int]
    gateway: str = ""
    told: Callable[[Mapping[str, str], float | None], None] = lambda facts, clock_offset_s: None
    new: int = 0
    _facts: dict[str, str] = field(default_factory=dict)
    _clock_offset_s: float | None = None
    _compared_well: bool = False  # by a clock of ours that was to be believed
    _from: int = 0  # the bytes of the last record
    _decoded: int = 0  # records in them so far
    _key: str = ""  # the device's, once a record was emitted

    async def save(self, record: Record) -> None:
        """See Keeper."""
        self._key = self._key or await self._known_as()
        received, handed, trusted = self.clock(), self.handed(), self.clock_trusted()
        if handed != self._from:
            self._from, self._decoded = handed, 0
        reading = vouch(
            record,
            Circumstances(
                device=self.device,
                driver=self.driver,
                conversation=self.conversation,
                received=received,
                # A clock that has become right since has jumped: what was compared with it before says nothing.
                clock_offset_s=self._clock_offset_s if self._compared_well or not trusted else None,
                gateway_clock_trusted=trusted,
                local_utc_offset_min=self.local_utc_offset_min,
                visit=self.visit_at(received),
                arrival=handed * RECORDS_PER_ARRIVAL + self._decoded,
            ),
        )
        self._decoded += 1
        new = await self.outbox.put([reading])
        self.new += new
        if new:  # a memory read once more is no news to the screen
            self.saved(reading)

    async def note(self, what: str, value: str) -> None:
        """See Keeper. The serial is part of every reading's identity, so it comes before the first of them.

        On a line that meters share, such as a printer's, another serial after a record is another meter that
        speaks: what follows is its own, and its clock is not the one that was read.
        """
        value = printable(value)
        if what == "serial" and self._key and value != self._facts.get(what):
            if self.sighting.transport != "serial" or what not in self._facts:
                raise Garbled("serial_after_record")
            self._key, self._clock_offset_s = "", None
        if what == "error":
            # The screen forgets it once the meter was read well again; the journal has its bytes under this id.
            log.info("custody.noted driver=%s conversation=%s error=%s", self.driver, self.conversation, value)
        if what == "clock":
            self._clock_offset_s = self._behind(datetime.fromisoformat(value))
            self._compared_well = self.clock_trusted()
        self._facts[what] = value
        self.told(self._facts, self._clock_offset_s)

    async def remember(self, value: str) -> None:
        """See Keeper."""
        await self.outbox.set_mark(self.driver, self.sighting.address, value)

    @property
    def device(self) -> Device:
        """The meter, as far as it has told."""
        return Device(
            key=self._key,
            maker=self._facts.get("maker", ""),
            model=self._facts.get("model", ""),
            serial=self._facts.get("serial", ""),
            address=self.sighting.address,
            firmware=self._facts.get("firmware", ""),
        )

    async def _known_as(self) -> str:
        """By which key this meter's readings are named: its serial number, else where it is.

        A USB path is a place, and every store has one of that name. A Bluetooth address is the meter's own, so one
        that tells its serial number only now and then (before it is paired, it may not) keeps its first key.
        """
        serial, address = self._facts.get("serial", ""), self.sighting.address
        if self.sighting.transport != "ble":
            return serial or f"{self.gateway}/{address}"
        known = await self.outbox.mark(KNOWN_AS, address)
        key = serial if serial and known != address else known or address
        if key != known:
            await self.outbox.set_mark(KNOWN_AS, address, key)
        return key

    def _behind(self, shown: datetime) -> float:
        """Seconds the meter's naive clock is behind the gateway's; negative where it is ahead."""
        local = self.clock().timestamp() + self.local_utc_offset_min * 60
        return local - (shown - datetime(1970, 1, 1)).total_seconds()  # noqa: DTZ001 - naive, as the meter says it


def printable(text: str) -> str:
    """What a meter says of itself, as far as a log, a screen and the wire can carry it."""
    return "".join(filter(str.isprintable, text))[:LONGEST_FACT]
