"""Cuts a stream of bytes into frames and finds its way back after garbage: serial lines, and notifications that
split a frame or carry two.

What a frame says, and whether its checksum is right, is each driver's own.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeAlias

from gateway.conversation import Arrived, Lost, Step, note, wait

Cut: TypeAlias = Callable[[bytes], int]
"""Looks at the front of what has arrived: n > 0, a frame of n bytes stands there; 0, more is needed; n < 0, the
first -n bytes belong to no frame."""

MAX_BUFFERED_BYTES = 64 * 1024
"""More than the longest message of any analyser; beyond it the front is no frame that will ever end."""

LONGEST_COUNTED_BYTES = 4096
"""More than any frame that says how long it is: what has grown beyond waits for an end, and hides no frame."""


class Framer:
    """Feed it what arrives, take frames out. `skipped` counts the bytes that belonged to none."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self._buffer = b""
        self._ready: deque[bytes] = deque()
        self.skipped = 0
        self._skipped_before = 0

    def feed(self, data: bytes) -> None:
        """Takes more bytes in."""
        self._buffer += data
        while self._buffer:
            size = self._cut(self._buffer)
            if size == 0:
                if len(self._buffer) <= MAX_BUFFERED_BYTES:
                    return
                size = -1
            if size > 0:
                self._ready.append(self._buffer[:size])
            else:
                self.skipped += -size
            self._buffer = self._buffer[abs(size) :]

    def take(self) -> bytes | None:
        """The next whole frame, or None."""
        return self._ready.popleft() if self._ready else None

    def noise(self) -> bool:
        """Whether bytes were skipped since this was asked last."""
        before, self._skipped_before = self._skipped_before, self.skipped
        return self.skipped > before

    def look_behind(self) -> None:
        """After a silence: gives up a front that will not become a frame, if a whole one stands behind it."""
        behind = self._buffer[1:] if len(self._buffer) <= LONGEST_COUNTED_BYTES else b""
        while behind:
            size = self._cut(behind)
            if size > 0:
                self.skipped += len(self._buffer) - len(behind)
                self._buffer = b""
                self.feed(behind)
                return
            behind = behind[max(1, -size) :]

    def flush(self) -> bytes:
        """Gives up what has not become a frame, after a silence: these bytes, and an empty buffer."""
        left, self._buffer = self._buffer, b""
        return left


def next_frame(framer: Framer, timeout_s: float, *, channel: str = "") -> Step[bytes | None]:
    """The next frame on `channel`, or None when `timeout_s` brought nothing more for it.

    A head whose frame was cut off may have taken those behind it for its own: when nothing more comes, or the line
    is lost, they are found.
    """
    while (frame := framer.take()) is None:
        try:
            event = yield from wait(timeout_s)
        except Lost:
            framer.look_behind()
            if (frame := framer.take()) is None:
                raise
            return frame
        if not isinstance(event, Arrived):
            framer.look_behind()
            return framer.take()
        if event.channel == channel:
            framer.feed(event.data)
    return frame


def next_or_note(framer: Framer, timeout_s: float, *, channel: str = "") -> Step[bytes | None]:
    """As `next_frame`, and notes bytes that belonged to no frame, and at a silence the frame that was cut off."""
    frame = yield from next_frame(framer, timeout_s, channel=channel)
    if framer.noise():
        yield from note("error", "garbled_bytes")
    if frame is None and framer.flush():
        yield from note("error", "garbled_truncated")
    return frame


def ending(*ends: bytes) -> Cut:
    """Frames that end with any of `ends`: lines of text."""

    def cut(buffer: bytes) -> int:
        found = [at + len(end) for end in ends if (at := buffer.find(end)) >= 0]
        return min(found, default=0)

    return cut


def enclosed(start: bytes, end: bytes, *, after: int = 0) -> Cut:
    """Frames from `start` to `end` and `after` bytes more: STX ... ETX BCC. A second start means that the first
    frame was cut off."""

    def cut(buffer: bytes) -> int:
        if (lost := _before(buffer, (start,))) != 0:
            return -lost
        at = buffer.find(end, len(start))
        again = buffer.rfind(start, len(start), at if at >= 0 else len(buffer))
        if again > 0:
            return -again
        size = at + len(end) + after
        return size if at >= 0 and size <= len(buffer) else 0

    return cut


def counted(heads: Iterable[bytes], size_of: Callable[[bytes], int]) -> Cut:
    """Frames that begin with one of `heads` and say how long they are: `size_of` gives the whole length from what
    there is, 0 while that does not show yet, less for what cannot be a frame."""
    heads = tuple(heads)

    def cut(buffer: bytes) -> int:
        if (lost := _before(buffer, heads)) != 0:
            return -lost
        if len(buffer) < max(map(len, heads)):
            return 0
        size = size_of(buffer)
        if size < 0:
            return -1
        return size if 0 < size <= len(buffer) else 0

    return cut


def _before(buffer: bytes, heads: tuple[bytes, ...]) -> int:
    """How many bytes stand before the first head, or before what may become one at the very end."""
    found = [at for head in heads if (at := buffer.find(head)) >= 0]
    if found:
        return min(found)
    for kept in range(min(len(buffer), max(map(len, heads)) - 1), 0, -1):
        if any(head.startswith(buffer[-kept:]) for head in heads):
            return len(buffer) - kept
    return len(buffer)
