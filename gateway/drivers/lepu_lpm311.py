"""The Lepu / Litcare LPM-311 lipid meter over Bluetooth: one record of text, asked for with one word.

Nobody has published a record of one: the layout is from the maker's kit and from an app of the maker.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from gateway.conversation import Context, Decoder, Driver, Garbled, Record, Sighting, Step, Talk, note
from gateway.drivers.ble_common import NoReading, emit_or_note
from gateway.drivers.ble_line import Line, open_line, say
from gateway.drivers.ble_time import step_s
from gateway.drivers.cursor import exactly
from gateway.drivers.framing import Framer, counted, next_frame
from gateway.proof import Proof
from gateway.units import canonical
from gateway.wire.messages import Shown
from gateway.wire.vocabulary import Kind, OffScale

SERVICE = "ffe0"
LINE = Line(listen="ffe1", say=("ffe1",))
NAME = "LPM311"
"""The service is a Bluetooth module's that many makers buy: only the name tells whose meter it is."""

RECORD_BYTES = 44
ANSWER_TIMEOUT_S = 5.0
"""Three notifications follow the word at once."""
IDLE_TIMEOUT_S = 1.0
"""Whatever else it has to say has come by then; the result is on disk already."""
TRIES = 2


def recognise(sighting: Sighting) -> bool:
    """By its name."""
    return sighting.name.startswith(NAME)


def talk(context: Context) -> Talk:
    """Asks for the result on the display and, when it is on disk, lets the meter go. Raises Garbled."""
    line = yield from open_line((LINE,))
    yield from note("maker", "Lepu")
    yield from note("model", "LPM-311")
    for _ in range(TRIES):
        yield from say(line, b"connect")
        if (yield from _emit_what_is_told(line)):
            yield from say(line, b"disconnect")
            return
    raise Garbled("no_result")


def _emit_what_is_told(line: Line) -> Step[bool]:
    """Emits what comes until silence; whether a whole record was among it."""
    framer, told, timeout_s = Framer(_RECORDS), False, ANSWER_TIMEOUT_S
    while data := (yield from next_frame(framer, timeout_s, channel=line.listen)):
        try:
            made = record_of(result(data))
        except Garbled as garbled:
            yield from note("error", f"garbled_{garbled.error}")
            continue
        told, timeout_s = True, IDLE_TIMEOUT_S
        yield from emit_or_note(made)
    if framer.flush() or framer.skipped:
        yield from note("error", "garbled_line")
    return told


_UNITS = {"0": "mmol/L", "1": "mg/dL"}
_MEASURES = {
    "total_cholesterol_mmol_l": {"mmol/L": ("2.59", "12.93"), "mg/dL": ("100", "500")},
    "hdl_mmol_l": {"mmol/L": ("0.39", "2.59"), "mg/dL": ("15", "100")},
    "triglyceride_mmol_l": {"mmol/L": ("0.51", "7.34"), "mg/dL": ("45", "650")},
}
"""What it measures, from the maker's kit: a number below is shown as `<`, above as `>`."""


def record_of(it: "Result") -> Record | NoReading:
    """The lipid panel in a result, as far as it was measured. LDL is not: apps compute it, the meter does not."""
    values: dict[str, Decimal] = {}
    beyond: dict[str, OffScale] = {}
    shown: list[Shown] = []
    for quantity, number in it.numbers().items():
        if number is None:
            continue
        least, most = map(Decimal, _MEASURES[quantity][it.unit])
        if number < least:
            beyond[quantity] = OffScale.LO
        elif number > most:
            beyond[quantity] = OffScale.HI
        else:
            values[quantity] = canonical(quantity, number, it.unit)
            shown.append(Shown(quantity=quantity, value=str(number), unit=it.unit))
    if not values and not beyond:
        return NoReading(why="no_value")
    return Record(
        kind=Kind.LIPID_PANEL,
        key=it.at.isoformat(),
        values=values,
        off_scale=beyond,
        shown=tuple(shown),
        device_time=it.at,
        time_step_s=step_s(it.at),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One result, in `unit`; None is what was not measured."""

    at: datetime  # naive
    unit: str
    total_cholesterol: Decimal | None
    hdl: Decimal | None
    triglyceride: Decimal | None
    user: str

    def numbers(self) -> dict[str, Decimal | None]:
        """By quantity."""
        return {
            "total_cholesterol_mmol_l": self.total_cholesterol,
            "hdl_mmol_l": self.hdl,
            "triglyceride_mmol_l": self.triglyceride,
        }


_FIELD = r"([0-9a-f]{8})"
_LAYOUT = re.compile(rf"([0-9]{{14}}).{_FIELD}{_FIELD}{_FIELD}.([0-9])(.{{3}})", re.IGNORECASE | re.DOTALL)


def result(data: bytes) -> Result:
    """One record; raises Garbled: length, grammar, datetime_range, unknown_unit."""
    found = _LAYOUT.fullmatch(exactly(data, RECORD_BYTES).decode("latin-1"))
    if found is None:
        raise Garbled("grammar")
    time, total_cholesterol, hdl, triglyceride, unit, user = found.groups()
    try:
        at = datetime.strptime(time, "%Y%m%d%H%M%S")  # noqa: DTZ007 - naive, as the meter says it
    except ValueError:
        raise Garbled("datetime_range") from None
    if unit not in _UNITS:
        raise Garbled("unknown_unit")
    return Result(
        at=at,
        unit=_UNITS[unit],
        total_cholesterol=_number(total_cholesterol, _UNITS[unit]),
        hdl=_number(hdl, _UNITS[unit]),
        triglyceride=_number(triglyceride, _UNITS[unit]),
        user=user.strip(" \0\r\n"),
    )


def _number(field: str, unit: str) -> Decimal | None:
    """Eight hexadecimal digits: hundredths of a mmol/L, or whole mg/dL; f... is what was not measured."""
    if field[0] in "fF":
        return None
    number = Decimal(int(field, 16))
    return number.scaleb(-2) if unit == "mmol/L" else number


def _size(buffer: bytes) -> int:
    return RECORD_BYTES if buffer[:14].isdigit() else -1


_RECORDS = counted((b"20",), _size)
"""A record begins with its year; nothing else tells where one begins."""


def decode_record(data: bytes) -> dict[str, Any]:
    """One record as fields."""
    it = result(data)
    return {
        "time": it.at.isoformat(),
        "unit": it.unit,
        "total_cholesterol": it.total_cholesterol,
        "hdl": it.hdl,
        "triglyceride": it.triglyceride,
        "user": it.user,
    }


DECODERS: Mapping[str, Decoder] = {"lepu.lpm311": decode_record}

DRIVER = Driver(
    name="ble.lpm311",
    transport="ble",
    recognise=recognise,
    talk=talk,
    devices="Lepu (Litcare) LPM-311 lipid meter.",
    source="Lepu's Bluetooth kit (viatomEcho/LepuBle, Lpm311BleInterface and Lpm311Data), its app for the PC-700.",
    quirks="LDL is not measured: apps compute it, and Kangdock does not call it a measured value. A number beyond "
    "what the meter measures is HI or LO, as the maker's kit shows it. It has one result at a time, named by its "
    "time. The clock cannot be read or set. The user field is not believed: nobody says what it means.",
    proven_by="Nothing real: no record of an LPM-311 is public, so the layout is what two programs of its maker "
    "read. Transcripts written by hand, a virtual meter. Compare the first results with the display.",
    proof=Proof.ONE_SOURCE,
    services=frozenset({SERVICE}),
    names=(NAME,),
    decoders=DECODERS,
)
