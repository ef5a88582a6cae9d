"""CardioChek PA and Plus: lipid panels and single strips, told as a label for a printer.

The meter takes whoever listens for a label printer and speaks EPL2, the page language of Eltron and Zebra: `N`
clears the page, `A...` sets a line of text, `P1` prints. How the port is opened is `gateway.transports`' business.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
from gateway.proof import Doubt, Proof
from gateway.wire.vocabulary import Kind

QUIET_S = 5.0
"""A label of 500 bytes takes half a second at 9600 baud; after five of silence no more of it will come."""
AFTER_JOB_S = 1.0
"""After the blank label that ends a job. Not zero: the next customer's label may stand in the same bytes."""

QUANTITIES: Mapping[str, tuple[Kind, str]] = {
    "CHOL": (Kind.LIPID_PANEL, "total_cholesterol_mmol_l"),
    "TRIG": (Kind.LIPID_PANEL, "triglyceride_mmol_l"),
    "HDL CHOL": (Kind.LIPID_PANEL, "hdl_mmol_l"),
    "CALC LDL": (Kind.LIPID_PANEL, "ldl_mmol_l"),
    "GLUCOSE": (Kind.GLUCOSE, "glucose_mmol_l"),
    "KETONE": (Kind.KETONE, "ketone_mmol_l"),
}
"""What the lines of a label are called, in the order they are printed."""
DERIVED = frozenset({"TC/HDL"})
"""Follows from two other lines: left out without a word."""

HEADER_LINES = 5
"""Serial number, date, time, result or ID, lot: told by their places, as the words before the colons are in the
meter's language and arrive as question marks."""


def recognise(sighting: Sighting) -> bool:
    """A Bluetooth serial port, by the meter's name. Of a wire the settings say what hangs on it."""
    return sighting.name.lower().startswith("cardiochek")


def talk(context: Context) -> Talk:
    """Listens to labels until the line is quiet. A label counts when `P1` prints it, or not at all."""
    yield from note("maker", "PTS Diagnostics")
    yield from note("model", "CardioChek")
    lines = Framer(ending(b"\n"))
    label = Label()
    while (raw := (yield from next_frame(lines, AFTER_JOB_S if label.ends_job else QUIET_S))) is not None:
        try:
            said = line_of(raw)
        except Garbled as garbled:
            label.spoil(f"garbled_{garbled.error}")
            continue
        if isinstance(said, Text):
            label.add(said)
        elif said in ENDS_LABEL:
            yield from _close(label, printed=said == PRINT)
            label = Label(ends_job=label.is_blank)
    if lines.flush().strip(b"\0\r"):
        label.spoil("label_cut_off")
    yield from _close(label, printed=False)


def _close(label: "Label", *, printed: bool) -> Step[None]:
    """Emits what a printed label holds. One that was never printed, or that lost a line on its way, is no smaller
    panel: it would take the name of the whole one, and the whole one, printed again, would count as known."""
    if wrong := label.wrong(printed=printed):
        yield from note("error", wrong)
        return
    try:
        made = list(records_of(label))
    except Garbled as garbled:
        made = [NoReading(why=f"garbled_{garbled.error}")]
    if made:
        yield from note("serial", label.header.serial)  # "" too: the label before may be another meter's
    for each in made:
        yield from emit_or_note(each)


def records_of(label: "Label") -> Iterator[Record | NoReading]:
    """What a label holds: a record of each kind. Raises Garbled: unknown_unit, unknown_line, grammar, said_twice.

    A line nobody knows may be one we know with a letter lost on the way: there is no checksum.
    """
    header, results = label.header, label.results()
    if not results.keys() <= QUANTITIES.keys() | DERIVED | printed_results.UNSUPPORTED:
        raise Garbled("unknown_line")
    yield from printed_results.records_of(
        results,
        QUANTITIES,
        key_of=lambda numbers: key_of(header, numbers),
        taken_at=header.taken_at,
        flags=("time_fault",) if header.date and header.taken_at is None else (),
    )


def key_of(header: "Header", numbers: str) -> str:
    """The label's own name: date, time, lot and numbers, as they are printed; "" on a label without a date.

    The clock has no seconds and begins again with a new battery; lot and numbers keep two tests apart.
    """
    return f"{header.date} {header.time}#{header.lot}#{numbers}" if header.date else ""


