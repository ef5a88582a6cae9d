"""OneTouch Ultra 2 on its cable: asked line by line, then for its whole memory, newest first.

The lines are `lifescan_frames`'.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from hashlib import blake2s
from typing import TypeVar

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
    remember,
    time_to_set,
    write,
)
from gateway.drivers import lifescan_frames as frames
from gateway.drivers.ble_common import NoReading
from gateway.drivers.framing import Framer, ending, next_frame
from gateway.proof import Proof

REPLY_TIMEOUT_S = 2.0
"""A line takes 60 ms at 9600 baud; a meter that has not answered by then is off, or not there."""
TRIES = 3
"""A line that is damaged is asked for again; a meter that says the same nonsense three times means it."""

T = TypeVar("T")


def recognise(sighting: Sighting) -> bool:
    """Never by itself: a cable does not say what hangs on it, so the settings do."""
    return False


def talk(context: Context) -> Talk:
    """Serial number, software, clock, records; sets the clock last, if that is wanted."""
    line = _Line()
    serial = yield from line.ask("DM@", frames.serial_in)
    if serial is None:
        yield from line.end()
        return
    yield from note("maker", "LifeScan")
    yield from note("model", "OneTouch Ultra 2")
    yield from note("serial", serial)
    if version := (yield from line.ask("DM?", frames.version_in)):
        yield from note("firmware", version)
    clock = yield from line.ask("DMF", frames.clock_in)
    if clock is not None:
        yield from note("clock", clock.isoformat())
    yield from _memory(line, serial, context.last_record)
    if context.set_clock_to is not None:
        yield from _set_clock(line, (yield from time_to_set(context)))
    yield from line.end()


def _memory(line: "_Line", serial: str, last_record: str | None) -> Step[None]:
    """Emits what stands before the newest record of last time, and all that stands behind it if that has changed.

    No source says whether the order is that of the tests or that of their times: once the clock was set back, a
    new test may stand anywhere. Only a memory that came whole is remembered, and with the meter's serial number,
    as another meter may hang on this cable next time.
    """
    dump = yield from line.ask("DMP", frames.dump_in)
    if dump is None:
        yield from note("error", "no_answer")
        return
    yield from note("records", str(dump.count))
    newest, digest = _remembered(last_record, serial)
    keys: list[str] = []
    behind: list[Record] = []
    whole = True
    for _ in range(dump.count):
        try:
            text = yield from line.hear()
            result = None if text is None else frames.result_in(text)
        except Garbled as garbled:  # one bad line must not cost those behind it
            yield from note("error", f"garbled_{garbled.error}")
            whole = whole and garbled.error == "parity"  # that stays as it is, however often it is read
            continue
        if text is None:
            whole = False
            yield from note("error", "records_missing")
            break
        made = NoReading(why="garbled_grammar") if result is None else frames.record_of(result)
        whole = whole and result is not None
        match made:
            case NoReading(why=why):
                yield from note("error", why)
            case Record() as record:
                keys.append(record.key)
                if behind or record.key == newest:
                    behind.append(record)
                else:
                    yield from emit(record)
    if _digest(record.key for record in behind) != digest:
        for record in behind:
            yield from emit(record)
    if keys and whole:
        yield from remember(f"{serial}|{keys[0]}|{_digest(keys)}")


def _remembered(mark: str | None, serial: str) -> tuple[str, str]:
    """The newest record of last time and the digest of all of them; "" where nothing is known of this meter."""
    match (mark or "").split("|"):
        case [owner, newest, digest] if owner == serial:
            return newest, digest
        case _:
            return "", ""


def _digest(keys: Iterable[str]) -> str:
    return blake2s("\n".join(keys).encode(), digest_size=8).hexdigest()


def _set_clock(line: "_Line", moment: datetime) -> Step[None]:
    shown = yield from line.ask(f"DMT{moment:%m/%d/%y %H:%M:%S}", frames.clock_in)
    if shown is None:
        yield from note("error", "clock_not_set")
    else:
        yield from note("clock_set", shown.isoformat())


class _Line:
    """Asks, and hears checked lines."""

    def __init__(self) -> None:
        self._lines = Framer(ending(b"\r"))

    def ask(self, command: str, answer_in: Callable[[str], T | None]) -> Step[T | None]:
        """The answer to `command`; None where the meter gives none. What else it says meanwhile is passed over."""
        noted = False
        for _ in range(TRIES):
            yield from write("", b"\x11\r" + command.encode() + b"\r")
            damaged = False
            while True:
                try:
                    text = yield from self.hear()
                    answer = None if text is None else answer_in(text)
                except Garbled as garbled:
                    damaged = True
                    if not noted:
                        yield from note("error", f"garbled_{garbled.error}")
                        noted = True
                    continue
                if answer is not None:
                    return answer
                if text is None:
                    break
            if not damaged:
                return None
        return None

    def hear(self) -> Step[str | None]:
        """The next line that is not empty, or None; raises Garbled: missing_checksum, checksum."""
        while (raw := (yield from next_frame(self._lines, REPLY_TIMEOUT_S))) is not None:
            if raw.strip(b"\0\r\n"):
                return frames.line_of(raw)
        return None

    def end(self) -> Step[None]:
        """Says so if bytes came that were no line."""
        if self._lines.flush().strip(b"\0\r\n"):
            yield from note("error", "garbled_bytes")


DRIVER = Driver(
    name="serial.lifescan_ultra2",
    transport="serial",
    recognise=recognise,
    talk=talk,
    devices="LifeScan OneTouch Ultra 2 with its serial cable.",
    source="LifeScan's protocol as glucometers-tech/glucometerutils otultra2.py and tidepool-org/uploader "
    "oneTouchUltra2.js implement it.",
    quirks="It always sends mg/dL, whatever its display shows. 'After meal' does not say how long after: it is a "
    "flag, and the dock asks. A value with a '?' is one the meter itself doubts, and no reading. HI and LO are "
    "numbers above 600 and below 20. The whole memory is sent each time, and no source says in which order; what "
    "was known last time is not emitted again unless the memory has changed behind it. Nothing is deleted.",
    proven_by="Checksums and lines published by two public projects with their drivers, transcripts written by "
    "hand, a virtual meter. No conversation with a real one yet.",
    proof=Proof.CAPTURED,
    line=SerialLine(baud=9600, asks=True),
    sets_clock=True,
    decoders=frames.DECODERS_ULTRA2,
)
