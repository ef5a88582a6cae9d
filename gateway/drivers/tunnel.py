"""Tunnel monitors on a wire: each result is told once, when it is measured, and forgotten. There is no question,
no acknowledgement and no memory.

The frames are each driver's own. Who kept the bytes meanwhile is the journal.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from gateway.conversation import Context, Garbled, Record, Step, emit, note
from gateway.drivers.ble_common import NoReading
from gateway.drivers.framing import Framer, next_frame

QUIET_S = 2.0
"""The longest result takes a third of a second at 2400 baud; after two of silence it is told."""
MadeOf: TypeAlias = Callable[[bytes], Record | NoReading | None]
"""What a frame is; None is a frame that says nothing."""


def emit_each_result(context: Context, framer: Framer, made_of: MadeOf) -> Step[None]:
    """Emits what `made_of` makes of each frame until the line is quiet.

    What has not become a frame by then was cut off, or came from somebody else. A result is of the moment it is
    told at, whatever the monitor's clock says, unless the port kept it for us while nobody listened.
    """
    noisy = False
    while (frame := (yield from next_frame(framer, QUIET_S))) is not None:
        yield from _emit(context, frame, made_of)
        if framer.skipped and not noisy:
            noisy = True
            yield from note("error", "garbled_noise")
    if left := framer.flush():
        yield from _emit(context, left, made_of)
    elif framer.skipped and not noisy:
        yield from note("error", "garbled_noise")


def _emit(context: Context, frame: bytes, made_of: MadeOf) -> Step[None]:
    try:
        made = made_of(frame)
    except Garbled as garbled:
        made = NoReading(why=f"garbled_{garbled.error}")
    match made:
        case NoReading(why=why):
            yield from note("error", why)
        case Record():
            yield from emit(replace(made, live=not context.sighting.waited))
