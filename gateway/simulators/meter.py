"""What every virtual meter is: characteristics it serves, a clock, device information, and ways to misbehave.

What it measures is `glucose_meter`'s and its neighbours'; how its bytes reach a radio is `bumble_meter`'s.
Times are naive: a meter has no idea of a time zone. `now` is given by whoever owns the meter.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum

DEVICE_INFORMATION = "180a"
BATTERY = "180f"
CURRENT_TIME = "1805"

NAN = 0x07FF  # the SFLOAT word for "no number" (IEEE 11073-20601)


class AttError(IntEnum):
    """Error codes a server answers with (Core Specification, and its supplement for the last two)."""

    CCCD_IMPROPERLY_CONFIGURED = 0xFD
    PROCEDURE_ALREADY_IN_PROGRESS = 0xFE


class Declined(Exception):
    """The meter declines a request with an ATT error."""

    def __init__(self, code: AttError) -> None:
        super().__init__(code.name)
        self.code = code


class Security(StrEnum):
    """What a meter wants before it shows its records."""

    NONE = "none"
    JUST_WORKS = "just_works"  # an encrypted link; nobody has to type anything
    PASSKEY = "passkey"  # six digits on the meter's display, to be typed at the gateway


@dataclass(frozen=True, slots=True, kw_only=True)
class Characteristic:
    """One row of a meter's GATT table. UUIDs are short where they have a short form, else full.

    `properties` are words of: read, write, write_without_response, notify, indicate.
    """

    service: str
    channel: str
    properties: frozenset[str]
    protected: bool = False  # wants the meter's Security


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One notification (or indication, which the client confirms) on its way out."""

    channel: str
    data: bytes
    indicate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How a meter misbehaves."""

    lose_link_after: int | None = None  # measurements sent before the link drops, once
    no_racp_response: bool = False  # everything is sent but the closing indication
    duplicate: bool = False  # every notification twice
    pause_s: float = 0.0  # between two messages


@dataclass(kw_only=True)
class VirtualMeter:
    """A meter's identity and clock. Subclasses add what it measures."""

    name: str
    address: str
    now: Callable[[], datetime]
    maker: str = "Kangdock"
    model: str = "Virtual"
    serial: str = "SN-0001"
    firmware: str = "1.0"
    battery_percent: int = 80
    clock_error: timedelta = timedelta(0)  # how far the meter's clock is ahead of the truth
    security: Security = Security.NONE
    passkey: int = 123456
    faults: Faults = field(default_factory=Faults)
    advertised: tuple[str, ...] = ()

    def clock(self) -> datetime:
        """What the meter's display says the time is."""
        return self.now() + self.clock_error

    def characteristics(self) -> tuple[Characteristic, ...]:
        """The GATT table, device information and battery included."""
        reads = frozenset({"read"})
        return (
            *(
                Characteristic(service=DEVICE_INFORMATION, channel=channel, properties=reads)
                for channel in ("2a29", "2a24", "2a25", "2a26")
            ),
            Characteristic(service=BATTERY, channel="2a19", properties=reads),
            *self.own_characteristics(),
        )

    def own_characteristics(self) -> tuple[Characteristic, ...]:
        """The part of the table that makes it this kind of meter."""
        raise NotImplementedError

    def measurement_channels(self) -> frozenset[str]:
        """The vendor's own channels of measurements, besides `bumble_meter.MEASUREMENTS`."""
        return frozenset()

    def read(self, channel: str) -> bytes:
        """The value of a readable characteristic."""
        match channel:
            case "2a29":
                return self.maker.encode()
            case "2a24":
                return self.model.encode()
            case "2a25":
                return self.serial.encode()
            case "2a26":
                return self.firmware.encode()
            case "2a19":
                return bytes([self.battery_percent])
            case "2a08":
                return date_time(self.clock())
            case "2a2b":
                # Day of week, fractions of a second and adjust reason may all be 0 (unknown, none, none).
                return date_time(self.clock()) + bytes(3)
            case _:
                raise KeyError(channel)

    def write(self, channel: str, data: bytes, subscribed: frozenset[str]) -> Iterator[Outgoing]:
        """Takes a write and returns what follows from it; raises Declined at once, not from the iterator."""
        raise NotImplementedError

    def on_subscribed(self, subscribed: frozenset[str]) -> Iterator[Outgoing]:
        """What a meter sends of itself once it is listened to on `subscribed`."""
        return iter(())

    def on_confirmed(self, sent: Outgoing) -> None:
        """The client confirmed an indication."""

    def on_link_lost(self) -> None:
        """The connection ended, whoever ended it."""


def sfloat(value: Decimal) -> bytes:
    """`value` as a little-endian SFLOAT: a 12-bit mantissa and a 4-bit power of ten."""
    return sfloat_word(_medical_float(value, mantissa_bits=12, exponent_bits=4))


def sfloat_word(word: int) -> bytes:
    """A special SFLOAT, such as NAN, as bytes."""
    return word.to_bytes(2, "little")


def float32(value: Decimal) -> bytes:
    """`value` as a little-endian FLOAT: a 24-bit mantissa and an 8-bit power of ten."""
    return float32_word(_medical_float(value, mantissa_bits=24, exponent_bits=8))


def float32_word(word: int) -> bytes:
    """A special FLOAT as bytes."""
    return word.to_bytes(4, "little")


def _medical_float(value: Decimal, *, mantissa_bits: int, exponent_bits: int) -> int:
    sign, digits, exponent = value.normalize().as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(f"{value} is not a number")
    mantissa = int("".join(map(str, digits))) * (-1 if sign else 1)
    beyond = 1 << (exponent_bits - 1)
    while exponent >= beyond:
        mantissa, exponent = mantissa * 10, exponent - 1
    largest = (1 << (mantissa_bits - 1)) - 3  # what lies beyond are the special words
    if not (-largest <= mantissa <= largest and exponent >= -beyond):
        raise ValueError(f"{value} does not fit in {mantissa_bits + exponent_bits} bits")
    return (exponent & (2 * beyond - 1)) << mantissa_bits | mantissa & ((1 << mantissa_bits) - 1)


def date_time(moment: datetime) -> bytes:
    """The seven bytes of a Date Time (0x2A08)."""
    return moment.year.to_bytes(2, "little") + bytes(
        (moment.month, moment.day, moment.hour, moment.minute, moment.second)
    )
