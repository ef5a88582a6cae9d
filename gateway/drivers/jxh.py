"""Cuffs of JXH (景新浩), sold as Lepu BPM-188 and Technaxx: asked for what they kept, then listened to.

A measurement is never begun from here: an empty cuff must not inflate by itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any, TypeAlias

from gateway.conversation import (
    Context,
    Decoder,
    Driver,
    Garbled,
    Lost,
    Record,
    Sighting,
    Step,
    Talk,
    emit,
    note,
    time_to_set,
)
from gateway.drivers import cuff
from gateway.drivers.ble_common import NoReading
from gateway.drivers.ble_line import Line, open_line, say
from gateway.drivers.ble_told import FIRST_TIMEOUT_S, IDLE_TIMEOUT_S
from gateway.drivers.cursor import Cursor
from gateway.drivers.framing import Framer, counted, next_or_note
from gateway.drivers.untimed import Untimed
from gateway.proof import Proof

SERVICE = "18f0"
LINE = Line(listen="2af0", say=("2af1",))
NAMES = ("BPM-188", "BPM-B02", "Technaxx BP")
"""The service is a Bluetooth module's, which printers and cars' adapters have, too: only the name tells."""

ANSWER_TIMEOUT_S = 5.0
"""It begins to tell what it kept at once."""
USERS = frozenset({0, 1})


class Command(IntEnum):
    """What is asked and told."""

    PRESSURE = 0x00  # and the high byte of the pressure, so that it is 1 from 256 mmHg on
    HIGH_PRESSURE = 0x01
    RESULT = 0x1C
    ERROR = 0x3C
    START = 0xA1  # never sent
    STOP = 0xA2
    INFO = 0xAB
    SET_TIME = 0xB0
    RECORDS = 0xB1
    STATE = 0xB2
    LAST_RECORD = 0xB3


ERRORS = {
    1: "sensor_fault",
    2: "no_pulse",
    3: "measurement_abnormal",
    4: "cuff_loose_or_leaks",
    5: "inflation_blocked",
    6: "pressure_unstable",
    7: "over_pressure",
    8: "not_calibrated_fault",
}


def recognise(sighting: Sighting) -> bool:
    """By its name."""
    return sighting.name.startswith(NAMES)


def talk(context: Context) -> Talk:
    """Ask for what is kept, set the clock if staff asked for it, and listen. A cuff that hangs up after telling
    something has simply finished."""
    line = yield from open_line((LINE,))
    yield from note("maker", "JXH")
    conversation = _Conversation(line, context)
    try:
        yield from conversation.run()
    except Lost:
        if not conversation.told:
            raise


class _Conversation:
    """What one cuff tells."""

    def __init__(self, line: Line, context: Context) -> None:
        self.told = False
        self._line = line
        self._context = context
        self._framer = Framer(FRAMES)
        self._results = Untimed(context.last_record)

    def run(self) -> Step[None]:
        """To its end."""
        yield from say(self._line, request(Command.RECORDS, bytes(4)))
        yield from self._hear(ANSWER_TIMEOUT_S, until=_both_users_told())
        if self._context.set_clock_to is not None:
            yield from self._set_clock((yield from time_to_set(self._context)))
        yield from self._hear(None, until=lambda frame: False)

    def _hear(self, timeout_s: float | None, until: "Until") -> Step[bool]:
        """Takes what is told; False when silence ended it: `timeout_s`, or as long as is worth waiting."""
        while True:
            patience_s = self._patience_s() if timeout_s is None else timeout_s
            data = yield from next_or_note(self._framer, patience_s, channel=self._line.listen)
            if data is None:
                return False
            yield from self._take(told := frame(data))
            if until(told):
                return True

    def _patience_s(self) -> float:
        return IDLE_TIMEOUT_S if self.told and not self._results.is_going_on else FIRST_TIMEOUT_S

    def _take(self, it: "Frame") -> Step[None]:
        if not it.from_cuff:
            return
        try:
            match it.command:
                case Command.PRESSURE | Command.HIGH_PRESSURE:
                    self._results.going_on()
                case Command.RESULT | Command.RECORDS | Command.LAST_RECORD:
                    yield from self._hand_over(it, result(it))
                case Command.ERROR:
                    self._results.came_to_nothing()
                    code = error_code(it)
                    yield from note("error", ERRORS.get(code, f"error_{code}"))
        except Garbled as garbled:
            yield from note("error", f"garbled_{garbled.error}")

    def _hand_over(self, it: "Frame", what: "Result | None") -> Step[None]:
        if what is None:  # the end of a memory with nothing in it
            return
        self.told = True
        new, live = what.at is not None, False
        if it.command == Command.RESULT:
            new = self._results.is_new(it.data) or new
            live = self._results.seen
        match record_of(what, live=live):
            case NoReading(why=why):
                yield from note("error", why)
            case Record() as made if new:
                yield from emit(made)
        if what.at is None:
            yield from self._results.keep()

    def _set_clock(self, at: datetime) -> Step[None]:
        data = bytes((at.year - 2000, at.month, at.day, at.hour, at.minute, at.second))
        yield from say(self._line, request(Command.SET_TIME, data))
        if (yield from self._hear(ANSWER_TIMEOUT_S, until=_clock_is_set)):
            yield from note("clock_set", at.replace(microsecond=0).isoformat())
        else:
            yield from note("error", "clock_not_confirmed")


Until: TypeAlias = Callable[["Frame"], bool]


def _clock_is_set(told: "Frame") -> bool:
    return told.from_cuff and told.command == Command.SET_TIME


def _both_users_told() -> Until:
    """True at the frame that ends the last user's memory."""
    left = set(USERS)

    def ended(told: "Frame") -> bool:
        if told.from_cuff and told.command == Command.LAST_RECORD and len(told.data) > USER_AT:
            left.discard(told.data[USER_AT])
        return not left

    return ended


