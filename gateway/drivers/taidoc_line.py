"""One question and its answer on the TaiDoc bus: waking, repeating, and knowing a stray answer.

What is asked, and when, is `taidoc`'s and `taidoc_memory`'s.
"""

from dataclasses import dataclass

from gateway.conversation import Garbled, Step, note, write
from gateway.drivers import taidoc_frames as frames
from gateway.drivers.framing import Framer, next_frame
from gateway.drivers.taidoc_frames import NO_DATA, Command, Frame

REPLY_TIMEOUT_S = 5.0
"""What the maker's own app waits for an answer."""
TRIES = 4
"""The app asks twelve times; twenty seconds of silence are enough for a customer to wait."""
WAKE_TIMEOUT_S = 2.0
WAKES = 2
"""A sleeping meter may take the first wake as its alarm clock and only answer the second."""
MOST_STRAYS = 32
"""Frames that are not the answer, before a question is asked again: more than any meter repeats itself."""


class NoAnswer(Garbled):
    """Asked again and again, and no answer."""

    def __init__(self) -> None:
        super().__init__("no_answer")


@dataclass(frozen=True, slots=True)
class Pair:
    """One stored record: its time half and its value half, four bytes each."""

    time: bytes
    value: bytes

    @property
    def name(self) -> str:
        """Two reads of a record have the same. The upper bits of byte 5 are left out: an app may set one."""
        return (self.time[:3] + bytes([self.time[3] & 0x1F]) + self.value).hex()


class TaiDocLine:
    """Asks on `channel` ("" on a wire).

    A reply says which command it answers, but not which record. So that an answer that came twice, or too late, is
    not taken for the next one, no two questions about records that follow each other are of the same command.
    """

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._framer = Framer(frames.FRAMES)
        self._complained = False

    def wake(self) -> Step[None]:
        """Makes it listen. Not every model answers this, so silence says nothing."""
        for _ in range(WAKES):
            yield from self.say(Command.WAKE)
            for _ in range(MOST_STRAYS):
                answer = yield from self._next(WAKE_TIMEOUT_S)
                if answer is None:
                    break
                if answer.command in (Command.WAKE, Command.MODEL, Command.NOTICE):
                    return

    def model(self) -> Step[str]:
        """The model's four digits; raises NoAnswer. An empty one is a late answer to the wake."""
        answer = yield from self.ask(Command.MODEL)
        if answer.low == 0:
            answer = yield from self.ask(Command.MODEL)
        return frames.model_of(answer)

    def count(self, user: int, *, tries: int = TRIES) -> Step[int]:
        """How many records are kept for `user`; raises NoAnswer."""
        answer = yield from self.ask(Command.RECORD_COUNT, bytes([user, 0, 0, 0]), tries=tries)
        return 0 if answer.low == frames.NO_VALUE else answer.low

    def pair(self, index: int, user: int) -> Step[Pair]:
        """The record at `index`, 0 being the newest; raises NoAnswer."""
        data = frames.record_data(index, user)
        time = yield from self.ask(Command.RECORD_TIME, data)
        value = yield from self.ask(Command.RECORD_VALUE, data)
        return Pair(time.data, value.data)

    def ask(
        self,
        command: Command,
        data: bytes = NO_DATA,
        *,
        timeout_s: float = REPLY_TIMEOUT_S,
        tries: int = TRIES,
    ) -> Step[Frame]:
        """The meter's answer to `command`; raises NoAnswer."""
        for _ in range(tries):
            yield from self.say(command, data)
            for _ in range(MOST_STRAYS):
                answer = yield from self._next(timeout_s)
                if answer is None or answer.command == Command.NOTICE:
                    break  # the notice means that it was not listening yet
                if answer.command == command:
                    return answer
        raise NoAnswer

    def say(self, command: Command, data: bytes = NO_DATA) -> Step[None]:
        """Sends `command` and waits for nothing. The characteristic takes writes without a response."""
        yield from write(self._channel, frames.request(command, data), acknowledged=not self._channel)

    def _next(self, timeout_s: float) -> Step[Frame | None]:
        """The next frame of the meter, None after silence; our own, which some adapters echo, are passed over."""
        while (data := (yield from next_frame(self._framer, timeout_s, channel=self._channel))) is not None:
            made = frames.frame(data)
            if made.from_device:
                break
        if self._framer.skipped and not self._complained:
            self._complained = True
            yield from note("error", "garbled_line")
        return None if data is None else made
