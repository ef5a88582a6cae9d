"""Makers' own Bluetooth services that carry a stream of frames: one channel notifies, another is written to.

Finds the channels a meter has and writes as it allows. What the frames say is each driver's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.conversation import Garbled, Refused, Step, write
from gateway.drivers.ble_common import subscribe_if_there


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Where a meter speaks (`listen`), and where it is spoken to: the first of `say` that takes a write."""

    listen: str
    say: tuple[str, ...]


def open_line(lines: Sequence[Line]) -> Step[Line]:
    """Listens to the first of `lines` that is there; raises Garbled("no_such_channel") where none is."""
    for line in lines:
        if (yield from subscribe_if_there(line.listen)):
            return line
    raise Garbled("no_such_channel")


def say(line: Line, data: bytes) -> Step[bool]:
    """Writes `data`, acknowledged where the channel can; False where no channel takes it.

    Modules differ in their properties, and a driver does not see them: it tries.
    """
    for channel in line.say:
        for acknowledged in (True, False):
            try:
                yield from write(channel, data, acknowledged=acknowledged)
            except Refused:
                continue
            return True
    return False
