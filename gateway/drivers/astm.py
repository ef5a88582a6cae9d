"""Analysers that speak ASTM on a serial line: they are answered frame by frame, and what they measured is taken.

A message's last frame is acknowledged only when everything in it is on disk: until then the analyser keeps it, and
sends it again. Frames and records are `astm_frames`'.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from gateway.conversation import (
    Context,
    Driver,
    Garbled,
    Record,
    SerialLine,
    Sighting,
    Step,
    Talk,
    emit,
    note,
    write,
)
from gateway.drivers.astm_frames import DECODERS, Order, Receiver, Row, cut, messages_in, orders_in, rows_of
from gateway.drivers.ble_common import NoReading
from gateway.drivers.ble_time import step_s
from gateway.drivers.framing import Framer, next_frame
from gateway.proof import Doubt, Proof
from gateway.units import canonical
from gateway.wire.messages import Purpose, Shown
from gateway.wire.vocabulary import QUANTITIES, Kind, OffScale

A_DAY_S = 24 * 60 * 60
RECEIVER_TIMEOUT_S = 30.0
"""E1381: a receiver that has waited so long for a frame gives the transfer up."""
QUIET_S = 5.0
"""Between transfers: several messages follow each other at once; after this the conversation is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyser:
    """One make: how its H record's sender begins, where its serial number and software stand in it, and its tests.

    A test's code is component 4 of R 3, up to `code_ends` where something else is written behind it. `tests` has
    a quantity for each code that is kept, and "" for one that is known and is not. `sure`: how codes are known.
    """

    sender: re.Pattern[str]
    maker: str
    model: str
    serial_at: int
    firmware_at: int = 0
    tests: Mapping[str, str]
    code_ends: str = ""
    sure: str

    def code_in(self, result: Row) -> str:
        """What it calls the test."""
        said = result.component(3, 4)
        return said.partition(self.code_ends)[0].strip() if self.code_ends else said


ANALYSERS: tuple[Analyser, ...] = (
    Analyser(
        sender=re.compile(r"Afinion"),
        maker="Abbott",
        model="Afinion",
        serial_at=3,
        tests={
            "HbA1c": "hba1c_percent",
            "Chol": "total_cholesterol_mmol_l",
            "HDL": "hdl_mmol_l",
            "Trig": "triglyceride_mmol_l",
            "LDL": "ldl_mmol_l",
            "CRP": "",
            "ACR": "",
            "Alb": "",
            "Creat": "",
        },
        sure="HbA1c from a capture; Chol, Trig, CRP, ACR, Alb, Creat from senaite.astm abbott_afinion2.py, which "
        "follows the maker's interface description; HDL and LDL are expected to be called so.",
    ),
    Analyser(
        sender=re.compile(r"DCA VANTAGE", re.IGNORECASE),
        maker="Siemens",
        model="DCA Vantage",
        firmware_at=2,
        serial_at=3,
        tests={"HbA1c": "hba1c_percent", "Alb": "", "Crt": "", "Ratio": ""},
        sure="Alb, Crt and Ratio (urine) from a capture; HbA1c by the name that senaite.astm dca_vantage.py, "
        "after the maker's document 17306, gives the result.",
    ),
    Analyser(
        sender=re.compile(r"c311\^"),
        maker="Roche",
        model="cobas c 311",
        serial_at=0,
        tests={"717": "glucose_mmol_l", "685": "", "687": ""},
        code_ends="/",  # and a dilution
        sure="717 from captures with glucose in mmol/L and mg/dL, 685 and 687 (ALT, AST) from the same.",
    ),
    Analyser(
        sender=re.compile(r"[^^]*\^Roche\^c111\^"),
        maker="Roche",
        model="cobas c 111",
        firmware_at=4,
        serial_at=6,
        tests={"687": ""},
        sure="687 (AST) from a capture. A laboratory numbers tests itself (Host Interface Manual 2.1, 6.1.2.4).",
    ),
)
"""Whose codes are public. What is not here is noted, not guessed: GLU is blood here, and urine there."""

UNITS = {"mmol/l": "mmol/L", "mg/dl": "mg/dL", "umol/l": "µmol/L", "µmol/l": "µmol/L"}
"""In lower case, where `gateway.units` writes them otherwise."""
FINAL = frozenset({"", "F", "C", "R"})
"""Result status (field 9): final, corrected, or sent before. P, I, S and others are still to change."""
ABORTED = frozenset({"T", "R", "E"})
"""How an L record says (field 3) that its message ended before its time: the analyser sends it again."""
URINE = frozenset({"S2", "2"})
"""cobas sample types that are no blood: in the instrument's specimen (O 4.5) or the descriptor (O 16)."""


def recognise(sighting: Sighting) -> bool:
    """Nothing tells before it speaks: the settings say which port it is on."""
    return False


