"""A conversation with a meter as a text file, played through a driver.

One file is test case, simulator script, bug report and documentation at once. Its lines are read and written by
`gateway.transcript_text`; a conversation over a real link is `gateway.converse`'s.

    # driver: ble.glucose
    # name: Yuwell Glucose
    # address: C4:64:E3:00:00:01
    # services: 1808
    # received: 2026-01-03T03:35:00+00:00
    # last_record: 7@2026-01-02T09:00:00
    # Any other line that begins with # is for people.

    > pair
    > read 2a29
    < 2a29 "Yuwell"
    > read 2a24
    . refused attribute_not_found
    > subscribe 2a18
    > write 2a52 0101
    < 2a18 060000de0701030b211b24c011
    = glucose key=0@2014-01-03T11:33:27 glucose_mmol_l=3.6 time=2014-01-03T11:33:27 shown="3.6 mmol/L"
    = remember 0@2014-01-03T11:33:27
    . silence
    = garbled racp_no_answer

A header `# waited: yes` says that the meter spoke before anybody listened, a line `. lasted 130` that the talk had
gone on for so many seconds when its driver asked for the time; without one it took none.
`>` the driver, `<` the device, `=` what is brought home, `.` silence, refusal or loss. A driver's waits are not
written: what comes next answers them. `-` stands for the one channel of a serial line; text in quotes is its UTF-8
bytes; `write!` asks for no acknowledgement. `= refused ...`, `= garbled ...` or `= lost` is how it ended badly.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from gateway.conversation import (
    Action,
    ConversationError,
    Done,
    Driver,
    Emit,
    Garbled,
    HowLong,
    Lasted,
    Lost,
    Note,
    Read,
    Record,
    Refused,
    Remember,
    Wait,
)
from gateway.drivers import DRIVERS, NotADriver, known_drivers
from gateway.transcript_text import (
    Answer,
    Line,
    Malformed,
    Transcript,
    action_text,
    ending_text,
    heard,
    parse,
    record_text,
)
from gateway.vouch import check


class Mismatch(AssertionError):
    """The driver did not do what the transcript says: which line, what it should say, what the driver did."""


@dataclass(slots=True, kw_only=True)
class Played:
    """What came of playing: what was brought home, how it ended (None: well), and every action with its answer."""

    records: list[Record] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    remembered: str | None = None
    error: ConversationError | None = None
    exchanges: list[tuple[Action, Answer]] = field(default_factory=list)


def play(transcript: Transcript, driver: Driver) -> Played:
    """Runs `driver` against `transcript`. Raises Mismatch at the first word that differs."""
    script = _Script(transcript.lines)
    played = Played()
    talk = driver.talk(transcript.context)
    answer: Answer | None = None
    try:
        while True:
            match answer:
                case None:
                    action = next(talk)
                case Refused() | Lost():
                    action = talk.throw(answer)
                case _:
                    action = talk.send(answer)
            answer = _answer(action, script, played)
            played.exchanges.append((action, answer))
    except StopIteration:
        pass
    except ConversationError as error:
        played.error = error
        script.expect("=", ending_text(error), "the conversation ended with")
    script.expect_end()
    return played


def _answer(action: Action, script: "_Script", played: Played) -> Answer:
    match action:
        case Emit(record):
            try:
                check(record)
            except Garbled as garbled:  # in a store it would end the conversation
                raise Mismatch(f"the driver brought what no reading can be made of: {garbled.error}") from None
            script.expect("=", record_text(record), "the driver brought")
            played.records.append(record)
            return Done()
        case Note(what, value):
            script.expect("=", action_text(action), "the driver noted")
            played.notes.append((what, value))
            return Done()
        case Remember(value):
            script.expect("=", action_text(action), "the driver remembered")
            played.remembered = value
            return Done()
        case Wait():
            return script.heard()
        case HowLong():
            return script.lasted()
        case Read():
            script.expect(">", action_text(action), "the driver said")
            return script.heard()
        case _:
            script.expect(">", action_text(action), "the driver said")
            return script.refusal() or Done()


class _Script:
    """The lines still to come."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines
        self._at = 0

    def _next(self) -> Line | None:
        return self._lines[self._at] if self._at < len(self._lines) else None

    def expect(self, mark: str, text: str, who: str) -> None:
        """Takes the next line, which must be `mark text`."""
        line = self._next()
        if line is None:
            raise Mismatch(f"after the last line {who}: {mark} {text}")
        if (line.mark, line.text) != (mark, text):
            raise Mismatch(
                f"line {line.number}: the transcript says: {line.mark} {line.text}\n{who}: {mark} {text}"
            )
        self._at += 1

    def heard(self) -> Answer:
        """Takes the next line as the answer to a wait or a read."""
        line = self._next()
        if line is None:
            raise Mismatch("after the last line the driver still waits")
        if line.mark not in "<." or isinstance(heard(line), Lasted):
            raise Mismatch(f"line {line.number}: the transcript says: {line.mark} {line.text}\nthe driver waits")
        self._at += 1
        return heard(line)

    def lasted(self) -> Lasted:
        """Takes the next line if it says how long it took until here; else it took no time."""
        line = self._next()
        if line is not None and line.mark == "." and isinstance(answer := heard(line), Lasted):
            self._at += 1
            return answer
        return Lasted(0)

    def refusal(self) -> Refused | Lost | None:
        """Takes the next line if it says that the action before it failed."""
        line = self._next()
        if line is None or line.mark != ".":
            return None
        answer = heard(line)
        if not isinstance(answer, Refused | Lost):
            return None
        self._at += 1
        return answer

    def expect_end(self) -> None:
        """Nothing may be left to say."""
        line = self._next()
        if line is not None:
            raise Mismatch(
                f"line {line.number}: the transcript says: {line.mark} {line.text}\nthe driver has ended"
            )


# --- the command -------------------------------------------------------------------------------------------


def main_replay(argv: Sequence[str]) -> int:
    """`python -m gateway replay TRANSCRIPT`: prints each record as a line of JSON; 1 if the driver differs."""
    parser = argparse.ArgumentParser(
        prog="python -m gateway replay", description="Play a transcript to its driver."
    )
    parser.add_argument("transcript", type=Path, help="a file like those in tests/gateway/drivers/transcripts")
    path: Path = parser.parse_args(argv).transcript
    try:
        transcript = parse(path.read_text(encoding="utf-8"))
        played = play(transcript, _driver(transcript.driver))
    except OSError as error:
        sys.stderr.write(f"{path}: {error.strerror}\n")
        return 1
    except UnicodeDecodeError:
        sys.stderr.write(f"{path}: is not a text file\n")
        return 1
    except (Malformed, Mismatch) as error:
        sys.stderr.write(f"{path}: {error}\n")
        return 1
    for record in played.records:
        sys.stdout.write(msgspec.json.encode(record).decode() + "\n")
    return 0


def _driver(name: str) -> Driver:
    try:
        drivers = known_drivers()
    except NotADriver as error:
        sys.stderr.write(f"warning: {error}; playing without installed packages\n")
        drivers = DRIVERS
    for driver in drivers:
        if driver.name == name:
            return driver
    raise Malformed(f"no driver is called {name!r}; there are {', '.join(driver.name for driver in drivers)}")
