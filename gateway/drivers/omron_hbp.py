"""Omron's tunnel monitors HBP-9030, HBP-9031C and HBP-9020: a line of text for each measurement.

Two of the formats they can be set to are read: format 5, and the one that begins with `bp,`. How a result is
listened to is `tunnel`'s business, how the port is opened `gateway.transports`'.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.conversation import (
    Context,
    Decoder,
    Driver,
    Garbled,
    Record,
    SerialLine,
    Sighting,
    Talk,
    note,
)
from gateway.drivers.ble_common import NoReading
from gateway.drivers.cuff import record_of as cuff_record
from gateway.drivers.framing import Framer, ending
from gateway.drivers.tunnel import emit_each_result
from gateway.proof import Doubt, Proof

OMRON_USB = "0590:"
FORMAT5_BYTES, BP_BYTES = 53, 58
"""Every field has its width: a line of another length is another line than we think."""
BP = b"bp,"
OTHER_FORMATS = (BP, b"MMBP", b"ID", b"\x02")
"""How the formats begin that are not format 5; the last is the HBP-9020's."""

_FORMAT5 = re.compile(
    rb"(\d{4}),(\d\d),(\d\d),(\d\d),(\d\d),([ -~]{20}),(\d),(\d{3}|   ),(\d{3}|   ),(\d{3}|   ),(\d| )"
)
_BP = re.compile(
    rb"bp,([ -~]{20}),(\d{4})/(\d\d)/(\d\d),(\d\d):(\d\d),(\d{3}|   ),(\d{3}|   ),(\d{3}|   ),(\d{3}|   ),(\d| )"
)


def recognise(sighting: Sighting) -> bool:
    """A serial port of Omron's own. Behind an adapter the settings say what hangs there."""
    return sighting.usb_id.startswith(OMRON_USB) or "HBP-90" in sighting.name.upper()


def talk(context: Context) -> Talk:
    """Listen."""
    yield from note("maker", "Omron")
    yield from emit_each_result(context, Framer(ending(b"\r", b"\n")), made_of)


def made_of(line: bytes) -> Record | NoReading | None:
    """The reading in a line, or why it is none; None for the empty line between CR and LF. Raises Garbled.

    What the line was before its first byte got through does not matter: a line has one length, so noise in front
    of it can be left out. Noise within it has no such luck.
    """
    line = line.strip(b"\r\n")
    if not line:
        return None
    last = line[-FORMAT5_BYTES:]
    if _FORMAT5.fullmatch(last) is None and (at := line.rfind(BP)) >= 0:
        return record_of(bp(line[at:]))
    if line.startswith(OTHER_FORMATS):
        return NoReading(why="unsupported_format")
    return record_of(format5(last))


