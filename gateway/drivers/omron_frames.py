"""The packets of Omron cuffs with the service FE4A, and their 14-byte records, bytes to fields and back.

What is asked when, and which model keeps what where, is `omron`'s. Layouts: a phone's session with a HEM-7143T1, a
worked example of its memory (both shawn-gxp/sh3-pi), and userx14/omblepy, whose eight models agree on the packets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from functools import reduce
from operator import xor
from typing import Any

from gateway.conversation import Decoder, Garbled
from gateway.drivers.cursor import Cursor, exactly

HEADER_BYTES, TAIL_BYTES = 6, 2
RECORD_BYTES = 14
FIRST_RECORD = 0x02E8
"""Where the records begin, in every model with this record that is known."""
SETTINGS = (0x028C, 0x02D0)
"""The block of settings that holds the clock, as it is read and as it is written."""
SETTINGS_BYTES = 24
CLOCK_AT = 8
_EMPTY_ABOVE = 0xE1
_REPLY = 0x8000


class Kind(IntEnum):
    """What a packet asks for; the reply has the highest bit set."""

    START = 0x0000
    READ = 0x0100
    WRITE = 0x01C0
    END = 0x0F00


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One packet. `count` is how many bytes are asked for, or carried in `data`."""

    type: int
    address: int
    count: int
    data: bytes = b""

    def answers(self, asked: "Packet") -> bool:
        """Whether it is the reply to `asked`."""
        place = (self.address, self.count) == (asked.address, asked.count)
        return self.type == asked.type | _REPLY and (place or asked.type != Kind.READ)


def start() -> Packet:
    """Opens a session; 16 bytes are what the cuff's memory is read in, as every program known says."""
    return Packet(type=Kind.START, address=0, count=0x10)


def read(address: int, count: int) -> Packet:
    """Asks for `count` bytes of memory."""
    return Packet(type=Kind.READ, address=address, count=count)


def end() -> Packet:
    """Closes the session; without it the cuff shows an error."""
    return Packet(type=Kind.END, address=0, count=0)


def encoded(packet: Packet) -> bytes:
    """As it is sent: length first, and a last byte that makes the exclusive or of all of them zero."""
    size = HEADER_BYTES + len(packet.data) + TAIL_BYTES
    body = bytes([size]) + packet.type.to_bytes(2, "big") + packet.address.to_bytes(2, "big")
    body += bytes([packet.count]) + packet.data + b"\0"
    return body + bytes([reduce(xor, body)])


def size_of(buffer: bytes) -> int:
    """For `framing`: how long the packet at the front is; less than 0 for none."""
    return buffer[0] if buffer[0] >= HEADER_BYTES + TAIL_BYTES else -1


def packet(data: bytes) -> Packet:
    """One packet; raises Garbled: truncated, length, checksum, trailing_bytes."""
    if len(data) < HEADER_BYTES + TAIL_BYTES or len(data) < data[0]:
        raise Garbled("truncated")
    if data[0] < HEADER_BYTES + TAIL_BYTES:
        raise Garbled("length")
    if len(data) > data[0]:
        raise Garbled("trailing_bytes")
    if reduce(xor, data):
        raise Garbled("checksum")
    made = Packet(
        type=int.from_bytes(data[1:3], "big"),
        address=int.from_bytes(data[3:5], "big"),
        count=data[5],
        data=data[HEADER_BYTES:-TAIL_BYTES],
    )
    carries = made.type in (Kind.READ | _REPLY, Kind.WRITE)
    if carries and len(made.data) < made.count:
        raise Garbled("length")
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One record of the memory; pressures in mmHg, the time as the cuff's clock had it."""

    systolic: int
    diastolic: int
    pulse: int
    time: datetime
    irregular: bool
    movement: bool
    cuff: int  # 1 in every record published; what 0 would mean nobody says
    battery: int
    position: int

    def fields(self) -> dict[str, Any]:
        """As decoder fields."""
        return {
            "systolic": self.systolic,
            "diastolic": self.diastolic,
            "pulse": self.pulse,
            "time": self.time.isoformat(),
            "irregular": self.irregular,
            "movement": self.movement,
            "cuff": self.cuff,
            "battery": self.battery,
            "position": self.position,
        }


def stored(data: bytes, *, swapped: bool = False) -> Stored:
    """One slot of the memory; raises Garbled: length, empty_slot, datetime_range.

    `swapped`: the two bytes of each pair are exchanged, as a HEM-7530T keeps them.
    """
    data = pairs_swapped(exactly(data, RECORD_BYTES)) if swapped else exactly(data, RECORD_BYTES)
    cursor = Cursor(data)
    systolic, diastolic, pulse, year = cursor.u8(), cursor.u8(), cursor.u8(), cursor.u8() & 0x3F
    date, time = cursor.u16(), cursor.u16()
    if systolic > _EMPTY_ABOVE or not any((diastolic, pulse, year, date, time)):
        raise Garbled("empty_slot")
    try:
        at = datetime(  # noqa: DTZ001 - naive, as the cuff has it
            2000 + year,
            date >> 10 & 0x0F,
            date >> 5 & 0x1F,
            date & 0x1F,
            time >> 6 & 0x3F,
            min(time & 0x3F, 59),  # some models count to 63
        )
    except ValueError:
        raise Garbled("datetime_range") from None
    return Stored(
        systolic=systolic + 25,
        diastolic=diastolic,
        pulse=pulse,
        time=at,
        irregular=bool(date >> 14 & 1),
        movement=bool(date >> 15 & 1),
        cuff=time >> 12 & 1,
        battery=time >> 13 & 1,
        position=time >> 14 & 3,
    )


def pairs_swapped(data: bytes) -> bytes:
    """`data` with the bytes of each pair exchanged; a last odd one stays."""
    swapped = bytearray(data)
    swapped[: len(data) & ~1] = b"".join(data[at : at + 2][::-1] for at in range(0, len(data) & ~1, 2))
    return bytes(swapped)


def device_clock(settings: bytes) -> datetime | None:
    """The time in the block of settings; None where it is not set."""
    year, month, day, hour, minute, second = settings[CLOCK_AT : CLOCK_AT + 6]
    try:
        return datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001 - naive
    except ValueError:
        return None


def decode_packet(data: bytes) -> dict[str, Any]:
    """A packet as fields, with the records or the clock where it carries such memory of a HEM-7143T1."""
    it = packet(data)
    fields: dict[str, Any] = {"type": it.type, "address": it.address, "data_length": it.count}
    memory = it.data[: it.count] if it.type in (Kind.READ | _REPLY, Kind.WRITE) else b""
    if memory and it.address in SETTINGS and len(memory) >= CLOCK_AT + 6:
        clock = device_clock(memory)
        fields["device_clock"] = None if clock is None else clock.isoformat()
    elif memory and it.address >= FIRST_RECORD and (it.address - FIRST_RECORD) % RECORD_BYTES == 0:
        fields["records"] = [one.fields() for one in _records(memory)]
    elif memory:
        fields["data_hex"] = memory.hex()
    return fields


def _records(memory: bytes) -> list[Stored]:
    found = []
    for at in range(0, len(memory) - RECORD_BYTES + 1, RECORD_BYTES):
        try:
            found.append(stored(memory[at : at + RECORD_BYTES]))
        except Garbled as garbled:
            if garbled.error != "empty_slot":
                raise
    return found


def decode_record(data: bytes) -> dict[str, Any]:
    """One slot of the memory as fields."""
    return stored(data).fields()


DECODERS: Mapping[str, Decoder] = {"omron.fe4a": decode_packet, "omron.record14": decode_record}
