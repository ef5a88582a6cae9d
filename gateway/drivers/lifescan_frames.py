"""What LifeScan's OneTouch meters say: checked lines of text (Ultra 2), packets with a CRC (Ultra Easy, Ultra
Mini), the same packets in notifications (Verio Flex, Verio Reflect, Select Plus Flex), and the records in them.

How the meters are asked is each driver's own. All of them store and send mg/dL, whatever their display shows.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from gateway.conversation import Decoder, Garbled, Record
from gateway.drivers.ble_common import NoReading
from gateway.drivers.ble_time import step_s
from gateway.drivers.cursor import Cursor
from gateway.units import canonical
from gateway.wire.messages import Purpose, Shown
from gateway.wire.vocabulary import Kind, Meal, OffScale

LOWEST_MG_DL, HIGHEST_MG_DL = 20, 600
"""Below and above, the display says LO and HI, whatever number is sent (0xFFFF for HI on an Ultra Mini)."""

QUANTITY = "glucose_mmol_l"
UNIT = "mg/dL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One stored test, by any of these meters."""

    taken: datetime
    mg_dl: int
    control: bool = False
    meal: Meal = Meal.UNKNOWN
    flags: tuple[str, ...] = ()


def record_of(it: Result, number: int | None = None) -> Record | NoReading:
    """The reading in a stored test; `number` is the meter's own lifetime count, where it has one."""
    if it.mg_dl == 0:
        return NoReading(why="no_value")
    scale = OffScale.LO if it.mg_dl < LOWEST_MG_DL else OffScale.HI if it.mg_dl > HIGHEST_MG_DL else None
    return Record(
        kind=Kind.GLUCOSE,
        key=key_of(it, number),
        values={} if scale else {QUANTITY: canonical(QUANTITY, Decimal(it.mg_dl), UNIT)},
        off_scale={QUANTITY: scale} if scale else {},
        shown=() if scale else (Shown(quantity=QUANTITY, value=str(it.mg_dl), unit=UNIT),),
        device_time=it.taken,
        time_step_s=step_s(it.taken),
        meal=it.meal,
        purpose=Purpose.CONTROL if it.control else Purpose.PATIENT,
        flags=it.flags,
    )


def key_of(it: Result, number: int | None = None) -> str:
    """The record's own name: its lifetime number and time; without one, time and value, which keep apart two tests
    of a clock that began again."""
    return f"{it.taken.isoformat()}#{it.mg_dl}" if number is None else f"{number}@{it.taken.isoformat()}"


# --- lines of text: Ultra 2 --------------------------------------------------------------------------------

MEALS = {"N": Meal.UNKNOWN, "B": Meal.PRE_MEAL, "A": Meal.UNKNOWN}
"""A is after a meal, and nobody knows how long after: the flag says it."""

COMMENTS = {
    "01": "not_enough_food",
    "02": "too_much_food",
    "03": "mild_exercise",
    "04": "hard_exercise",
    "05": "medication",
    "06": "stress",
    "07": "illness",
    "08": "feels_low",
    "09": "menses",
    "10": "vacation",
    "11": "other_comment",
}
"""What a person may note on the meter; 00 is nothing."""

_LINE = re.compile(rb"(?P<text>.+) (?P<sum>[0-9A-Fa-f]{4})[\r\n]*", re.DOTALL)
_TIME = r'"[A-Z]{3}","(?P<month>\d\d)/(?P<day>\d\d)/(?P<year>\d\d)","(?P<time>\d\d:\d\d:\d\d) *"'
_CLOCK = re.compile(rf"[FT] {_TIME}")
_RECORD = re.compile(
    rf'P {_TIME},"(?P<control>[C ]) (?P<value>\d{{3}})(?P<doubt>[? ])","(?P<meal>[NBA])","(?P<comment>\d\d)", 00'
)
_HEADER = re.compile(r'P (?P<count>\d{3}),"(?P<serial>[0-9A-Z]{9})","(?P<unit>MG/DL |MMOL/L)"')
_SERIAL = re.compile(r'@ "(?P<serial>[0-9A-Z]{9})"')
_VERSION = re.compile(r"\?(?P<version>.+)")


def line_sum(data: bytes) -> str:
    """The 16-bit sum of all bytes, as four hexadecimal digits."""
    return f"{sum(data) & 0xFFFF:04X}"


