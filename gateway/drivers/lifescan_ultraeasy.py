"""OneTouch Ultra Easy and Ultra Mini on their cable: packets with sequence bits, one record at a time.

The packets are `lifescan_frames`'.
"""

from datetime import datetime

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
from gateway.drivers.cursor import Cursor
from gateway.drivers.framing import Framer, counted, next_frame
from gateway.proof import Proof

REPLY_TIMEOUT_S = 1.0
"""A packet takes 40 ms at 9600 baud; both public drivers wait a second."""
TRIES = 3
MEMORY_RECORDS = 500
COUNT = MEMORY_RECORDS + 1
"""Asked for a record beyond its memory, the meter tells how many it has."""
WALKS = 3
"""A memory that has moved while it was read is read again; nobody measures three times meanwhile."""

SERIAL = bytes.fromhex("050b0200000000846ae87300")
VERSION = bytes.fromhex("050d02")
CLOCK = bytes.fromhex("05200200000000")
SET_CLOCK = bytes.fromhex("052001")
RECORD = bytes.fromhex("051f")

SUCCESS, COUNTED = bytes.fromhex("0506"), bytes.fromhex("050f")


def recognise(sighting: Sighting) -> bool:
    """Never by itself: a cable does not say what hangs on it, so the settings do."""
    return False


def talk(context: Context) -> Talk:
    """Serial number, software, clock, records newest first; sets the clock last, if that is wanted."""
    link = _Link()
    if not (yield from link.reset()):
        yield from link.end()
        return
    serial = _text((yield from link.ask(SERIAL)))
    yield from note("maker", "LifeScan")
    yield from note("model", "OneTouch Ultra Easy")
    if serial:
        yield from note("serial", serial)
    if version := _text((yield from link.ask(VERSION))[1:]):
        yield from note("firmware", version)
    clock = _time((yield from link.ask(CLOCK)))
    yield from note("clock", clock.isoformat())
    yield from _memory(link, serial, context.last_record)
    if context.set_clock_to is not None:
        moment = yield from time_to_set(context)
        seconds = int((moment - frames.EASY_EPOCH).total_seconds())
        shown = _time((yield from link.ask(SET_CLOCK + seconds.to_bytes(4, "little"))))
        yield from note("clock_set", shown.isoformat())
    yield from link.reset()
    yield from link.end()


def _memory(link: "_Link", serial: str, last_record: str | None) -> Step[None]:
    """Emits everything up to the newest record of last time, and again if the memory moved meanwhile. The newest
    is remembered only when all that is older is on disk, and with the serial number: a cable has no address."""
    count = yield from _count(link)
    yield from note("records", str(count))
    emitted: set[str] = set()
    for _ in range(WALKS):
        newest, whole = "", True
        for index in range(count):
            match (yield from _record(link, index)):
                case NoReading(why=why):
                    yield from note("error", why)
                    whole = whole and not why.startswith("garbled_")
                case Record() as record:
                    newest = newest or record.key
                    if f"{serial}|{record.key}" == last_record:
                        break
                    if record.key not in emitted:
                        yield from emit(record)
                        emitted.add(record.key)
        now = yield from _count(link)
        first = (yield from _record(link, 0)) if now else None
        if now == count and (not isinstance(first, Record) or first.key == newest):
            if newest and whole:
                yield from remember(f"{serial}|{newest}")
            return
        count = now
    yield from note("error", "memory_moves")


def _count(link: "_Link") -> Step[int]:
    answer = yield from link.ask(RECORD + COUNT.to_bytes(2, "little"), COUNTED)
    count = Cursor(answer).u16()
    if count > MEMORY_RECORDS:
        raise Garbled("record_count")
    return count


def _record(link: "_Link", index: int) -> Step[Record | NoReading]:
    """A record, or why it is none: one that is refused must not cost the others. Raises Garbled("no_answer")."""
    try:
        cursor = Cursor((yield from link.ask(RECORD + index.to_bytes(2, "little"))))
        result = frames.Result(taken=frames.time_from(frames.EASY_EPOCH, cursor.u32()), mg_dl=cursor.u32())
        cursor.end()
    except Garbled as garbled:
        if garbled.error == "no_answer":
            raise
        return NoReading(why=f"garbled_{garbled.error}")
    return frames.record_of(result)


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("ascii", "replace").strip()


def _time(data: bytes) -> datetime:
    return frames.time_from(frames.EASY_EPOCH, Cursor(data).u32())


class _Link:
    """The link layer: one packet each way, a bit that counts them, an acknowledgement for each."""

    def __init__(self) -> None:
        self._packets = Framer(counted((bytes([frames.STX]),), frames.packet_size))
        self._sequence = self._expected = False
        self._garbled = False

    def reset(self) -> Step[bool]:
        """Disconnects, which sets both sides' counters to 0; False where nobody answers."""
        self._sequence = self._expected = False
        for _ in range(TRIES):
            yield from write("", frames.packet(frames.DISCONNECT))
            while (heard := (yield from self._hear())) is not None:
                if heard.has(frames.DISCONNECT):
                    return True
        return False

    def ask(self, command: bytes, expected: bytes = SUCCESS) -> Step[bytes]:
        """The answer to `command`, without the two bytes that say it is one. Raises Garbled: no_answer, refused.

        A packet that repeats the last one is acknowledged again and not taken again.
        """
        for _ in range(TRIES):
            yield from write("", frames.packet(self._control(), command))
            while (heard := (yield from self._hear())) is not None:
                if not heard.payload:
                    continue  # it has the command; its answer follows
                is_new = heard.has(frames.SEQUENCE) == self._expected
                if is_new:
                    self._expected, self._sequence = not self._expected, not self._sequence
                yield from write("", frames.packet(self._control() | frames.ACKNOWLEDGE))
                if not is_new:
                    continue
                if not heard.payload.startswith(expected):
                    raise Garbled("refused")
                return heard.payload[len(expected) :]
        raise Garbled("no_answer")

    def end(self) -> Step[None]:
        """Says so if bytes came that were no packet."""
        if self._garbled or self._packets.skipped or self._packets.flush():
            yield from note("error", "garbled_bytes")

    def _control(self) -> int:
        return (frames.SEQUENCE if self._sequence else 0) | (frames.EXPECTED if self._expected else 0)

    def _hear(self) -> Step[frames.Packet | None]:
        while (data := (yield from next_frame(self._packets, REPLY_TIMEOUT_S))) is not None:
            try:
                return frames.packet_of(data)
            except Garbled:
                self._garbled = True
        return None


DRIVER = Driver(
    name="serial.lifescan_ultraeasy",
    transport="serial",
    recognise=recognise,
    talk=talk,
    devices="LifeScan OneTouch Ultra Easy and OneTouch Ultra Mini with their serial cable.",
    source="LifeScan's protocol as glucometers-tech/glucometerutils otultraeasy.py and tidepool-org/uploader "
    "oneTouchUltraMini.js implement it.",
    quirks="It always sends mg/dL, whatever its display shows. HI and LO are numbers above 600 and below 20. "
    "Record 0 is the newest: a memory that moved while it was read is read again. Control tests carry no mark "
    "and look like any other. Nothing is deleted.",
    proven_by="Packets that one public project's tests publish (CRC checked), answers as two public drivers read "
    "them, transcripts written by hand, a virtual meter. No conversation with a real one yet.",
    proof=Proof.AGREED,
    line=SerialLine(baud=9600, asks=True),
    sets_clock=True,
    decoders=frames.DECODERS_ULTRAEASY,
)
