"""What the store knows of its meters: which driver reads them, battery, clock, the last error, when last heard.

A picture like the board's: bounded, in memory, empty after a restart. What a meter's words mean is its driver's
business, how they are shown the screen's.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.conversation import Driver, Sighting
from gateway.proof import Doubt, Proof

METERS_KEPT = 64
"""A counter carries a dozen meters; passers-by with meters of their own must not fill the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterState:
    """One meter. `last_error` is the class of what went wrong last (lost, refused, ..., or the meter's own error),
    "" once it was read well; `clock_asked`: its clock will be set when it is read next."""

    address: str
    transport: str
    name: str
    driver: str
    proof: Proof
    doubts: frozenset[Doubt]
    sets_clock: bool
    last_seen: datetime
    maker: str = ""
    model: str = ""
    serial: str = ""
    battery_percent: int | None = None
    clock_offset_s: float | None = None  # gateway minus meter: positive where the meter is behind
    clock_asked: bool = False
    clock_set_at: datetime | None = None
    last_error: str = ""
    last_error_at: datetime | None = None


class Meters:
    """Told what docking hears; asked by the screen. Meters are known by their address."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, MeterState] = OrderedDict()
        self._complained: set[str] = set()  # told of an error of their own in the present conversation

    def seen(self) -> tuple[MeterState, ...]:
        """Every meter, the last one heard first."""
        return tuple(reversed(self._known.values()))

    def met(self, sighting: Sighting, driver: Driver, at: datetime) -> None:
        """A meter is within reach, and this driver reads it."""
        before = self._known.get(sighting.address)
        if before is None or before.driver != driver.name:
            state = MeterState(
                address=sighting.address,
                transport=sighting.transport,
                name=sighting.name,
                driver=driver.name,
                proof=driver.proof,
                doubts=driver.doubts,
                sets_clock=driver.sets_clock,
                last_seen=at,
            )
        else:
            state = replace(before, name=sighting.name or before.name, last_seen=at)
        self._known[sighting.address] = state
        self._known.move_to_end(sighting.address)
        if len(self._known) > METERS_KEPT:
            self._complained.discard(self._known.popitem(last=False)[0])

    def begun(self, address: str) -> None:
        """A conversation began."""
        self._complained.discard(address)

    def noted(self, address: str, facts: Mapping[str, str], clock_offset_s: float | None, at: datetime) -> None:
        """What a conversation has learned so far; see `gateway.conversation.Note` for the names."""
        state = self._known.get(address)
        if state is None:
            return
        battery = facts.get("battery_percent", "")
        state = replace(
            state,
            maker=facts.get("maker", state.maker),
            model=facts.get("model", state.model),
            serial=facts.get("serial", state.serial),
            battery_percent=int(battery) if battery.isdecimal() else state.battery_percent,
            clock_offset_s=state.clock_offset_s if clock_offset_s is None else clock_offset_s,
        )
        if error := facts.get("error"):
            state = replace(state, last_error=error, last_error_at=at)
            self._complained.add(address)
        if "clock_set" in facts:
            state = replace(state, clock_asked=False, clock_set_at=at, clock_offset_s=0.0)
        self._known[address] = state

    def ended(self, address: str, error: str | None, at: datetime) -> None:
        """A conversation ended: well (`error` None), or with the class of what went wrong."""
        state = self._known.get(address)
        if state is None:
            return
        if error is not None:
            state = replace(state, last_error=error, last_error_at=at)
        else:
            # A meter that was read and did not take the time will not take it at the next try either.
            state = replace(state, clock_asked=False)
            if address not in self._complained:
                state = replace(state, last_error="", last_error_at=None)
        self._known[address] = state

    def ask_clock(self, address: str) -> bool:
        """Staff want this meter's clock set; False where it cannot be."""
        state = self._known.get(address)
        if state is None or not state.sets_clock:
            return False
        self._known[address] = replace(state, clock_asked=True)
        return True

    def clock_asked(self, address: str) -> bool:
        """Whether the conversation that begins now should set the clock."""
        state = self._known.get(address)
        return state is not None and state.clock_asked
