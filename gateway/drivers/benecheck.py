"""BeneCheck (百捷) meters for glucose, uric acid and cholesterol that speak $PCL frames: on a serial line they are
asked for their memory, through the Bluetooth dongle they tell what was just measured.

The frames are `benecheck_frames`'; the newer meters with a glucose service are `benecheck_gls`'.
"""

from decimal import Decimal

from gateway.conversation import (
    Context,
    Driver,
    Garbled,
    Lost,
    Record,
    SerialLine,
    Sighting,
    Step,
    Talk,
    emit,
    note,
    remember,
    subscribe,
    write,
)
from gateway.drivers import benecheck_frames as frames
from gateway.drivers.ble_common import NoReading, bond, introduce
from gateway.drivers.ble_time import step_s
from gateway.drivers.framing import Framer, next_frame
from gateway.proof import Doubt, Proof
from gateway.units import canonical
from gateway.wire.messages import Shown
from gateway.wire.vocabulary import Kind

SERVICE = "1000"
NOTIFICATIONS = "1002"
_DONGLE = "benecheck tc-b"

REPLY_TIMEOUT_S = 2.0
"""A frame takes 6 ms at 38400 baud; a meter that has not answered by then is off, or busy with a strip."""
LISTEN_S = 60.0
"""A result told while we listen is seen at once; one told while the line rests, when the memory is asked again."""
STRIP_TIMEOUT_S = 60.0
"""The dongle is there while the meter is on, and the memory cannot be asked through it: what is told while nobody
listens is told to nobody. A cholesterol strip takes half a minute from the drop of blood to the result."""
MORE_TIMEOUT_S = 10.0
"""After a result: a second test begins with a strip, and the dongle is heard again. Others need the radio, too."""

LARGEST_MEMORY = 2000
"""Such meters keep a few hundred results; a count beyond any memory is not asked for."""


def recognise_serial(sighting: Sighting) -> bool:
    """Never by itself: a CH34x adapter does not say what hangs on it, so the settings do."""
    return False


def recognise_dongle(sighting: Sighting) -> bool:
    """The dongle, by its name: other makers use its service, 1000, for frames of their own."""
    return sighting.name.casefold().startswith(_DONGLE)


def talk_serial(context: Context) -> Talk:
    """Echo, then what is new of each analyte, then a while for what is being measured."""
    line = _Line("")
    yield from write("", frames.request(frames.ECHO))
    yield from line.hear(REPLY_TIMEOUT_S, until=frames.ECHO)
    if line.heard:
        marks, kept = _marks(context.last_record), 0
        for command in frames.COUNTS:
            kept += yield from _memory(line, command, marks)
        yield from note("records", str(kept))
        yield from line.hear(LISTEN_S)
    yield from line.end()


def talk_dongle(context: Context) -> Talk:
    """Pair, introduce, listen."""
    yield from bond()
    yield from introduce()
    yield from subscribe(NOTIFICATIONS)
    line = _Line(NOTIFICATIONS)
    try:
        yield from line.hear(STRIP_TIMEOUT_S, then_s=MORE_TIMEOUT_S)
    except Lost:
        if not line.told:  # to hang up after a result is to have finished
            raise
        return
    yield from line.end()