def record_of(it: "Result") -> Record | NoReading:
    """The reading in a result, or why it is none."""
    if it.is_format5 and it.error_code:
        return NoReading(why=f"error_{it.error_code}")
    flags = ("body_movement",) if it.movement else ()
    if not it.is_format5 and it.error_code:
        flags = (f"remark_{it.error_code}",)  # what it means is not public; a real line of values has it
    return cuff_record(
        it.systolic or 0,
        it.diastolic or 0,
        it.pulse or 0,
        mean=it.mean or 0,
        key=f"{it.time.isoformat(timespec='minutes')}#{it.systolic}/{it.diastolic}/{it.pulse}",
        at=it.time,
        flags=flags,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line. None is a blank field: a measurement that failed. `mean` and `movement` are one format's each."""

    is_format5: bool
    subject_id: str  # whatever was typed or scanned at the monitor: nobody's business here
    time: datetime
    error_code: int | None
    systolic: int | None
    mean: int | None = None
    diastolic: int | None
    pulse: int | None
    movement: int | None = None


def format5(line: bytes) -> Result:
    """A line of format 5, without its end; raises Garbled: unsupported_format, length, grammar, datetime_range."""
    if line.startswith(OTHER_FORMATS):
        raise Garbled("unsupported_format")
    if len(line) != FORMAT5_BYTES:
        raise Garbled("length")
    found = _FORMAT5.fullmatch(line)
    if found is None:
        raise Garbled("grammar")
    *moment, subject, error, systolic, diastolic, pulse, movement = found.groups()
    numbers = [_number(field) for field in (systolic, diastolic, pulse)]
    if None in numbers and (error == b"0" or any(numbers)):
        raise Garbled("grammar")  # all are blank after an error, or none
    return Result(
        is_format5=True,
        subject_id=subject.decode("ascii"),
        time=_time(*moment),
        error_code=_number(error),
        systolic=numbers[0],
        diastolic=numbers[1],
        pulse=numbers[2],
        movement=_number(movement),
    )


def bp(line: bytes) -> Result:
    """A line that begins with `bp,`, without its end; raises Garbled: unsupported_format, length, grammar,
    datetime_range."""
    if not line.startswith(BP):
        raise Garbled("unsupported_format")
    if len(line) != BP_BYTES:
        raise Garbled("length")
    found = _BP.fullmatch(line)
    if found is None:
        raise Garbled("grammar")
    subject, *moment, systolic, mean, diastolic, pulse, code = found.groups()
    return Result(
        is_format5=False,
        subject_id=subject.decode("ascii"),
        time=_time(*moment),
        error_code=_number(code),
        systolic=_number(systolic),
        mean=_number(mean),
        diastolic=_number(diastolic),
        pulse=_number(pulse),
    )


def decode_format5(data: bytes) -> dict[str, Any]:
    """A line of format 5, without its end, as fields."""
    it = format5(data)
    return {
        "time": it.time.isoformat(),
        "subject_id": it.subject_id,
        "error_code": it.error_code,
        "systolic": it.systolic,
        "diastolic": it.diastolic,
        "pulse": it.pulse,
        "movement": it.movement,
        "valid_reading": isinstance(record_of(it), Record),
    }


def decode_bp(data: bytes) -> dict[str, Any]:
    """A line that begins with `bp,` as fields; its end, CR or CR LF, may be there."""
    it = bp(data.removesuffix(b"\n").removesuffix(b"\r"))
    return {
        "subject_id": it.subject_id,
        "time": it.time.isoformat(),
        "systolic": it.systolic,
        "map": it.mean,
        "diastolic": it.diastolic,
        "pulse": it.pulse,
        "error_code": it.error_code,
    }


def _number(field: bytes) -> int | None:
    return int(field) if field.strip() else None


def _time(*fields: bytes) -> datetime:
    try:
        year, month, day, hour, minute = map(int, fields)
        return datetime(year, month, day, hour, minute)  # noqa: DTZ001 - naive, as the monitor says it
    except ValueError:
        raise Garbled("datetime_range") from None


DECODERS: Mapping[str, Decoder] = {"omron.hbp9030.format5": decode_format5, "omron.hbp.bp": decode_bp}

DRIVER = Driver(
    name="serial.omron_hbp",
    transport="serial",
    recognise=recognise,
    talk=talk,
    devices="Omron tunnel monitors HBP-9030, HBP-9031C (USB, function item 32 set to format 5) and HBP-9020 "
    "(RS-232, the format that begins with bp,).",
    source="Facts on format 5 in leon80148/BP_checker, which cites Omron's manual; a line of an HBP-9020 "
    "published in a hospital's client, which two more programs agree with.",
    quirks="A result is told once and there is no memory: while the gateway is down it is lost. The clock has "
    "no seconds and cannot be asked: a result is of when it came, unless it waited in the port while nobody "
    "listened. An error code makes numbers beside it worthless in format 5. In the other format the last "
    "digit's meaning is not public: it becomes a flag. The id typed at the monitor is not used. The 9020's "
    "speed is not public: say it in [[serial]] baud. Formats 1 to 3 and the 9020's STX format are refused by "
    "name.",
    proven_by="One line of a real HBP-9020, the unit tests of one public library for format 5, transcripts "
    "written by hand, a virtual monitor on a pseudo terminal. No conversation with a real one yet. That its "
    "USB port says 0590, Omron's number, is a guess: else name it in [[serial]].",
    proof=Proof.CAPTURED,
    doubts=frozenset({Doubt.MODELS}),
    line=SerialLine(baud=9600),
    decoders=DECODERS,
)
