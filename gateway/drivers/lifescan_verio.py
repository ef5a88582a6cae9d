"""OneTouch meters with Bluetooth, such as Verio Flex and Select Plus Flex: asked for records by their lifetime
number, oldest first.

The packets are `lifescan_frames`', the ways of their channels `ble_line`'s.
"""

from gateway.conversation import (
    Arrived,
    Context,
    Driver,
    Garbled,
    Record,
    Sighting,
    Step,
    Talk,
    emit,
    note,
    remember,
    time_to_set,
    wait,
)
from gateway.drivers import lifescan_frames as frames
from gateway.drivers.ble_common import NoReading, bond, introduce
from gateway.drivers.ble_line import Line, open_line, say
from gateway.drivers.cursor import Cursor, exactly
from gateway.proof import Proof

SERVICE = "af9df7a1-e595-11e3-96b4-0002a5d5c51b"
LINE = Line(listen="af9df7a3-e595-11e3-96b4-0002a5d5c51b", say=("af9df7a2-e595-11e3-96b4-0002a5d5c51b",))
NAME = "OneTouch"

REPLY_TIMEOUT_S = 5.0
TRIES = 3
"""Tidepool asks up to five times, two to five seconds apart; a customer waits for three."""

CLOCK, SET_CLOCK = bytes.fromhex("2002"), bytes.fromhex("2001")
TESTS_EVER, RECORDS_KEPT = bytes.fromhex("0a0206"), bytes.fromhex("2700")
RECORD = bytes.fromhex("b3")
NO_RECORD = "garbled_not_understood"
"""What is noted where a number has no record; it never will."""

MOST_TESTS = 0xFFFF  # a record is asked for with two bytes
LARGEST_MEMORY = 2000
"""The largest of these meters keeps 750 results; a count beyond any memory is not asked for."""


def recognise(sighting: Sighting) -> bool:
    """Its own service, or its name: some advertise only that."""
    return SERVICE in sighting.services or sighting.name.startswith(NAME)


def talk(context: Context) -> Talk:
    """Pair, introduce, clock, then each record that came since last time."""
    yield from bond()
    yield from introduce()
    meter = _Meter((yield from open_line((LINE,))))
    clock = yield from meter.ask(CLOCK)
    yield from note("clock", frames.time_from(frames.VERIO_EPOCH, _u32(clock)).isoformat())
    highest = _u32((yield from meter.ask(TESTS_EVER)))
    kept = Cursor(exactly((yield from meter.ask(RECORDS_KEPT)), 2)).u16()
    if highest > MOST_TESTS or kept > LARGEST_MEMORY:
        raise Garbled("record_count")
    yield from note("records", str(kept))
    yield from _memory(meter, highest, kept, context.last_record)
    if context.set_clock_to is not None:
        moment = yield from time_to_set(context)
        seconds = int((moment - frames.VERIO_EPOCH).total_seconds())
        yield from meter.ask(SET_CLOCK + seconds.to_bytes(4, "little"))
        yield from note("clock_set", moment.isoformat())


def _memory(meter: "_Meter", highest: int, kept: int, last_record: str | None) -> Step[None]:
    """The numbers go up for ever, whatever is deleted. The record of last time is read first: if it is another
    one now, this is another memory, and all of it is read."""
    first = max(highest - kept + 1, 0)
    mark = _number_in(last_record)
    seen: frames.Result | NoReading | None = None
    if mark is not None and first <= mark <= highest:
        seen = yield from _record(meter, mark)
        if isinstance(seen, frames.Result) and frames.key_of(seen, mark) == last_record:
            first = mark + 1
    whole = True
    for number in range(first, highest + 1):
        result = seen if number == mark and seen is not None else (yield from _record(meter, number))
        made = result if isinstance(result, NoReading) else frames.record_of(result, number)
        match made:
            case NoReading(why=why):
                yield from note("error", why)
                whole = whole and (why == NO_RECORD or not why.startswith("garbled_"))
            case Record():
                yield from emit(made)
                if whole:  # else the one that could not be read would never be asked for again
                    yield from remember(made.key)


def _number_in(last_record: str | None) -> int | None:
    number, _, _ = (last_record or "").partition("@")
    return int(number) if number.isascii() and number.isdigit() and len(number) <= len("4294967295") else None


def _record(meter: "_Meter", number: int) -> Step[frames.Result | NoReading]:
    """A record, or why there is none: one bad or missing record must not cost those behind it."""
    try:
        return frames.verio_result((yield from meter.ask(RECORD + number.to_bytes(2, "little"))))
    except Garbled as garbled:
        if garbled.error in ("no_answer", "not_allowed"):
            raise
        return NoReading(why=f"garbled_{garbled.error}")


class _Meter:
    """Asks, and takes the answer. Nothing in an answer says which question it answers."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._last = b""  # what was answered before

    def ask(self, request: bytes) -> Step[bytes]:
        """What the meter answers, acknowledged: it deletes nothing because of that. Raises Garbled with the
        meter's own word, no_answer, not_writable.

        A meter may say an answer twice. What is the same as the answer before is taken for that one said again,
        unless nothing else comes.
        """
        for _ in range(TRIES):
            if not (yield from say(self._line, frames.request(request))):
                raise Garbled("not_writable")
            again: frames.Answer | None = None
            while isinstance(event := (yield from wait(REPLY_TIMEOUT_S)), Arrived):
                answer = yield from self._answer_in(event)
                if answer is None:
                    continue
                if event.data == self._last:
                    again = answer
                    continue
                self._last = event.data
                return _data(answer)
            if again is not None:
                return _data(again)
        raise Garbled("no_answer")

    def _answer_in(self, event: Arrived) -> Step[frames.Answer | None]:
        if event.channel != self._line.listen:
            return None
        try:
            answer = frames.answer_of(event.data)
        except Garbled as garbled:
            yield from note("error", f"garbled_{garbled.error}")
            return None
        if answer is not None:
            yield from say(self._line, bytes([frames.BLE_ACK]))
        return answer


def _data(answer: frames.Answer) -> bytes:
    if answer.status != frames.SUCCESS:
        raise Garbled(frames.STATUSES.get(answer.status, "refused"))
    return answer.data


def _u32(data: bytes) -> int:
    return Cursor(exactly(data, 4)).u32()


DRIVER = Driver(
    name="ble.lifescan",
    transport="ble",
    recognise=recognise,
    talk=talk,
    devices="LifeScan OneTouch Verio Flex, Verio Reflect, Select Plus Flex and other OneTouch meters with the "
    "Bluetooth service AF9DF7A1.",
    source="Packets as NightscoutFoundation/xDrip VerioHelper.java, tidepool-org/uploader oneTouchVerioBLE.js "
    "and two more public apps build and read them; the record's times and units as in "
    "glucometers-tech/glucometer-protocols onetouch-verio-2015.md.",
    quirks="It must be paired with the six digits on its display, else it answers 'not allowed'. It always sends "
    "mg/dL. HI and LO are numbers above 600 and below 20. A record with a control flag is a control. Meters that "
    "want a challenge answered before they tell anything are not read. Meal marks are not in the record.",
    proven_by="No captured bytes are public: what four public apps agree on, transcripts written by hand, a "
    "virtual meter. Not proven with a real one.",
    proof=Proof.AGREED,
    services=frozenset({SERVICE}),
    names=(NAME,),
    sets_clock=True,
    decoders=frames.DECODERS_VERIO,
)