class _Line:
    """Every record that comes is emitted, whether it was asked for or not, and once."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._framer = Framer(frames.CUT)
        self.heard = False
        self.count: int | None = None  # the last one told
        self.records: dict[str, list[frames.Result]] = {}  # by analyte, since the last `ask`
        self._emitted: set[tuple[Kind, str]] = set()
        self._alike: dict[tuple[str, str], list[int]] | None = {}  # indices of one minute and value

    @property
    def told(self) -> bool:
        """Whether there was any reading."""
        return bool(self._emitted)

    def ask(self, request: bytes) -> Step[None]:
        """Writes `request` and forgets what came before."""
        self.count, self.records, self._alike = None, {}, {}
        yield from write(self._channel, request)

    def hear(
        self, timeout_s: float, *, then_s: float = 0.0, until: int | None = None, indices: range = range(0)
    ) -> Step[None]:
        """Takes frames until one of command `until` came (and the last of its records at `indices`), or nothing
        for `timeout_s`; once there was a reading, for `then_s`."""
        while True:
            patience_s = then_s if then_s and self.told else timeout_s
            data = yield from next_frame(self._framer, patience_s, channel=self._channel)
            if data is None:
                return
            self.heard = True
            frame = frames.front(data)
            for part in frame.parts():
                yield from self._take(part)
            if frame.command == until and self.has(until, indices):
                return

    def of(self, command: int) -> list[frames.Result]:
        """The records of an analyte that came since the last `ask`."""
        return self.records.get(frames.RECORDS.get(command, ""), [])

    def has(self, command: int, indices: range) -> bool:
        """Whether the records at `indices` came since the last `ask`."""
        return {result.index for result in self.of(command)}.issuperset(indices)

    def end(self) -> Step[None]:
        """Says so if bytes came that were no frame."""
        if self._framer.skipped or self._framer.flush():
            yield from note("error", "garbled_bytes")

    def _take(self, frame: frames.Frame) -> Step[None]:
        try:
            if (count := frame.count()) is not None:
                self.count = count
            results = frame.records()
        except Garbled as garbled:  # one bad record must not cost those behind it
            yield from note("error", f"garbled_{garbled.error}")
            return
        if frame.command == frames.ERROR:
            yield from note("error", "measurement_failed")
        for result in results:
            self.records.setdefault(result.analyte, []).append(result)
            match record_of(result, number=self._number(result)):
                case NoReading(why=why):
                    yield from note("error", why)
                case Record(kind=kind, key=key) as record if (kind, key) not in self._emitted:
                    yield from emit(record)
                    self._emitted.add((kind, key))

    def _number(self, it: frames.Result) -> int:
        """Which of the records of its minute and value it is. Index 0 is the first of them, and a sign that all
        indices moved: from then on nothing tells a second record from the first one told again."""
        if it.index == 0 or self._alike is None:
            self._alike = None
            return 1
        indices = self._alike.setdefault((it.analyte, key_of(it)), [])
        if it.index not in indices:
            indices.append(it.index)
        return indices.index(it.index) + 1


def _memory(line: _Line, command: int, marks: dict[str, str]) -> Step[int]:
    """Reads everything of one analyte, unless nothing changed, and returns how many records there are. The count
    and the record of index 1 tell: whichever end of the memory is the newest, a new record changes one of them."""
    analyte, records = frames.COUNTS[command], command + 1
    yield from line.ask(frames.request(command))
    yield from line.hear(REPLY_TIMEOUT_S, until=command)
    count = line.count
    if not count or count > LARGEST_MEMORY:
        return 0
    yield from line.ask(frames.request(records, first=1, last=1))
    yield from line.hear(REPLY_TIMEOUT_S, until=records)
    mark = next((f"{count}@{key_of(result)}" for result in line.of(records) if result.index == 1), None)
    if mark is not None and marks.get(analyte) == mark:
        return count
    # No source says whether indices begin at 1, as the one that asks for them does, or at 0.
    for indices in (range(1, count + 1), range(count)):
        yield from line.ask(frames.request(records, first=indices[0], last=indices[-1]))
        yield from line.hear(REPLY_TIMEOUT_S, until=records, indices=indices)
        if line.has(records, indices):
            if mark is not None:
                marks[analyte] = mark
                yield from remember(" ".join(f"{name}={known}" for name, known in sorted(marks.items())))
            return count
    yield from note("error", "records_missing")
    return count


def _marks(text: str | None) -> dict[str, str]:
    """What was remembered of each analyte's memory."""
    marks = {}
    for word in (text or "").split():
        analyte, _, mark = word.partition("=")
        if analyte in frames.RECORDS.values():
            marks[analyte] = mark
    return marks


