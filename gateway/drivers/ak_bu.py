"""The AK blood chemistry module (血生化) of KangShuo kiosks: a slip of text for each test, on a serial line.

The strips are CardioChek's; the text is not a label but lines of `name: value`, and three line ends close it.
"""

import re
from collections.abc import Iterator, Mapping
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
    Step,
    Talk,
    note,
)
from gateway.drivers import printed_results
from gateway.drivers.ble_common import NoReading, emit_or_note
from gateway.drivers.framing import Framer, ending, next_frame
from gateway.drivers.printed_results import Result
from gateway.proof import Proof
from gateway.wire.vocabulary import Kind

QUIET_S = 5.0
"""A slip of some hundred bytes takes a fraction of a second at 9600 baud; the kiosk's program waits as long."""
END = b"\r\n\r\n\r\n"

QUANTITIES: Mapping[str, tuple[Kind, str]] = {
    "CHOL": (Kind.LIPID_PANEL, "total_cholesterol_mmol_l"),
    "HDL": (Kind.LIPID_PANEL, "hdl_mmol_l"),
    "TRIG": (Kind.LIPID_PANEL, "triglyceride_mmol_l"),
    "LDL": (Kind.LIPID_PANEL, "ldl_mmol_l"),
    "GLUCOSE": (Kind.GLUCOSE, "glucose_mmol_l"),
    "KETONE": (Kind.KETONE, "ketone_mmol_l"),
}


def recognise(sighting: Sighting) -> bool:
    """Never by itself: an adapter does not say what hangs on it, so the settings do."""
    return False


def talk(context: Context) -> Talk:
    """Listens to slips until the line is quiet. A slip counts when it has come to its end."""
    yield from note("model", "AK blood chemistry")
    slips = Framer(ending(END))
    while (raw := (yield from next_frame(slips, QUIET_S))) is not None:
        if raw.strip():
            yield from _take(raw)
    if slips.flush().strip():
        yield from note("error", "slip_cut_off")


def _take(raw: bytes) -> Step[None]:
    if len(_BEGIN.findall(raw)) > 1:
        yield from note("error", "slip_cut_off")  # and another one follows it
    try:
        made = list(records_of(slip_of(raw)))
    except Garbled as garbled:
        made = [NoReading(why=f"garbled_{garbled.error}")]
    for each in made:
        yield from emit_or_note(each)


def records_of(slip: "Slip") -> Iterator[Record | NoReading]:
    """What a slip holds, a record for each kind; raises Garbled("unknown_unit")."""
    return printed_results.records_of(
        slip.results, QUANTITIES, key_of=lambda numbers: key_of(slip, numbers), taken_at=slip.taken_at
    )


def key_of(slip: "Slip", numbers: str) -> str:
    """The slip's own name: what it says besides results, and the numbers; "" unless a date and a time are in it,
    as two people's slips might then be the same."""
    return f"{'|'.join(slip.header)}#{numbers}" if slip.is_dated else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """One slip: its results by name, and the other lines from ID on, as they are printed."""

    header: tuple[str, ...]
    results: dict[str, Result]

    @property
    def is_dated(self) -> bool:
        """Whether a date and a time are in it."""
        text = " ".join(self.header)
        return _DATE.search(text) is not None and _TIME.search(text) is not None

    @property
    def taken_at(self) -> datetime | None:
        """When it was measured, if the year comes first; another order is nobody's to guess."""
        text = " ".join(self.header)
        date, time = _DATE.search(text), _TIME.search(text)
        if date is None or time is None or len(date[1]) != len("2026"):
            return None
        try:
            return datetime.fromisoformat(f"{date[1]}-{date[2]:0>2}-{date[3]:0>2}T{time[0]:0>5}")
        except ValueError:
            return None


_BEGIN = re.compile(rb"^ID", re.MULTILINE)
_UNIT = re.compile(r"\d *(mmol|mg|[uµ]mol)", re.IGNORECASE)
_DATE = re.compile(r"\b(\d{2,4})[-/. ](\d{1,2})[-/. ](\d{1,4})\b")
_TIME = re.compile(r"\b\d{1,2}:\d{2}(:\d{2})?\b")


def slip_of(raw: bytes) -> Slip:
    """The slip in a block of text, from its last line that begins with ID.

    Raises Garbled: truncated (no end), grammar, said_twice, unknown_line, no_result.
    """
    if not raw.endswith(END):
        raise Garbled("truncated")
    begins = [found.start() for found in _BEGIN.finditer(raw)]
    if not begins:
        raise Garbled("grammar")
    header, results = [], {}
    for line in raw[begins[-1] :].decode("ascii", "replace").split("\r\n"):
        name, colon, said = (part.strip() for part in line.partition(":"))
        if name not in QUANTITIES.keys() | printed_results.UNSUPPORTED or not colon:
            header += [line.strip()] if line.strip() else []
        elif name in results:
            raise Garbled("said_twice")
        else:
            results[name] = _result_of(said)
    if any(_UNIT.search(line) for line in header):  # it may be a result we know, with a letter lost on the way
        raise Garbled("unknown_line")
    if not results:
        raise Garbled("no_result")
    return Slip(header=tuple(header), results=results)


def _result_of(said: str) -> Result:
    return Result() if said.startswith("NA") or not said.strip("- ") else printed_results.result_of(said)


def decode_slip(data: bytes) -> dict[str, Any]:
    """One slip as fields."""
    slip = slip_of(data)
    return {
        "header": list(slip.header),
        "timestamp": None if slip.taken_at is None else slip.taken_at.isoformat(),
        "results": {name: each.fields() for name, each in slip.results.items()},
    }


DECODERS: Mapping[str, Decoder] = {"ak.bu": decode_slip}

DRIVER = Driver(
    name="serial.ak_bu",
    transport="serial",
    recognise=recognise,
    talk=talk,
    devices="The AK blood chemistry module (血生化) of KangShuo health kiosks: lipid panel, glucose, ketone.",
    source="NET201X/KangShuoTech ClsQCTDeviceComAKBU.cs, which reads its slips.",
    quirks="It prints once and asks for no answer. The unit is what each line says; '<' and '>' are HI and LO, "
    "NA is no value. Whether a slip is dated, and how, is not known: without a date and a time it has no name of "
    "its own, and printed twice it is two readings. Creatinine is not kept.",
    proven_by="One public program that reads it; no slip is public, and what stands above the results is not "
    "known. Transcripts written by hand. Not proven with a real one.",
    proof=Proof.ONE_SOURCE,
    line=SerialLine(baud=9600),
    decoders=DECODERS,
)
