"""OneTouch Ultra Easy and Ultra Mini on their cable: packets with sequence bits, one record at a time.

The packets are `lifescan_frames`'.
"""

from dataclasses import dataclass
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
    """Emits the memory, newest first, unless it is as it was left last time, and again if it moved meanwhile.

    No source says whether its order is that of the tests or that of their times: once the clock was set back, a
    new test may stand anywhere. Reading ends early only where as many as have come since stand in front.
    """
    ends = yield from _ends(link)
    yield from note("records", str(ends.count))
    known = _Ends.parse(last_record, serial)
    if ends == known:
        return
    emitted: set[str] = set()
    for _ in range(WALKS):
        whole = True
        for index in range(ends.count):
            raw = yield from _raw(link, index)
            if known is not None and ends.has_only_new_before(index, raw, known):
                break
            match _made(raw):
                case NoReading(why=why):
                    yield from note("error", why)
                    whole = whole and not why.startswith("garbled_")
                case Record() as record if record.key not in emitted:
                    yield from emit(record)
                    emitted.add(record.key)
        now = yield from _ends(link)
        if now == ends:
            if whole:
                yield from remember(f"{serial}|{ends}")
            return
        ends = now
    yield from note("error", "memory_moves")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ends:
    """What shows that a memory has changed: how many records it holds, and the newest and the oldest as they are
    sent. In a full one the oldest gives way, wherever the new one stands."""

    count: int
    newest: bytes
    oldest: bytes

    def __str__(self) -> str:
        return f"{self.count}|{self.newest.hex()}|{self.oldest.hex()}"

    def has_only_new_before(self, index: int, raw: bytes, known: "_Ends") -> bool:
        """Whether the record at `index` is the newest of `known`, and all that came since stands before it."""
        return raw == known.newest and self.oldest == known.oldest and 0 < index == self.count - known.count

    @classmethod
    def parse(cls, mark: str | None, serial: str) -> "_Ends | None":
        """What was remembered of the meter with this serial number: a cable has no address."""
        match (mark or "").split("|"):
            case [owner, count, newest, oldest] if owner == serial:
                return cls(count=int(count), newest=bytes.fromhex(newest), oldest=bytes.fromhex(oldest))
            case _:
                return None


def _ends(link: "_Link") -> Step[_Ends]:
    count = yield from _count(link)
    newest = (yield from _raw(link, 0)) if count else b""
    oldest = (yield from _raw(link, count - 1)) if count > 1 else newest
    return _Ends(count=count, newest=newest, oldest=oldest)


def _count(link: "_Link") -> Step[int]:
    answer = yield from link.ask(RECORD + COUNT.to_bytes(2, "little"), COUNTED)
    count = Cursor(answer).u16()
    if count > MEMORY_RECORDS:
        raise Garbled("record_count")
    return count


def _raw(link: "_Link", index: int) -> Step[bytes]:
    """A record as it is sent; b"" where the meter refuses it. Raises Garbled("no_answer")."""
    try:
        return (yield from link.ask(RECORD + index.to_bytes(2, "little")))
    except Garbled as garbled:
        if garbled.error == "no_answer":
            raise
        return b""


def _made(raw: bytes) -> Record | NoReading:
    """The reading in a record, or why it is none: one that is refused must not cost the others."""
    if not raw:
        return NoReading(why="garbled_refused")
    try:
        cursor = Cursor(raw)
        result = frames.Result(taken=frames.time_from(frames.EASY_EPOCH, cursor.u32()), mg_dl=cursor.u32())
        cursor.end()
    except Garbled as garbled:
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
    "Record 0 is the newest, by test or by time nobody says: what tells a change is the number of records, the "
    "first and the last, and a memory that moved while it was read is read again. Control tests carry no mark "
    "and look like any other. Nothing is deleted.",
    proven_by="Packets that one public project's tests publish (CRC checked), answers as two public drivers read "
    "them, transcripts written by hand, a virtual meter. No conversation with a real one yet.",
    proof=Proof.AGREED,
    line=SerialLine(baud=9600, asks=True),
    sets_clock=True,
    decoders=frames.DECODERS_ULTRAEASY,
)