# --- what stands on a label --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first lines of a label, as printed; "" for what is not there."""

    serial: str = ""
    date: str = ""
    time: str = ""
    identity: str = ""
    lot: str = ""

    @property
    def taken_at(self) -> datetime | None:
        """When it was measured; None for a date no calendar has, or a format nobody has seen."""
        try:
            year, month, day = _DATE.split(self.date)
            return datetime.fromisoformat(f"{year}-{month:0>2}-{day:0>2}T{self.time:0>5}")
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text that stands `y` dots from the top."""

    y: int
    text: str


@dataclass(slots=True, kw_only=True)
class Label:
    """The lines of one page so far. `ends_job`: the label before it was the blank one that a job ends with."""

    lines: list[Text] = field(default_factory=list)
    ends_job: bool = False
    error: str = ""  # why this label cannot be believed: the first thing that was wrong

    def add(self, line: Text) -> None:
        """Takes a line in; each must stand below the last, and as far below it as that below the one before."""
        if self.lines and line.y <= self.lines[-1].y:
            self.spoil("garbled_line_order")
        elif len(self.lines) > 1 and line.y - self.lines[-1].y != self.lines[1].y - self.lines[0].y:
            self.spoil("garbled_line_missing")
        if len(self.lines) == MAX_LINES:
            self.spoil("garbled_too_many_lines")
        else:
            self.lines.append(line)

    def spoil(self, why: str) -> None:
        """Something on the way of this label was lost or changed."""
        self.error = self.error or why

    @property
    def is_blank(self) -> bool:
        """Whether there are lines and nothing on them."""
        return bool(self.lines) and not any(line.text.strip() for line in self.lines)

    def wrong(self, *, printed: bool) -> str:
        """Why nothing can be taken from it, in one word; "" if all is well or there is nothing on it."""
        if self.error or self.is_blank or not self.lines:
            return self.error
        return "" if printed else "label_cut_off"

    def _split(self) -> int:
        for at, line in enumerate(self.lines[:HEADER_LINES]):
            if _name(line) in QUANTITIES.keys() | DERIVED | printed_results.UNSUPPORTED:
                return at
        return HEADER_LINES

    @property
    def header(self) -> Header:
        """The lines above the first result. Their places count from the date, which looks like nothing else."""
        said = [line.text.partition(":")[2].strip() for line in self.lines[: self._split()]]
        at = next((at for at, text in enumerate(said) if _DATE_LINE.fullmatch(text)), None)
        if at is None:
            return Header()
        after = said[at + 1 :]
        clock = after[0] if after and _TIME_LINE.fullmatch(after[0]) else ""
        rest = after[1:] if clock else after
        serial = said[at - 1] if at else ""
        return Header(
            serial=serial if _SERIAL.fullmatch(serial) else "",
            date=said[at],
            time=clock,
            identity=rest[0] if len(rest) > 1 else "",
            lot=rest[-1] if rest else "",
        )

    def results(self) -> dict[str, Result]:
        """The lines below the header, by name; raises Garbled: grammar, said_twice."""
        below = [line for line in self.lines[self._split() :] if line.text.strip()]
        results = {_name(line): result_of(line.text) for line in below}
        if len(results) < len(below):
            raise Garbled("said_twice")
        return results


MAX_LINES = 100
"""The longest label seen has twelve lines."""

_DATE = re.compile(r"[ ./-]+")
_DATE_LINE = re.compile(r"\d{4}[ ./-]+\d{1,2}[ ./-]+\d{1,2}")
_TIME_LINE = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")
_SERIAL = re.compile(r"(?=.*[1-9A-Z])[0-9A-Z-]{4,}")  # all zeros are nobody's number
_DASHES = re.compile(r"-{2,}\s*([A-Za-z%].*)?")


def _name(line: Text) -> str:
    return " ".join(line.text.partition(":")[0].split()).upper()


def result_of(text: str) -> Result:
    """What stands behind the colon of a result; raises Garbled("grammar")."""
    said = text.partition(":")[2].strip()
    return Result() if _DASHES.fullmatch(said) else printed_results.result_of(said)


# --- the lines of the page language ------------------------------------------------------------------------

CLEAR, PRINT, OTHER = "clear", "print", "other"
ENDS_LABEL = frozenset({CLEAR, PRINT})

_TEXT = re.compile(r'A\d+,(?P<y>\d+),[0-3],\w,\d+,\d+,[NR],"(?P<text>.*)"')
_PRINT = re.compile(r"P\d+(,\d+)?")
_SETUP = re.compile(r"[qQSDRZIJO][A-Z]?[\d,A-Z+-]{0,20}")  # width, length, speed, density: nothing about a person


def line_of(raw: bytes) -> Text | str:
    """One line: its text, or CLEAR, PRINT, or OTHER for what says nothing about a result.

    Raises Garbled: truncated, grammar.
    The Bluetooth module strews zero bytes anywhere; they belong to nothing.
    """
    line = raw.replace(b"\0", b"").decode("ascii", "replace").strip("\r\n")
    if (found := _TEXT.fullmatch(line)) is not None:
        return Text(int(found["y"][-_Y_DIGITS:]), found["text"].replace('\\"', '"').replace("\\\\", "\\"))
    match line.strip():
        case "N":
            return CLEAR
        case printing if _PRINT.fullmatch(printing):
            return PRINT
        case other if not other or _SETUP.fullmatch(other):
            return OTHER
        case _:
            raise Garbled("truncated" if line.startswith("A") and line.count('"') < len('""') else "grammar")


_Y_DIGITS = 6


def decode_job(data: bytes) -> dict[str, Any]:
    """The lines of a print job, or some of them, as fields: `printed` tells whether a `P` came."""
    if not data:
        raise Garbled("truncated")
    lines = [line_of(raw) for raw in data.split(b"\n")]
    label = Label()
    for line in lines:
        if isinstance(line, Text) and (line.text.strip() or not label.lines):
            label.add(line)
    header = label.header
    fields: dict[str, Any] = {
        "printed": PRINT in lines,
        "results": {name: result.fields() for name, result in label.results().items()},
    }
    if header.date:
        fields |= {
            "serial": header.serial,
            "timestamp": None if header.taken_at is None else header.taken_at.isoformat(),
            "identity": header.identity,
            "lot": header.lot,
        }
    return fields


DECODERS: Mapping[str, Decoder] = {"cardiochek.epl2": decode_job}

DRIVER = Driver(
    name="serial.cardiochek",
    transport="serial",
    recognise=recognise,
    talk=talk,
    devices="CardioChek PA and CardioChek Plus (PTS Diagnostics; in China 卡迪克): lipid panel, and single "
    "strips for cholesterol, HDL, triglycerides, glucose and ketone. On the serial printer port, or the "
    "Bluetooth printer profile as a serial port (rfcomm).",
    source="A label captured from a CardioChek PA: chendang/ekeng_monitor-android LipidData.java; lines of it "
    "again in com.cking.phss BluetoothClient4CardioChek.java and NET201X/KangShuoTech. EPL2: Eltron Programming "
    "Language.",
    quirks="It prints once, asks for no answer, may print an old result again (so that a label is of the time "
    "on it), and has no memory that could be asked for over the line: the bytes are in the journal before they "
    "are read. A label that stops in the middle, lacks a line or has a damaged one gives no reading at all, "
    "not a smaller panel; print it again. The unit is what each line says. '<' and '>' are HI and LO, dashes "
    "are a value the meter could not compute. TC/HDL follows from two other lines and is left out; creatinine "
    "is not kept. Lines have no checksum: a digit changed on the way is not noticed. Control tests look like "
    "any other. An adapter that waits for the word SEND is not asked.",
    proven_by="One captured label (a panel in mmol/L with values below range) and single lines in two other "
    "programs, transcripts written by hand, a virtual meter. No conversation with a real one yet; mg/dL, '>', "
    "single strips and a label with other distances between its lines have not been seen.",
    proof=Proof.CAPTURED,
    doubts=frozenset({Doubt.VALUES, Doubt.UNITS, Doubt.OFF_SCALE}),
    line=SerialLine(baud=9600),
    decoders=DECODERS,
)