# --- what a result is --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A blood pressure in mmHg; `at` is None where no time is told. `pulse` is not believed, see DRIVER."""

    systolic: int
    diastolic: int
    is_irregular: bool
    pulse: int
    user: int | None
    store_id: int | None
    at: datetime | None


def record_of(it: Result, *, live: bool) -> Record | NoReading:
    """The reading in a result. A result told live and out of the memory has one name."""
    key = "" if it.at is None else f"{it.at:%Y-%m-%dT%H:%M}#{it.user}/{it.systolic}/{it.diastolic}"
    flags = ("irregular_pulse",) if it.is_irregular else ()
    return cuff.record_of(it.systolic, it.diastolic, 0, key=key, at=it.at, live=live, flags=flags)


# --- frames ------------------------------------------------------------------------------------------------

_HEAD, _FROM_HOST, _FROM_CUFF = b"\x02\x40", 0xDC, 0xDD
_HEAD_BYTES = 4
"""02 40, the direction, and how many bytes the command and its data are."""
USER_AT = 6
_TIMED_BYTES, _UNTIMED_BYTES = 14, 11
"""Of a result's data: Lepu's cuffs tell user, number and time, older ones do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame, its check found right."""

    from_cuff: bool
    command: int
    data: bytes


def request(command: Command, data: bytes = b"") -> bytes:
    """The host's frame."""
    head = _HEAD + bytes([_FROM_HOST, len(data) + 1, command]) + data
    return head + bytes([_check(head)])


def _check(data: bytes) -> int:
    """Every byte from the second on, exclusive or."""
    check = 0
    for byte in data[1:]:
        check ^= byte
    return check


def frame(data: bytes) -> Frame:
    """One frame of either side; raises Garbled: truncated, grammar, length, checksum."""
    if not data.startswith(_HEAD[: len(data)]):
        raise Garbled("grammar")
    if len(data) < _HEAD_BYTES + 2:
        raise Garbled("truncated")
    if data[2] not in (_FROM_HOST, _FROM_CUFF) or data[3] == 0:
        raise Garbled("grammar")
    size = _HEAD_BYTES + data[3] + 1
    if len(data) != size:
        raise Garbled("truncated" if len(data) < size else "length")
    if _check(data[:-1]) != data[-1]:
        raise Garbled("checksum")
    return Frame(from_cuff=data[2] == _FROM_CUFF, command=data[4], data=data[5:-1])


def _size(buffer: bytes) -> int:
    if len(buffer) < _HEAD_BYTES:
        return 0
    size = _HEAD_BYTES + buffer[3] + 1
    if len(buffer) < size:
        return 0 if buffer[2] in (_FROM_HOST, _FROM_CUFF) else -1
    try:
        frame(buffer[:size])
    except Garbled:
        return -1
    return size


