"""PanGao (攀高) cuffs, which Sinocare sells as BA-8xx: listened to over Bluetooth, asked on a wire.

The frames are `pangao_frames`'. A measurement is never begun from here: an empty cuff must not inflate by itself.
"""

from gateway.conversation import (
    Context,
    Driver,
    Lost,
    Record,
    SerialLine,
    Sighting,
    Step,
    Talk,
    write,
)
from gateway.drivers import pangao_frames as frames
from gateway.drivers.ble_common import NoReading, emit_or_note, introduce
from gateway.drivers.ble_line import Line, open_line, say
from gateway.drivers.cuff import record_of
from gateway.drivers.framing import Framer, next_or_note
from gateway.drivers.pangao_frames import ANYBODY, EVERYBODY, Command, Frame
from gateway.drivers.untimed import Untimed
from gateway.proof import Proof

SERVICE = "00005970-6d75-4753-5053-676e6f6c7553"
LINE = Line(listen="02005970-6d75-4753-5053-676e6f6c7553", say=("01005970-6d75-4753-5053-676e6f6c7553",))
WIRE = Line(listen="", say=("",))
NAMES = ("ClinkBlood",)

POLL_S, REST_S = 2.0, 10.0
"""While it measures, as often as the app that does it asks; else often enough to see every measurement going on,
which takes half a minute."""
SILENT_POLLS, QUIET_POLLS, MOST_BUSY_POLLS = 2, 6, 150
"""Nobody is there; a minute without anything new; and five minutes of one measurement, which no cuff needs. The
line rests a quarter of a minute at most between two conversations: a measurement does not begin and end in it."""


def recognise(sighting: Sighting) -> bool:
    """By its service, or by its name."""
    return SERVICE in sighting.services or sighting.name.startswith(NAMES)


def recognise_wire(sighting: Sighting) -> bool:
    """An adapter does not say what hangs on it: the settings do."""
    return False


def talk(context: Context) -> Talk:
    """Introduce, say hello, answer the cuff when it says that it is on, and listen."""
    yield from introduce()
    line = yield from open_line((LINE,))
    cuff = _Cuff(line, context.last_record)
    try:
        yield from say(line, frames.request(EVERYBODY, Command.HELLO))
        yield from cuff.hear()
    except Lost:
        if not cuff.results.count:  # to hang up after a result is to have finished
            raise


def talk_wire(context: Context) -> Talk:
    """Ask how it goes until nothing has gone on for a minute, and never end amid a measurement."""
    cuff = _Cuff(WIRE, context.last_record, asked=True)
    silent = quiet = busy = 0
    while silent < SILENT_POLLS and quiet < QUIET_POLLS and busy < MOST_BUSY_POLLS:
        yield from write("", frames.request(ANYBODY, Command.CONNECTED))
        heard, news = cuff.heard, cuff.news
        yield from cuff.hear()
        silent = 0 if cuff.heard > heard else silent + 1
        busy = busy + 1 if cuff.results.is_going_on else 0
        quiet = 0 if cuff.news > news or cuff.results.is_going_on else quiet + 1


class _Cuff:
    """What one cuff tells. One that is `asked` repeats its last result to everybody. What was not seen being taken
    is kept as well: the gateway may have been away meanwhile. It has no time, and so links nobody."""

    def __init__(self, line: Line, last: str | None, *, asked: bool = False) -> None:
        self.heard = 0  # frames
        self.news = 0  # results that were not told before
        self.results = Untimed(last)
        self._inflated = False  # pressures were told: the next result is theirs
        self._asked = asked
        self._line = line
        self._framer = Framer(frames.cut)

    @property
    def _patience_s(self) -> float:
        if not self._asked:
            return self.results.patience_s
        return POLL_S if self.results.is_going_on else REST_S

    def hear(self) -> Step[None]:
        """Takes frames until nothing comes for as long as is worth waiting."""
        while True:
            data = yield from next_or_note(self._framer, self._patience_s, channel=self._line.listen)
            if data is None:
                return
            yield from self._take(frames.frame(data))

    def _take(self, it: Frame) -> Step[None]:
        self.heard += 1
        match it.command:
            case Command.ON if it.data:
                yield from say(self._line, frames.request(it.data[0], Command.CONNECTED))
            case Command.RESULT:
                yield from self._result(it)
            case _ if it.length in (frames.STATE_BYTES, frames.PRESSURE_BYTES):
                self.results.going_on()
                self._inflated = self._inflated or it.command == Command.PRESSURE

    def _result(self, it: Frame) -> Step[None]:
        live, self._inflated = self._inflated, False
        if not self.results.is_new(it.data):
            return
        self.news += 1
        yield from emit_or_note(reading_of(it, live=live))
        yield from self.results.keep()


def reading_of(it: Frame, *, live: bool) -> Record | NoReading:
    """The reading in a result frame, or why it is none; `live` where its pressures were seen."""
    measured = frames.result(it)
    if measured is None:
        return NoReading(why="unknown_layout")
    if frames.is_ambiguous(it):
        return NoReading(why="unknown_status")
    return record_of(measured.systolic, measured.diastolic, measured.pulse, live=live)


_DEVICES = "Sinocare 诺凡 BA-801, BA-803, BA-806, BA-819, BA-822, BA-842, BA-852 and PanGao 攀高 cuffs"
_SOURCE = "Two public apps (JamBoBleSDK, KangShuoTech) and SDConstant.h of Sinocare's kit."
_PROVEN = (
    "The handshake's published frames, transcripts, a virtual cuff. The result's layout is read from two apps "
    "that agree: no captured result (B8) is public, and there was no conversation with a real cuff yet."
)
_QUIRKS = (
    "A result carries no time and no number: one that was seen being taken is of now, another of an unknown time, "
    "and two equal ones count once unless the second was seen being taken. One byte of it has no public meaning: "
    "where it might be a high byte, it is refused. The cuff is never made to inflate from here. How its memory is "
    "read, its clock set, and errors told is not public."
)

DRIVER = Driver(
    name="ble.pangao",
    transport="ble",
    recognise=recognise,
    talk=talk,
    devices=f"{_DEVICES} with Bluetooth (ClinkBlood).",
    source=_SOURCE,
    quirks=_QUIRKS,
    proven_by=_PROVEN,
    proof=Proof.AGREED,
    services=frozenset({SERVICE}),
    names=NAMES,
    decoders=frames.DECODERS,
)

WIRE_DRIVER = Driver(
    name="serial.pangao",
    transport="serial",
    recognise=recognise_wire,
    talk=talk_wire,
    devices=f"{_DEVICES} on RS-232 (CHIT).",
    source=_SOURCE,
    quirks=_QUIRKS,
    proven_by=_PROVEN,
    proof=Proof.AGREED,
    line=SerialLine(baud=9600, asks=True),
    decoders=frames.DECODERS,
)
