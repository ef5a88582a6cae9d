"""One open serial port: opened for this process alone, its bytes in a bounded queue, a line for a conversation.

Which port, when, and for whom is `serial_port`'s; where one frame ends and the next begins is the drivers'.
"""

import asyncio
import errno
import fcntl
import logging
import os
import termios
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import serial

from gateway.conversation import Lost, Refused, SerialLine
from gateway.converse import LATE

log = logging.getLogger(__name__)

READ_BYTES = 4096
"""What a terminal of the kernel holds."""
WAITING_BYTES = 256 * 1024
"""More than any meter's memory says. Beyond it the port is not read: the kernel holds the rest, and the meter."""

BUSY, DENIED, GONE, FAILED = "busy", "denied", "gone", "failed"
"""Why a port could not be opened."""


class CannotOpen(Exception):
    """The port cannot be had; `why` is busy, denied, gone or failed."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Tty(serial.Serial):
    """pyserial's port, but for one thing: what a meter said before we listened is not thrown away.

    A USB meter (CDC-ACM) keeps its last line until somebody opens the port; pyserial discards what waits there.
    """

    def _reset_input_buffer(self) -> None:
        """Called by pyserial while it opens the port, and by nobody else here."""


def open_tty(device: str, line: SerialLine) -> Tty:
    """Opens `device` as `line` says and keeps everybody else out; raises CannotOpen. It may block."""
    try:
        tty = Tty(
            device,
            baudrate=line.baud,
            bytesize=line.data_bits,
            parity=line.parity,
            stopbits=line.stop_bits,
            timeout=0,
            exclusive=True,  # flock: keeps out whoever asks for it too, root included
        )
        # TIOCEXCL keeps out the rest, such as ModemManager, which talks to every new port.
        fcntl.ioctl(tty.fileno(), termios.TIOCEXCL)
    except (OSError, ValueError, termios.error) as error:
        raise CannotOpen(why_not(error)) from None
    return tty


def why_not(error: Exception) -> str:
    """The word for an error of opening a port."""
    match error.args[0] if error.args else None:
        case errno.EBUSY | errno.EAGAIN:
            return BUSY
        case errno.EACCES | errno.EPERM:
            return DENIED
        case errno.ENOENT | errno.ENODEV | errno.ENXIO | errno.EIO | errno.EHOSTDOWN | errno.EHOSTUNREACH:
            return GONE
        case _:
            return FAILED


class OpenPort:
    """See `converse.Link`. It reads for as long as the port is there, in conversations and between them.

    What a meter that speaks by itself says between two conversations begins the next. What one that is asked
    (`asks`) says between them is an answer that came too late: it goes to the channel LATE, so that no driver
    takes it for the answer to its first question.
    """

    def __init__(self, tty: Tty, *, asks: bool, on_news: Callable[[], None]) -> None:
        """`on_news` is called when bytes came, or the port went."""
        self.gone = False
        self.talking = False
        self.fetched = 0
        """Bytes handed out so far."""
        self._on_news = on_news
        self._news = asyncio.Event()
        self._can_write = asyncio.Event()
        self._tty = tty
        self._fd = tty.fileno()
        self._asks = asks
        self._arrived: deque[tuple[str, bytes]] = deque()
        self._held = 0
        self._reading = False
        self._read_on()

    @property
    def waiting(self) -> bool:
        """Whether something has been said that nobody was handed."""
        return bool(self._arrived)

    async def pair(self) -> None:
        """See Link; there is nothing to pair on a cable."""

    async def subscribe(self, channel: str) -> None:
        """See Link; a cable is always listened to."""

    async def read(self, channel: str) -> bytes:
        """See Link."""
        raise Refused("no_such_channel")

    async def write(self, channel: str, data: bytes, acknowledged: bool) -> None:
        """See Link; returns when the kernel has taken all of it. `converse` has the deadline."""
        while data:
            if self.gone:
                raise Lost("the port is gone")
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                await self._writable()
            except OSError:
                self.close()
                raise Lost("the port is gone") from None

    async def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        """See Link; what arrived before the plug was pulled is handed out before the loss is reported."""
        if not self._arrived and not self.gone:
            self._news.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._news.wait()
            except TimeoutError:
                return None
        if not self._arrived:
            raise Lost("the port is gone")
        channel, data = self._arrived.popleft()
        self._held -= len(data)
        self.fetched += len(data)
        self._read_on()
        return channel, data

    def close(self) -> None:
        """Gives the port back. What was read is still handed out."""
        if self.gone:
            return
        self._stop_reading()
        asyncio.get_running_loop().remove_writer(self._fd)
        self.gone = True
        with suppress(OSError, termios.error):
            self._tty.close()
        self._can_write.set()
        self._tell()

    def _read_on(self) -> None:
        if not self._reading and not self.gone and self._held < WAITING_BYTES:
            self._reading = True
            asyncio.get_running_loop().add_reader(self._fd, self._on_readable)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            asyncio.get_running_loop().remove_reader(self._fd)

    def _on_readable(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:  # a terminal that is readable and has nothing has hung up: the plug is out
            self.close()
            return
        self._arrived.append((LATE if self._asks and not self.talking else "", data))
        self._held += len(data)
        if self._held >= WAITING_BYTES:
            self._stop_reading()
            log.warning("serial.queue_full bytes=%d", self._held)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._on_news()

    async def _writable(self) -> None:
        self._can_write.clear()
        loop = asyncio.get_running_loop()
        loop.add_writer(self._fd, self._can_write.set)
        try:
            await self._can_write.wait()
        finally:
            if not self.gone:
                loop.remove_writer(self._fd)
