"""A virtual serial port: a `LineMeter` on a pseudo terminal that can be plugged, pulled and plugged again.

What the meter says is its own; which port a gateway looks for is `transports.serial_port`'s.
"""

import asyncio
import errno
import fcntl
import os
import struct
import termios
import tty
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from gateway.simulators.line import LineMeter

READ_BYTES = 4096
RETRY_WRITE_S = 0.01
"""A pseudo terminal holds 4 KiB; a host that reads slowly makes its writer wait."""
QUIET_LOOKS = 3
"""The kernel hands bytes from one end to the other a little later: once nothing waits may be too early."""
HEARD_WITHIN_S = 10.0
"""A host that has not read the line by then never will."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFaults:
    """How the line misbehaves. Counts are of bytes from the meter, since it was made."""

    unplug_after: int | None = None  # the plug is pulled before the next byte, once
    drop_byte: int | None = None  # this one is lost on the way (0 is the first)
    garbage_before: bytes = b""  # noise on the line before each piece
    piece_bytes: int | None = None  # the line hands over so many at a time
    pause_s: float = 0.0  # before each of them


class PtyMeter:
    """One virtual meter on a wire. `plug` gives the path of the port, another one each time, as USB does."""

    def __init__(
        self,
        meter: LineMeter,
        *,
        faults: LineFaults | None = None,
        overheard: Callable[[bytes], None] = lambda data: None,
    ) -> None:
        """`overheard` is told whatever is on the line."""
        self.meter = meter
        self.path = ""
        self.said = asyncio.Event()  # set whenever all there was to say has been sent
        self.heard = b""  # everything the host ever sent
        self._faults = faults or LineFaults()
        self._overheard = overheard
        self._sent = 0
        self._pulled = False
        self._ends: tuple[int, int] | None = None
        self._saying: deque[Iterator[bytes]] = deque()
        self._speaker: asyncio.Task[None] | None = None

    @property
    def is_plugged(self) -> bool:
        """Whether the port is there."""
        return self._ends is not None

    def plug(self) -> str:
        """Plugs the meter in; the path of its port."""
        if self._ends is None:
            # The host's end is kept open here too: a pseudo terminal nobody has open reads as an error.
            master, slave = self._ends = os.openpty()
            tty.setraw(slave)
            os.set_blocking(master, False)
            self.path = os.ttyname(slave)
            asyncio.get_running_loop().add_reader(master, self._on_bytes, master)
        return self.path

    def unplug(self) -> None:
        """Pulls the plug, in mid-sentence if need be: what was not sent yet never will be."""
        if self._ends is None:
            return
        master, slave = self._ends
        self._ends = None
        asyncio.get_running_loop().remove_reader(master)
        if self._speaker is not None:
            self._speaker.cancel()
            self._speaker = None
        self._saying.clear()
        os.close(slave)
        os.close(master)
        self.meter.on_line_lost()

    def speak(self) -> None:
        """The meter was used: it says what it has to say by itself."""
        self._say(self.meter.begin())

    def say(self, *pieces: bytes) -> None:
        """Says these bytes, whatever the meter thinks: noise, half a frame, a recording."""
        self._say(iter(pieces))

    def pull_after(self, more_bytes: int | None) -> None:
        """The plug will be pulled once, before the meter has sent so many bytes more; None: it will not."""
        until = None if more_bytes is None else self._sent + more_bytes
        self._faults = replace(self._faults, unplug_after=until)
        self._pulled = False

    async def quiet(self) -> None:
        """Returns once all there was to say has been sent, or the plug was pulled."""
        if self._speaker is not None:
            await asyncio.wait({self._speaker})

    async def heard_out(self, *, within_s: float | None = HEARD_WITHIN_S) -> None:
        """Returns once the host has all that was sent. What is on the line might go with the plug otherwise."""
        quiet = 0
        async with asyncio.timeout(within_s):
            while self._ends is not None and quiet < QUIET_LOOKS:
                await asyncio.sleep(RETRY_WRITE_S)
                quiet = 0 if _waiting(self._ends[1]) else quiet + 1

    def _say(self, pieces: Iterator[bytes]) -> None:
        if self._ends is None:
            return
        self.said.clear()
        self._saying.append(pieces)
        if self._speaker is None or self._speaker.done():
            self._speaker = asyncio.get_running_loop().create_task(self._speak(self._ends[0]))

    def _on_bytes(self, master: int) -> None:
        try:
            data = os.read(master, READ_BYTES)
        except OSError:
            return
        self.heard += data
        self._say(self.meter.hear(data))

    async def _speak(self, master: int) -> None:
        while self._saying:
            for piece in self._saying.popleft():
                for part in _parts(self._faults.garbage_before + piece, self._faults.piece_bytes):
                    if self._faults.pause_s:
                        await asyncio.sleep(self._faults.pause_s)
                    if not await self._send(master, part):
                        return
        self.said.set()

    async def _send(self, master: int, part: bytes) -> bool:
        """Writes; False where the plug was pulled."""
        until, dropped = self._faults.unplug_after, self._faults.drop_byte
        pulled = until is not None and not self._pulled and self._sent + len(part) > until
        if until is not None and pulled:
            part = part[: until - self._sent]
        at = self._sent
        self._sent += len(part)
        if dropped is not None and at <= dropped < at + len(part):
            part = part[: dropped - at] + part[dropped - at + 1 :]
        await _write(master, part)
        self._overheard(part)
        if pulled:
            await self.heard_out()
            self._pulled = True
            self._speaker = None  # it is this task, which ends by itself
            self.unplug()
        return not pulled


def _waiting(slave: int) -> int:
    """Bytes the host has not read yet."""
    return int(struct.unpack("i", fcntl.ioctl(slave, termios.FIONREAD, bytes(4)))[0])


async def _write(master: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(master, data) :]
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
            await asyncio.sleep(RETRY_WRITE_S)


def _parts(data: bytes, size: int | None) -> Iterable[bytes]:
    size = size or max(len(data), 1)
    return (data[at : at + size] for at in range(0, len(data), size))