def line_of(raw: bytes) -> str:
    """The text of a checked line; raises Garbled: missing_checksum, checksum."""
    if (found := _LINE.fullmatch(raw.lstrip(b"\r\n"))) is None:
        raise Garbled("missing_checksum")
    if found["sum"].upper().decode() != line_sum(found["text"]):
        raise Garbled("checksum")
    return found["text"].decode("ascii", "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """What stands above the records: how many they are, whose, and what the display shows."""

    count: int
    serial: str
    shown_unit: str


def serial_in(text: str) -> str | None:
    """The answer to DM@."""
    found = _SERIAL.fullmatch(text)
    return found and found["serial"]


def version_in(text: str) -> str | None:
    """The answer to DM?."""
    found = _VERSION.fullmatch(text)
    return found and found["version"].strip()


def clock_in(text: str) -> datetime | None:
    """The answer to DMF and DMT; raises Garbled("datetime_range")."""
    found = _CLOCK.fullmatch(text)
    return found and _time_in(found)


def dump_in(text: str) -> Dump | None:
    """The first line that answers DMP."""
    found = _HEADER.fullmatch(text)
    if found is None:
        return None
    unit = "mg/dL" if found["unit"] == "MG/DL " else "mmol/L"
    return Dump(count=int(found["count"]), serial=found["serial"], shown_unit=unit)


def result_in(text: str) -> Result | None:
    """One of the lines below it; raises Garbled: datetime_range, parity for a value the meter itself doubts."""
    found = _RECORD.fullmatch(text)
    if found is None:
        return None
    if found["doubt"] == "?":
        raise Garbled("parity")
    return Result(
        taken=_time_in(found),
        mg_dl=int(found["value"]),
        control=found["control"] == "C",
        meal=MEALS[found["meal"]],
        flags=(("after_meal",) if found["meal"] == "A" else ())
        + tuple(word for code, word in COMMENTS.items() if code == found["comment"]),
    )


def _time_in(found: re.Match[str]) -> datetime:
    try:
        return datetime.fromisoformat(f"20{found['year']}-{found['month']}-{found['day']}T{found['time']}")
    except ValueError:
        raise Garbled("datetime_range") from None


# --- packets: Ultra Easy, Ultra Mini -----------------------------------------------------------------------

STX, ETX = 0x02, 0x03
AROUND = 6  # STX, length, link control, ETX, CRC
SEQUENCE, EXPECTED, ACKNOWLEDGE, DISCONNECT, MORE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4

EASY_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - seconds of the meter's naive clock
VERIO_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001


def crc(data: bytes) -> bytes:
    """CRC-CCITT from FFFF, as it is sent: low byte first."""
    value = 0xFFFF
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ 0x1021 if value & 0x8000 else value << 1) & 0xFFFF
    return value.to_bytes(2, "little")


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One packet: its link control byte, and what it carries."""

    control: int
    payload: bytes

    def has(self, bit: int) -> bool:
        """Whether the link control says so."""
        return bool(self.control & bit)


def packet(control: int, payload: bytes = b"") -> bytes:
    """A packet's bytes."""
    framed = bytes([STX, AROUND + len(payload), control]) + payload + bytes([ETX])
    return framed + crc(framed)


def packet_of(data: bytes) -> Packet:
    """One packet. Raises Garbled: truncated, trailing_bytes, no_stx, length, grammar (no ETX), checksum."""
    if data and data[0] != STX:
        raise Garbled("no_stx")
    cursor = Cursor(data)
    cursor.take(1)
    size = cursor.u8()
    if size < AROUND:
        raise Garbled("length")
    control = cursor.u8()
    payload, end, declared = cursor.take(size - AROUND), cursor.u8(), cursor.take(2)
    cursor.end()
    if declared != crc(data[:-2]):
        raise Garbled("checksum")
    if end != ETX:
        raise Garbled("grammar")
    return Packet(control=control, payload=payload)


def packet_size(buffer: bytes) -> int:
    """For `framing.counted`: how long the packet in front is."""
    if len(buffer) < len((STX, AROUND)):
        return 0
    return buffer[1] if buffer[1] >= AROUND else -1


def time_from(epoch: datetime, seconds: int) -> datetime:
    """What a meter's clock shows after so many seconds."""
    return epoch + timedelta(seconds=seconds)


# --- packets in notifications: Verio Flex and its kin ------------------------------------------------------

WHOLE = 0x01  # one notification holds the whole packet
BLE_ACK = 0x81
SERVICE_BYTE = 0x03
SUCCESS = 0x06
STATUSES = {0x06: "success", 0x07: "not_allowed", 0x08: "not_supported", 0x09: "not_understood"}


def request(payload: bytes) -> bytes:
    """A request as it is written."""
    return bytes([WHOLE]) + packet(0, bytes([SERVICE_BYTE]) + payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a notification answers: a status, and data if it is SUCCESS."""

    status: int
    data: bytes


def answer_of(notification: bytes) -> Answer | None:
    """The answer in a notification; None for a bare acknowledgement. Raises Garbled as `packet_of`, fragment."""
    if notification == bytes([BLE_ACK]):
        return None
    if notification[:1] != bytes([WHOLE]):
        raise Garbled("fragment" if notification else "truncated")
    payload = packet_of(notification[1:]).payload
    if len(payload) < len((SERVICE_BYTE, SUCCESS)) or payload[0] != SERVICE_BYTE:
        raise Garbled("grammar")
    return Answer(status=payload[1], data=payload[2:])


def verio_result(data: bytes) -> Result | NoReading:
    """A record (answer to B3): time, mg/dL, control solution, a byte nobody knows, two flags of a test that is no
    glucose test, sensor status. Raises Garbled: truncated, trailing_bytes."""
    cursor = Cursor(data)
    taken, mg_dl, control = time_from(VERIO_EPOCH, cursor.u32()), cursor.u16(), cursor.u8()
    cursor.u8()
    no_glucose, sensor = cursor.u16(), cursor.u8()
    cursor.end()
    if no_glucose or sensor:
        return NoReading(why="not_a_glucose_test" if no_glucose else "sensor_status")
    return Result(taken=taken, mg_dl=mg_dl, control=control != 0)


# --- decoders ----------------------------------------------------------------------------------------------


def decode_sum(data: bytes) -> dict[str, Any]:
    """The sum of a line's text."""
    if not data:
        raise Garbled("truncated")
    return {"checksum16": line_sum(data)}


def decode_line(data: bytes) -> dict[str, Any]:
    """One line of an Ultra 2 as fields: its text, and what is known in it."""
    text = line_of(data)
    fields: dict[str, Any] = {"text": text, "checksum16": line_sum(text.encode("ascii", "replace"))}
    if serial := serial_in(text):
        fields["serial"] = serial
    elif version := version_in(text):
        fields["version"] = version
    elif clock := clock_in(text):
        fields["timestamp"] = clock.isoformat()
    elif dump := dump_in(text):
        fields |= {"count": dump.count, "serial": dump.serial, "display_unit": dump.shown_unit}
    elif result := result_in(text):
        fields |= _result_fields(result) | {"meal": text[-11:-10]}
    return fields


def decode_packet(data: bytes) -> dict[str, Any]:
    """One packet of an Ultra Easy as fields."""
    it = packet_of(data)
    return {
        "length": len(data),
        "sequence_number": it.has(SEQUENCE),
        "expect_receive": it.has(EXPECTED),
        "acknowledge": it.has(ACKNOWLEDGE),
        "disconnect": it.has(DISCONNECT),
        "more": it.has(MORE),
        "payload_hex": it.payload.hex(),
    }


def decode_answer(data: bytes) -> dict[str, Any]:
    """A notification of a Verio Flex as fields; a record by its length."""
    answer = answer_of(data)
    if answer is None:
        return {"acknowledge": True}
    fields: dict[str, Any] = {
        "acknowledge": False,
        "status": answer.status,
        "status_name": STATUSES.get(answer.status, "reserved"),
        "data_hex": answer.data.hex(),
    }
    if answer.status == SUCCESS and len(answer.data) == VERIO_RECORD_BYTES:
        result = verio_result(answer.data)
        fields |= {"no_reading": result.why} if isinstance(result, NoReading) else _result_fields(result)
    return fields


VERIO_RECORD_BYTES = 11


def _result_fields(it: Result) -> dict[str, Any]:
    return {"timestamp": it.taken.isoformat(), "glucose_mg_dl": it.mg_dl, "control": it.control}


DECODERS_ULTRA2: Mapping[str, Decoder] = {"lifescan.ultra2": decode_line, "lifescan.ultra2.sum": decode_sum}
DECODERS_ULTRAEASY: Mapping[str, Decoder] = {"lifescan.ultraeasy": decode_packet}
DECODERS_VERIO: Mapping[str, Decoder] = {"lifescan.verio": decode_answer}
