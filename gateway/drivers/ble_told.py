"""Meters that tell by themselves what they kept, as soon as they are listened to, and forget what is confirmed.

Cuffs and thermometers do. What a frame says, and whether it is a reading, is each driver's own.
"""

from collections.abc import Callable

from gateway.conversation import Arrived, Garbled, Lost, Record, Silence, Step, subscribe, wait
from gateway.drivers.ble_common import NoReading, emit_or_note

FIRST_TIMEOUT_S = 30.0
"""Such a meter connects when it has something to tell; some only after the display has settled."""
IDLE_TIMEOUT_S = 10.0
"""Stored records follow each other within a second; ten of silence is the end, as nothing else announces it."""


def emit_what_is_told(channel: str, record_in: Callable[[bytes], Record | NoReading]) -> Step[None]:
    """Listens to `channel` until nothing more comes and emits each record; why one is no reading becomes a note.

    The radio's confirmation of an indication makes the meter forget the record, and it is given before we see it:
    the journal has the bytes, and nothing here may keep the next record waiting.
    """
    yield from subscribe(channel)
    told = False
    while not isinstance(event := (yield from next_told(told, first_s=FIRST_TIMEOUT_S)), Silence):
        if event.channel != channel:
            continue
        told = True
        try:
            made = record_in(event.data)
        except Garbled as garbled:  # one bad frame must not cost the records behind it
            made = NoReading(why=f"garbled_{garbled.error}")
        yield from emit_or_note(made)


def next_told(told: bool, *, first_s: float) -> Step[Arrived | Silence]:
    """What comes next: within `first_s`, or soon where something was `told` already. A meter that hangs up once it
    has told something has simply finished."""
    try:
        return (yield from wait(IDLE_TIMEOUT_S if told else first_s))
    except Lost:
        if not told:
            raise
        return Silence()
