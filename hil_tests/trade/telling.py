"""What became of what a meter tells once: it still has it, it has said it, or its line went before it could.

What a meter keeps is `family`'s to know; whether somebody can have heard it `truth`'s to judge.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.simulators.line import LineMeter
from gateway.simulators.meter import VirtualMeter
from gateway.simulators.pressure_cuff import PressureCuff
from gateway.simulators.thermometer import Thermometer
from hil_tests.trade.meters import measuring

LONGEST_FRAME = 2048
"""Twice the longest label a lipid analyser prints."""


@dataclass(slots=True, kw_only=True)
class Telling:
    """One measurement on its way out of its meter. `frame` carries the value."""

    frame: bytes
    held: Callable[[], bool]  # whether the meter would tell it again
    links_lost: Callable[[], int]
    lost_before: int
    said: datetime | None = None  # when all of it was on the line, and confirmed where a meter waits for that

    @property
    def line_lost(self) -> bool:
        """Whether somebody walked off with the meter since it measured."""
        return self.links_lost() > self.lost_before


class Tellings:
    """All that one meter has told. `links_lost` counts how often its line went."""

    def __init__(self, device: VirtualMeter | LineMeter) -> None:
        self.links_lost: Callable[[], int] = lambda: 0
        self._meter = measuring(device)
        self._all: list[Telling] = []
        self._heard = b""

    def overheard(self, data: bytes) -> None:
        """The meter has said this."""
        self._heard = (self._heard + data)[-LONGEST_FRAME:]
        for one in self._all:
            if one.frame in self._heard:
                one.said = datetime.now(UTC)
                self._heard = self._heard.partition(one.frame)[2]

    def kept(self) -> tuple[bytes, ...]:
        """What it has still to tell, the newest last."""
        match self._meter:
            case PressureCuff() | Thermometer() as cuff:
                return tuple(record.measurement() for record in cuff.records)
            case LineMeter() as line:
                return line.untold.results
            case meter:
                raise TypeError(f"{meter!r} tells nothing once")

    def measured(self, before: tuple[bytes, ...]) -> Telling:
        """It has measured, and kept what was `before`."""
        fresh = self.kept()[len(before) :]
        frame = fresh[0] if fresh else self._meter.untold.steps[-1]  # live: the last step is the result
        telling = Telling(
            frame=frame,
            held=lambda: frame in self.kept(),
            links_lost=self.links_lost,
            lost_before=self.links_lost(),
        )
        self._all.append(telling)
        return telling