def talk(context: Context) -> Talk:
    """Receives transfers until the line is quiet: each message on disk first, then its last frame acknowledged."""
    pieces = Framer(cut)
    receiver = Receiver()
    while (
        piece := (yield from next_frame(pieces, RECEIVER_TIMEOUT_S if receiver.in_transfer else QUIET_S))
    ) is not None:
        if pieces.noise():
            yield from note("error", "garbled_bytes")
        heard = receiver.hear(piece)
        if heard.error:
            yield from note("error", heard.error)
        if heard.message:
            yield from _take(heard.message)
        if heard.reply:
            yield from write("", heard.reply)
    if pieces.noise():
        yield from note("error", "garbled_bytes")
    if receiver.is_amid_message or pieces.flush():
        yield from note("error", "message_cut_off")


def _take(message: bytes) -> Step[None]:
    """Emits all that is in the records of a message, or of several."""
    try:
        for rows in messages_in(rows_of(message)):
            yield from _take_one(rows)
    except Garbled as garbled:
        yield from note("error", f"garbled_{garbled.error}")


def _take_one(rows: list[Row]) -> Step[None]:
    header = rows[0] if rows else None
    if header is None or header.kind != "H":
        yield from note("error", "no_header")
        return
    analyser = next((each for each in ANALYSERS if each.sender.match(header.raw(5))), None)
    yield from _introduce(header, analyser)
    if rows[-1].kind == "L" and rows[-1].field(3).strip() in ABORTED:
        yield from note("error", "message_aborted")
        return
    for order in orders_in(rows):
        why_not: dict[str, None] = {}
        for made in records_of(order, header, analyser):
            match made:
                case NoReading(why=why):
                    why_not[why] = None
                case Record():
                    yield from emit(made)
        for why in why_not:  # once for an order: a chemistry profile has thirty tests
            yield from note("error", why)


def _introduce(header: Row, analyser: Analyser | None) -> Step[None]:
    if analyser is None:
        return
    yield from note("maker", analyser.maker)
    yield from note("model", analyser.model)
    for what, at in (("serial", analyser.serial_at), ("firmware", analyser.firmware_at)):
        if at and (said := header.component(5, at)):
            yield from note(what, said)


def records_of(order: Order, header: Row, analyser: Analyser | None) -> Iterator[Record | NoReading]:
    """One record of each kind that was measured for an order: a lipid panel is several results."""
    groups: list[dict[str, Result]] = []
    for row in order.results:
        code = "" if analyser is None else analyser.code_in(row)
        quantity = None if analyser is None else analyser.tests.get(code)
        if quantity is None:
            yield NoReading(why="unknown_analyser" if analyser is None else "unknown_test")
        elif not quantity or is_urine(order.row):
            yield NoReading(why="unsupported_analyte")
        elif row.field(9).strip() not in FINAL:
            yield NoReading(why="not_final")
        else:
            _group_for(quantity, groups)[quantity] = Result(row=row, code=code, quantity=quantity)
    for group in groups:
        try:
            yield record_of(list(group.values()), order, header)
        except Garbled as garbled:
            yield NoReading(why=f"garbled_{garbled.error}")


def _group_for(quantity: str, groups: list[dict[str, "Result"]]) -> dict[str, "Result"]:
    """The results it belongs with: the same kind, and none of the same quantity, which would be measured again."""
    for group in reversed(groups):
        if quantity not in group and _kind(group) == QUANTITIES[quantity].kind:
            return group
    groups.append({})
    return groups[-1]


def _kind(quantities: Iterable[str]) -> Kind:
    return QUANTITIES[next(iter(quantities))].kind


def record_of(results: list["Result"], order: Order, header: Row) -> Record | NoReading:
    """The reading in an order's results of one kind; raises Garbled: not_a_number, unknown_unit."""
    numbers = {each: each.number() for each in results}
    values = {
        each.quantity: canonical(each.quantity, number, each.unit)
        for each, number in numbers.items()
        if number is not None and not each.sign
    }
    off_scale = {each.quantity: OffScale.LO if each.sign == "<" else OffScale.HI for each in results if each.sign}
    if not values and not off_scale:
        return NoReading(why="no_value")
    taken = max((each.time for each in results), default="")
    # A message may have waited in the analyser: what says no time is at the latest of when the message was made.
    when = taken or order.row.field(23).strip() or header.field(14).strip()
    device_time = time_of(when)
    is_control = "Q" in (header.field(12).strip(), order.row.field(12).strip()) or _is_control(order.row)
    flags = [f"{each.quantity.rsplit('_mmol', 1)[0]}_not_computed" for each in results if not each.says_something]
    flags += ["result_ambiguous"] if any("!" in each.row.repeats(7) for each in results) else []
    flags += ["corrected"] if any(each.row.field(9).strip() == "C" for each in results) else []
    flags += ["time_fault"] if when and device_time is None else []
    return Record(
        kind=_kind(each.quantity for each in results),
        key=key_of(order, header, results, taken),
        values=values,
        off_scale=off_scale,
        shown=tuple(
            Shown(quantity=each.quantity, value=f"{each.sign}{number}", unit=each.row.field(5).strip())
            for each, number in numbers.items()
            if number is not None
        ),
        device_time=device_time,
        time_step_s=A_DAY_S if len(when) == len("yyyymmdd") else step_s(device_time),
        purpose=Purpose.CONTROL if is_control else Purpose.PATIENT,
        flags=tuple(flags),
    )


