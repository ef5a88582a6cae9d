"""A virtual analyser with an ASTM port: it keeps each message until its last frame was acknowledged.

Written from E1381 (the sending side) and from a captured Afinion message. The wire is `serial_line`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from gateway.simulators.line import LineMeter

STX, ETX, EOT, ENQ, ACK, NAK, ETB = b"\x02", b"\x03", b"\x04", b"\x05", b"\x06", b"\x15", b"\x17"
MAX_TEXT = 240  # characters in a frame
MAX_TRIES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One result: what the analyser calls the test, the value as it writes it, its unit and flag."""

    test: str
    value: str
    unit: str
    flag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one cartridge gave."""

    at: datetime
    number: int
    results: tuple[Measured, ...]
    control: bool = False


@dataclass(kw_only=True)
class AstmAnalyser(LineMeter):
    """An Afinion by its words. `runs` are the messages it still has to deliver, the oldest first.

    `bad_checksums`: so many frames are damaged on their way, once each. `frame_characters`: an Afinion sends a
    whole message in one frame; E1381 allows 240 characters.
    """

    serial: str = "AF20052397"
    frame_characters: int = MAX_TEXT
    line_end: bytes = b"\r"
    bad_checksums: int = 0
    runs: list[Run] = field(default_factory=list)
    _frames: list[bytes] = field(default_factory=list)  # of the transfer under way; the first is being sent
    _asked: bool = False  # ENQ is out, no frame yet
    _tries: int = 0
    _count: int = 0

    def measure(self, *results: Measured, control: bool = False) -> None:
        """Takes a measurement now."""
        self._count += 1
        self.runs.append(Run(at=self.clock(), number=self._count, results=results, control=control))

    def measure_hba1c(self, percent: Decimal, *, control: bool = False) -> None:
        """Takes an HbA1c; 4.0 to 15.0 % can be measured."""
        low, high = Decimal("4.0"), Decimal("15.0")
        flag = "<" if percent < low else ">" if percent > high else ""
        shown = f"{flag}{min(max(percent, low), high)}"
        self.measure(Measured(test="HbA1c", value=shown, unit="%", flag=flag), control=control)

    def measure_panel(self, total: Decimal, hdl: Decimal, triglyceride: Decimal, ldl: Decimal | None) -> None:
        """Takes a lipid panel in mmol/L; without LDL where it could not be calculated."""
        named = {"Chol": total, "HDL": hdl, "Trig": triglyceride}
        results = [Measured(test=test, value=str(value), unit="mmol/L") for test, value in named.items()]
        results.append(Measured(test="LDL", value="--- " if ldl is None else str(ldl), unit="mmol/L"))
        self.measure(*results)

    def begin(self) -> Iterator[bytes]:
        """See LineMeter: asks for the line if there is something to deliver."""
        if self.runs and not self._asked and not self._frames:
            self._asked = True
            yield ENQ

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter: the host's ACKs and NAKs."""
        for at in range(len(data)):
            yield from self._heard(data[at : at + 1])

    def on_line_lost(self) -> None:
        """See LineMeter: the message under way is sent again from its beginning, next time."""
        self._frames, self._asked, self._tries = [], False, 0

    def _heard(self, answer: bytes) -> Iterator[bytes]:
        if answer == ACK and self._asked:
            self._asked, self._frames = False, list(self._frames_of(self.runs[0]))
            yield self._sent(self._frames[0])
        elif answer == ACK and self._frames:
            self._frames.pop(0)
            self._tries = 0
            if self._frames:
                yield self._sent(self._frames[0])
                return
            self.runs.pop(0)
            yield EOT
            yield from self.begin()
        elif answer == NAK and self._frames:
            self._tries += 1
            if self._tries < MAX_TRIES:
                yield self._sent(self._frames[0])
                return
            self.on_line_lost()
            yield EOT

    def _sent(self, frame: bytes) -> bytes:
        if self.bad_checksums:
            self.bad_checksums -= 1
            return frame[:2] + bytes([frame[2] ^ 1]) + frame[3:]
        return frame

    def _frames_of(self, run: Run) -> Iterator[bytes]:
        text = self.message(run).encode()
        size = self.frame_characters
        parts = [text[at : at + size] for at in range(0, len(text), size)]
        for number, part in enumerate(parts, 1):
            body = str(number % 8).encode() + part + (ETX if number == len(parts) else ETB)
            yield STX + body + f"{sum(body) % 256:02X}".encode() + self.line_end

    def message(self, run: Run) -> str:
        """The records of one run."""
        now, at = f"{self.clock():%Y%m%d%H%M%S}", f"{run.at:%Y%m%d%H%M%S}"
        records = [
            rf"H|\^&|||Afinion 2 Analyzer^^{self.serial}|||||||{'Q' if run.control else 'P'}|1|{now}",
            "P|1||||||U",
            f"O|1||{run.number}|^^^{run.results[0].test}|||||||N||||^C||||||||^10228413||F",
        ]
        for number, each in enumerate(run.results, 1):
            records.append(f"R|{number}|^^^{each.test}|{each.value}|{each.unit}||{each.flag}||F||||{at}")
        return "".join(record + "\r" for record in [*records, "L|1|N"])