# --- what a record is --------------------------------------------------------------------------------------

QUANTITIES = {
    "glucose": (Kind.GLUCOSE, "glucose_mmol_l"),
    "uric_acid": (Kind.URIC_ACID, "urate_umol_l"),
    "cholesterol": (Kind.LIPID_PANEL, "total_cholesterol_mmol_l"),
}
"""The kind and the quantity of each analyte."""


def key_of(it: frames.Result, number: int = 1) -> str:
    """The record's own name: minute, value, and its number among equals. The index is no part of it: what was just
    measured is told with index 0, and with another when it is read again; in a full memory they all move."""
    return f"{it.time.isoformat()}#{it.raw}" + (f"~{number}" if number > 1 else "")


def record_of(it: frames.Result, *, number: int = 1) -> Record | NoReading:
    """The reading in a record, or why it is none; `number` is as in `key_of`."""
    if it.raw == 0:
        return NoReading(why="no_value")
    kind, quantity = QUANTITIES[it.analyte]
    value: Decimal = it.mg_dl
    return Record(
        kind=kind,
        key=key_of(it, number),
        values={quantity: canonical(quantity, value, "mg/dL")},
        shown=(Shown(quantity=quantity, value=str(value), unit="mg/dL"),),
        device_time=it.time,
        time_step_s=step_s(it.time),
    )


_DEVICES = "BeneCheck (百捷, GeneralLife) BKM13-1 and other meters for glucose, uric acid and cholesterol"
_SOURCE = (
    "BigPeng/homehospital331 BeneCheck.java (commands), chendang/ekeng_monitor-android UricacidData.java (log of "
    "a meter), chinnsenn2/JamBoBleSDK BeneCheckUa.java (dongle)."
)
_QUIRKS = (
    "Units: glucose and cholesterol in mg/dL, uric acid in tenths of it, whatever the display shows. What was "
    "just measured has index 0, so a record is known by its minute and value; two equal results in one minute are "
    "told apart when the memory is read. No frame known tells which meter it is, so that one read by cable and by "
    "dongle counts as two, and its records twice: use one of them for a meter. Records stay in the meter; "
    "clearing is never sent."
)
SERIAL_DRIVER = Driver(
    name="serial.benecheck",
    transport="serial",
    recognise=recognise_serial,
    talk=talk_serial,
    devices=f"{_DEVICES}, on their USB cable (CH34x). Named in the settings.",
    source=_SOURCE,
    quirks=f"{_QUIRKS} The clock cannot be read or set.",
    proven_by="Two record frames and an echo from logs of meters, and seven published commands, all with true "
    "checksums; transcripts written by hand; a virtual meter. How a meter numbers its records, and whether it "
    "sends a range in one frame or in many, is not published: both are read. HI and LO are not published.",
    proof=Proof.CAPTURED,
    doubts=frozenset({Doubt.OFF_SCALE, Doubt.MEMORY}),
    line=SerialLine(baud=38400, asks=True),
    decoders=frames.DECODERS,
)
DONGLE_DRIVER = Driver(
    name="ble.benecheck_dongle",
    transport="ble",
    recognise=recognise_dongle,
    talk=talk_dongle,
    devices=f'{_DEVICES}, with the Bluetooth dongle "BeneCheck TC-B DONGLE".',
    source=_SOURCE,
    quirks=f"{_QUIRKS} The dongle only tells what was just measured; the memory is read over the cable.",
    proven_by="Frames from a log of a meter; transcripts written by hand; a virtual meter. No conversation with a "
    "real dongle yet. HI and LO are not published.",
    proof=Proof.CAPTURED,
    doubts=frozenset({Doubt.OFF_SCALE}),
    services=frozenset({SERVICE}),
    names=("BeneCheck TC-B", "Benecheck TC-B"),
    decoders=frames.DECODERS,
)
