"""Terumo's tunnel monitor ES-BR500: a block of text with a check byte for each measurement, and no line end.

How a result is listened to is `tunnel`'s business, how the port is opened `gateway.transports`'.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.conversation import Context, Decoder, Driver, Garbled, Record, SerialLine, Sighting, Talk, note
from gateway.drivers.ble_common import NoReading
from gateway.drivers.cuff import record_of as cuff_record
from gateway.drivers.framing import Framer, enclosed
from gateway.drivers.tunnel import emit_each_result
from gateway.proof import Doubt, Proof

STX, ETX = b"\x02", b"\x03"
RESULT = "R1"
FIELDS = ("record", "subject_id", "date", "time", "systolic", "map", "diastolic", "pulse")
"""What is known of a result; four fields of zeros stand behind."""
DATE_BYTES, TIME_BYTES = 6, 6
CENTURY = 2000


def recognise(sighting: Sighting) -> bool:
    """An adapter does not say what hangs on it: the settings do."""
    return False


def talk(context: Context) -> Talk:
    """Listen."""
    yield from note("maker", "Terumo")
    yield from note("model", "ES-BR500")
    yield from emit_each_result(context, Framer(enclosed(STX, ETX, after=1)), made_of)


def made_of(frame: bytes) -> Record | NoReading | None:
    """The reading in a block, or why it is none; raises Garbled."""
    return record_of(block(frame))


def record_of(it: "Block") -> Record | NoReading:
    """The reading in a block, or why it is none."""
    if it.record != RESULT:
        return NoReading(why="unsupported_record")
    return cuff_record(
        it.systolic,
        it.diastolic,
        it.pulse,
        mean=it.mean,
        key=f"{it.time.isoformat()}#{it.systolic}/{it.diastolic}/{it.pulse}",
        at=it.time,
        flags=("remark",) if it.has_remark else (),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One result. `rest`: the fields nobody has described."""

    record: str
    subject_id: str
    time: datetime
    systolic: int
    mean: int
    diastolic: int
    pulse: int
    rest: tuple[str, ...]

    @property
    def has_remark(self) -> bool:
        """Whether something stands in the fields nobody has described."""
        return any(field.strip("0 ") for field in self.rest)


def block(frame: bytes) -> Block:
    """STX, text, ETX, check byte; raises Garbled: truncated, grammar, trailing_bytes, checksum, datetime_range."""
    if not frame.startswith(STX):
        raise Garbled("grammar" if frame else "truncated")
    end = frame.find(ETX)
    if not 0 <= end < len(frame) - 1:
        raise Garbled("truncated")
    if end + 2 != len(frame):
        raise Garbled("trailing_bytes")
    if bcc(frame[: end + 1]) != frame[-1]:
        raise Garbled("checksum")
    if not frame[1:end].isascii():
        raise Garbled("grammar")
    fields = frame[1:end].decode("ascii").split(",")
    if len(fields) < len(FIELDS):
        raise Garbled("truncated")
    record, subject, date, time, *numbers = fields[: len(FIELDS)]
    return Block(
        record=record,
        subject_id=subject,
        time=_time(date, time),
        **dict(zip(("systolic", "mean", "diastolic", "pulse"), map(_number, numbers), strict=True)),
        rest=tuple(fields[len(FIELDS) :]),
    )


def bcc(data: bytes) -> int:
    """The check byte: the sum of all from STX to ETX, both included, in eight bits."""
    return sum(data) & 0xFF


def decode_block(data: bytes) -> dict[str, Any]:
    """A result as fields."""
    it = block(data)
    return {
        "record": it.record,
        "subject_id": it.subject_id,
        "time": it.time.isoformat(),
        "systolic": it.systolic,
        "map": it.mean,
        "diastolic": it.diastolic,
        "pulse": it.pulse,
        "rest": list(it.rest),
    }


def decode_bcc(data: bytes) -> dict[str, Any]:
    """The check byte that belongs behind these bytes, as a field."""
    if not data:
        raise Garbled("truncated")
    return {"bcc": bcc(data)}


def _number(field: str) -> int:
    """0 where nothing stands."""
    if not field.strip(" "):
        return 0
    if not (field.isascii() and field.isdigit()):
        raise Garbled("grammar")
    return int(field)


def _time(date: str, time: str) -> datetime:
    if not (len(date) == DATE_BYTES and len(time) == TIME_BYTES and (date + time).isdigit()):
        raise Garbled("grammar")
    told = date + time
    year, month, day, hour, minute, second = (int(told[at : at + 2]) for at in range(0, len(told), 2))
    try:
        return datetime(CENTURY + year, month, day, hour, minute, second)  # noqa: DTZ001 - naive, as the monitor says it
    except ValueError:
        raise Garbled("datetime_range") from None


DECODERS: Mapping[str, Decoder] = {"terumo.br500": decode_block, "terumo.bcc": decode_bcc}

DRIVER = Driver(
    name="serial.terumo",
    transport="serial",
    recognise=recognise,
    talk=talk,
    devices="Terumo tunnel monitor ES-BR500 (BR-500, BP-500) on RS-232.",
    source="A captured result in a public project's tests, with its check byte's rule; two more programs read "
    "the same fields at the same places.",
    quirks="A result is told once and there is no memory: while the gateway is down it is lost. No line end "
    "follows. What the last four fields say is not public: where they are not zero, the reading is flagged. "
    "The clock cannot be asked: a result is of when it came, unless it waited in the port while nobody "
    "listened. The id is not used.",
    proven_by="One captured result, whose check byte its publisher computed, transcripts written by hand, a "
    "virtual monitor on a pseudo terminal. No conversation with a real one yet; how it tells a failed "
    "measurement is not known (a pressure of 0 is taken for one).",
    proof=Proof.CAPTURED,
    doubts=frozenset({Doubt.ERRORS}),
    line=SerialLine(baud=9600),
    decoders=DECODERS,
)