FRAMES = counted((_HEAD,), _size)


def result(it: Frame) -> Result | None:
    """The result in a frame, None for the end of a memory with nothing in it; raises Garbled: length,
    datetime_range (of a stored one; a cuff whose clock nobody set still tells what it measures)."""
    if len(it.data) not in (_TIMED_BYTES, _UNTIMED_BYTES):
        raise Garbled("length")
    is_timed = len(it.data) == _TIMED_BYTES
    cursor = Cursor(it.data)
    systolic, diastolic = _u16(cursor), _u16(cursor)
    if it.command == Command.LAST_RECORD and not systolic and not diastolic:
        return None
    irregular = cursor.u8() != 0
    pulse = cursor.u8() if is_timed else _u16(Cursor(it.data[USER_AT:]))
    at = _moment(it.data[9:14]) if is_timed else None
    if at is None and it.command != Command.RESULT:
        raise Garbled("datetime_range" if is_timed else "length")
    return Result(
        systolic=systolic,
        diastolic=diastolic,
        is_irregular=irregular and is_timed,
        pulse=pulse,
        user=it.data[USER_AT] if is_timed else None,
        store_id=int.from_bytes(it.data[7:9], "big") if is_timed else None,
        at=at,
    )


def error_code(it: Frame) -> int:
    """Why a measurement failed: the sixth byte; raises Garbled("length")."""
    if len(it.data) <= 5:
        raise Garbled("length")
    return it.data[5]


def _u16(cursor: Cursor) -> int:
    return int.from_bytes(cursor.take(2), "big")


def _moment(data: bytes) -> datetime | None:
    year, month, day, hour, minute = data
    try:
        return datetime(2000 + year, month, day, hour, minute)  # noqa: DTZ001 - naive, as the cuff says it
    except ValueError:
        return None


def decode(data: bytes) -> dict[str, Any]:
    """A frame of either side as fields; raises Garbled: truncated, grammar, length, checksum, datetime_range."""
    it = frame(data)
    fields: dict[str, Any] = {"command": it.command, "length": data[3], "data_hex": it.data.hex()}
    if it.command in list(Command):
        fields["command_name"] = Command(it.command).name.lower()
    if not it.from_cuff:
        return fields | {"direction_marker": "host"}
    fields["direction_marker"] = "device"
    match it.command:
        case Command.RESULT | Command.RECORDS | Command.LAST_RECORD if (what := result(it)) is not None:
            fields |= {"systolic": what.systolic, "diastolic": what.diastolic, "pulse": what.pulse}
            fields |= {"user": what.user, "store_id": what.store_id, "irregular": what.is_irregular}
            fields["time"] = None if what.at is None else what.at.isoformat()
        case Command.ERROR:
            fields |= {"error_code": error_code(it), "error_name": ERRORS.get(error_code(it))}
        case Command.PRESSURE | Command.HIGH_PRESSURE if it.data:
            fields["pressure_mmHg"] = it.command << 8 | it.data[0]
        case Command.STATE if it.data:
            fields["state"] = it.data[0]
    return fields


DECODERS: Mapping[str, Decoder] = {"jxh.bp": decode}

DRIVER = Driver(
    name="ble.jxh",
    transport="ble",
    recognise=recognise,
    talk=talk,
    devices="Lepu BPM-188 and BPM-B02, Technaxx BP and other cuffs that JXH makes, by name.",
    source="Lepu's Bluetooth kit (viatomEcho/LepuBle, BpmBleCmd and BpmBleResponse) and JamBo's "
    "(chinnsenn2/JamBoBleSDK, CigiiBloodPressure).",
    quirks="Two layouts of a result, told apart by their length; each is known from one program, and they have "
    "the pulse in different places, so it is left out until somebody compares it with a display. The shorter "
    "one has no time: the same numbers twice running, with no measurement seen between, count once. All that "
    "is kept is told at every docking, by the same names. A result that follows pressures told here is of now. "
    "The clock can be set, not read. Which of its two users measured is not passed on.",
    proven_by="Nothing real: no frame of one is public. Two programs agree on systolic and diastolic; everything "
    "else is from one. Transcripts by hand, a virtual cuff. Compare the first results with the display.",
    proof=Proof.ONE_SOURCE,
    services=frozenset({SERVICE}),
    names=NAMES,
    sets_clock=True,
    decoders=DECODERS,
)
