"""Omron cuffs with the Bluetooth service FE4A: unlocked, and their memory read slot by slot.

The packets are `omron_frames`'; whether a value is believable is `gateway.vouch`'s business.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from gateway.conversation import (
    Arrived,
    Context,
    ConversationError,
    Driver,
    Garbled,
    Record,
    Sighting,
    Step,
    Talk,
    emit,
    note,
    wait,
    write,
)
from gateway.drivers import omron_frames as frames
from gateway.drivers.ble_common import bond, introduce, subscribe_if_there
from gateway.drivers.ble_time import step_s
from gateway.drivers.framing import Framer, counted, next_frame
from gateway.drivers.omron_frames import RECORD_BYTES, Packet, Stored
from gateway.proof import Doubt, Proof
from gateway.units import canonical
from gateway.wire.messages import Shown
from gateway.wire.vocabulary import Kind

SERVICE = "fe4a"
NOTIFY = "49123040-aee8-11e1-a74d-0002a5d5c51b"
WRITE = "db5b55e0-aee7-11e1-965e-0002a5d5c51b"
UNLOCK = "b305b680-aee7-11e1-a730-0002a5d5c51b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """How one model keeps its records."""

    slots: int
    slots_per_read: int = 4  # 56 bytes and the packet around them are 64: what its own program asks for
    swapped: bool = False


MODELS: Mapping[str, Memory] = {
    "HEM-7143T1": Memory(slots=30),
    "HEM-7142T2": Memory(slots=14, slots_per_read=3),
    "HEM-7530T": Memory(slots=90, slots_per_read=1, swapped=True),
}
"""By how the model number begins: what follows is the country. Read as another model's, a memory is nonsense that
looks like pressures, so a model that is not here is refused."""

TOKEN = b"KDCK"
"""The cuff gives any four bytes back and opens; they are no secret, and it keeps none."""
OPENED = b"\x91\x00"

ANSWER_TIMEOUT_S = 3.0
"""A cuff answers within 0.2 s; its memory is slow after a measurement."""
ATTEMPTS = 3
"""Reading twice changes nothing, and a lost answer costs one of these."""


def recognise(sighting: Sighting) -> bool:
    """Omron's own service."""
    return SERVICE in sighting.services


def talk(context: Context) -> Talk:
    """Pair, introduce, unlock, and read the whole memory, oldest measurement first."""
    yield from bond()
    about = yield from introduce()
    memory = next((memory for model, memory in MODELS.items() if about.model.startswith(model)), None)
    if memory is None:
        yield from note("error", "unknown_model")
        return
    yield from _unlock()
    yield from _Session(memory).run()


def record_of(it: Stored) -> Record:
    """The reading in a record."""
    values = {
        "systolic_mmhg": (it.systolic, "mmHg"),
        "diastolic_mmhg": (it.diastolic, "mmHg"),
        "pulse_per_min": (it.pulse, "/min"),
    }
    return Record(
        kind=Kind.BLOOD_PRESSURE,
        key=key_of(it),
        values={name: canonical(name, Decimal(number), unit) for name, (number, unit) in values.items()},
        shown=tuple(Shown(quantity=name, value=str(number), unit=unit) for name, (number, unit) in values.items()),
        device_time=it.time,
        time_step_s=step_s(it.time),
        flags=("irregular_pulse",) * it.irregular + ("body_movement",) * it.movement,
    )


def key_of(it: Stored) -> str:
    """The record's own name: its time and its numbers, because a clock that starts again says a time twice."""
    return f"{it.time.isoformat()}#{it.systolic}/{it.diastolic}/{it.pulse}"


def _unlock() -> Step[None]:
    """Opens the memory. A cuff that was just switched to pairing has it open, and does not always answer."""
    if not (yield from subscribe_if_there(UNLOCK)):
        return
    yield from write(UNLOCK, b"\x11" + TOKEN + bytes(15))
    while isinstance(event := (yield from wait(ANSWER_TIMEOUT_S)), Arrived):
        if event.channel == UNLOCK:
            if not event.data.startswith(OPENED + TOKEN):
                yield from note("error", "not_unlocked")
            return