def key_of(order: Order, header: Row, results: list["Result"], taken: str) -> str:
    """The record's own name: when it was measured, of which specimen, and the numbers. A message that is sent
    again says the same; a corrected result has another number, and is another record.

    Without a time of the measurement it is when the order was reported (O 23) or, last, when the message was made.
    """
    when = taken or order.row.field(23).strip() or header.field(14).strip()
    if not when:
        return ""
    specimen = "/".join(" ".join(order.row.field(number).split()) for number in (3, 4))
    shown = "/".join(f"{each.code}={each.sign}{each.shown}" for each in results)
    return f"{when}#{specimen}#{shown}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One R record of a known test."""

    row: Row
    code: str
    quantity: str

    @property
    def sign(self) -> str:
        """ "<" or ">" where the result lies beyond what can be measured: before the value, or as a flag."""
        flags = self.row.repeats(7)
        return next((sign for sign in "<>" if sign in flags or self.row.field(4).strip().startswith(sign)), "")

    @property
    def shown(self) -> str:
        """The value without a sign; "" where there is none."""
        said = self.row.field(4).strip().lstrip("<>").strip()
        return "" if said.upper() == "NA" or not said.strip("-") else said

    @property
    def says_something(self) -> bool:
        """Whether there is a number, or a sign that stands for one."""
        return bool(self.shown or self.sign)

    @property
    def unit(self) -> str:
        """As `gateway.units` calls it."""
        said = self.row.field(5).strip()
        return UNITS.get(said.lower().replace("\u03bc", "µ"), said)

    @property
    def time(self) -> str:
        """When it was completed or, as DCA says it, started; "" where it does not say."""
        return self.row.field(13).strip() or self.row.field(12).strip()

    def number(self) -> Decimal | None:
        """The value; None where there is none. Raises Garbled("not_a_number") for words."""
        if not self.shown:
            return None
        if not _NUMBER.fullmatch(self.shown):
            raise Garbled("not_a_number")
        return Decimal(self.shown)


_NUMBER = re.compile(r"\d{1,9}(\.\d{1,9})?")


def is_urine(order: Row) -> bool:
    """Whether the specimen is one of cobas' that is no blood."""
    return order.component(4, 5) in URINE or order.component(16, 1) in URINE


def _is_control(order: Row) -> bool:
    """cobas: the specimen's type (O 4, component 5) is QC."""
    return order.component(4, 5) == "QC"


def time_of(text: str) -> datetime | None:
    """YYYYMMDD, with hhmm or hhmmss; None for what is no time."""
    text = text.strip()
    if not (text.isascii() and text.isdigit()) or len(text) not in (8, 12, 14):
        return None
    try:
        return datetime.fromisoformat(f"{text[:8]}T{text[8:]:0<6}")
    except ValueError:
        return None


DRIVER = Driver(
    name="serial.astm",
    transport="serial",
    recognise=recognise,
    talk=talk,
    devices="Analysers with an ASTM (LIS1-A, LIS2-A2) serial port set to 9600 baud, 8 data bits, no parity: "
    "Abbott Afinion (HbA1c, lipid panel), Siemens DCA Vantage (HbA1c), Roche cobas c 311 (glucose). Others are "
    "answered and their results noted as unknown, until a line in ANALYSERS names their tests.",
    source="ASTM E1381 and E1394 as senaite/senaite.astm and kxepal/python-astm implement and test them; "
    "captures of Afinion 2, DCA Vantage, cobas c 111 and c 311 in senaite.astm; test names from its instrument "
    "definitions.",
    quirks="The last frame of a message is acknowledged only when its readings are on disk; a message that is "
    "sent again gives the same readings. Delimiters are read from each H record. Line ends after a checksum "
    "may be CR LF, CR or LF. A message that is cut off gives nothing. A control (H 12 or O 12 is Q, cobas "
    "specimen QC) is kept as a control. Unknown tests, urine and preliminary results are noted, not guessed. "
    "Queries for orders are acknowledged and not answered. The analyser's clock is not known from what it says "
    "the time of a message is, as that may have waited in it; a result without a time is of when its message "
    "was made. Patient names and numbers stay in the journal.",
    proven_by="Captured messages of one Afinion 2 (HbA1c), one DCA Vantage (urine), one cobas c 111 (AST) and "
    "one c 311, unit tests of two public libraries, transcripts written by hand, a virtual analyser. No "
    "conversation with a real one yet; an Afinion lipid panel and DCA's HbA1c have not been seen, their test "
    "names are from documents.",
    proof=Proof.CAPTURED,
    doubts=frozenset({Doubt.VALUES}),
    line=SerialLine(baud=9600),
    decoders=DECODERS,
)