class _Session:
    """From start to end; the cuff shows an error if it is not told the end."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._framer = Framer(counted((b"",), frames.size_of))

    def run(self) -> Step[None]:
        """Everything; raises Garbled("no_answer") where the cuff does not speak."""
        if not (yield from subscribe_if_there(NOTIFY)):
            raise Garbled("no_such_channel")
        yield from self._ask(frames.start())
        yield from self._note_clock()
        found: list[Stored] = []
        try:
            yield from self._read_into(found)
        except ConversationError:
            # Half a memory: the rest is read the next time, and what is here gets the same names again.
            yield from self._hand_over(found)
            raise
        yield from self._hand_over(found)
        yield from self._ask(frames.end())

    def _note_clock(self) -> Step[None]:
        try:
            settings = yield from self._ask(frames.read(frames.SETTINGS[0], frames.SETTINGS_BYTES))
        except Garbled:
            yield from note("error", "no_clock")
            return
        data = frames.pairs_swapped(settings.data) if self._memory.swapped else settings.data
        clock = frames.device_clock(data)
        if clock is not None:
            yield from note("clock", clock.isoformat())

    def _read_into(self, found: list[Stored]) -> Step[None]:
        for first in range(0, self._memory.slots, self._memory.slots_per_read):
            slots = min(self._memory.slots_per_read, self._memory.slots - first)
            address = frames.FIRST_RECORD + first * RECORD_BYTES
            reply = yield from self._ask(frames.read(address, slots * RECORD_BYTES))
            for at in range(0, slots * RECORD_BYTES, RECORD_BYTES):
                slot = reply.data[at : at + RECORD_BYTES]
                try:
                    found.append(frames.stored(slot, swapped=self._memory.swapped))
                except Garbled as garbled:
                    if garbled.error != "empty_slot":
                        yield from note("error", f"garbled_{garbled.error}")

    def _hand_over(self, found: list[Stored]) -> Step[None]:
        yield from note("records", str(len(found)))
        for one in sorted(found, key=lambda one: one.time):  # the slots are a ring without a beginning
            yield from emit(record_of(one))

    def _ask(self, asked: Packet) -> Step[Packet]:
        """The reply to `asked`, which is sent again where none comes; raises Garbled("no_answer")."""
        for _ in range(ATTEMPTS):
            yield from write(WRITE, frames.encoded(asked))
            while (data := (yield from next_frame(self._framer, ANSWER_TIMEOUT_S, channel=NOTIFY))) is not None:
                if self._framer.noise():
                    yield from note("error", "garbled_bytes")
                try:
                    reply = frames.packet(data)
                except Garbled as garbled:
                    yield from note("error", f"garbled_{garbled.error}")
                    break
                if reply.answers(asked):
                    return reply
            self._framer.flush()
        raise Garbled("no_answer")


DRIVER = Driver(
    name="ble.omron",
    transport="ble",
    recognise=recognise,
    talk=talk,
    devices="Omron HEM-7143T1 and HEM-7142T2, of any country. Others with the service FE4A are refused: "
    "each model keeps its records in its own way.",
    source="shawn-gxp/sh3-pi (a phone's session with a HEM-7143T1, its memory explained byte by byte), "
    "userx14/omblepy (packets of eight models), hass-omron and a fork of it (HEM-7142T2).",
    quirks="A systolic pressure is kept less 25. Seconds may count to 63 and are cut to 59. The memory is a ring "
    "without a beginning, sorted here by time. Reading clears nothing. A HEM-7530T exchanges the bytes of each "
    "pair; it is read where it has FE4A, and its older service is not. The clock is never set: it lies among the "
    "cuff's calibration.",
    proven_by="A captured read of a HEM-7143T1's memory with what the cuff showed, a captured settings block and "
    "session, two captured records of a HEM-7142T2, transcripts, a virtual cuff. The HEM-7530T's order of bytes "
    "is from one program, without a capture. No conversation with a real cuff yet.",
    proof=Proof.CAPTURED,
    doubts=frozenset({Doubt.MODELS}),
    services=frozenset({SERVICE}),
    decoders=frames.DECODERS,
)
