"""The store's meters in words: battery, last heard, last error, clock, and how sure this dock is of them. Pure.

What is known of a meter is `gateway.meters`'; errors in words are `troubles`'.
"""

from dataclasses import dataclass
from datetime import datetime

from gateway.i18n import Translate
from gateway.meters import MeterState
from gateway.proof import Doubt, Proof, to_compare
from gateway.screen.troubles import advice
from gateway.screen.wording import Wording

LOW_PERCENT = 20
"""Below this a meter may fail with the next customer; makers' own warnings begin between 10 and 25."""
CLOCK_OFF_S = 300
"""A reading's place among others is still right within five minutes; what is further off should be set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """One meter as staff see it."""

    address: str
    name: str
    line: str  # Bluetooth, Cable, ...
    seen: str
    battery_percent: int | None
    battery: str
    battery_tone: str  # ok, wait, bad
    clock: str
    clock_tone: str
    sets_clock: bool
    clock_asked: bool
    error: str
    do: str
    error_at: str
    proven: str  # what is public of how it writes a result
    doubts: str  # what of it is less sure
    to_compare: bool  # each value, with the meter's display

    @property
    def ailing(self) -> bool:
        """Whether somebody should look at it."""
        return bool(self.error) or self.battery_tone == "bad" or self.clock_tone == "wait"


def meters(known: tuple[MeterState, ...], now: datetime, wording: Wording) -> tuple[Meter, ...]:
    """Every meter: those that need somebody first, then by name."""
    shown = [_meter(one, now, wording) for one in known]
    return tuple(sorted(shown, key=lambda one: (not one.ailing, one.name, one.address)))


def _meter(state: MeterState, now: datetime, wording: Wording) -> Meter:
    _ = wording.say
    battery, battery_tone = _battery(state.battery_percent, wording)
    clock, clock_tone = _clock(state, now, wording)
    said = advice(state.last_error, _) if state.last_error else None
    names = {"ble": _("Bluetooth"), "serial": _("Cable"), "dock": _("Dock"), "virtual": _("Virtual meters")}
    return Meter(
        address=state.address,
        name=" ".join(part for part in (state.maker, state.model) if part) or state.name or state.address,
        line=names.get(state.transport, state.transport),
        seen=wording.ago(state.last_seen, now),
        battery_percent=state.battery_percent,
        battery=battery,
        battery_tone=battery_tone,
        clock=clock,
        clock_tone=clock_tone,
        sets_clock=state.sets_clock,
        clock_asked=state.clock_asked,
        error=said.what if said else "",
        do=said.do if said else "",
        error_at=wording.ago(state.last_error_at, now) if state.last_error_at else "",
        proven=_proof(_)[state.proof],
        doubts=wording.listed(tuple(words for doubt, words in _doubts(_).items() if doubt in state.doubts)),
        to_compare=to_compare(state.proof, state.doubts),
    )


def _battery(percent: int | None, wording: Wording) -> tuple[str, str]:
    _ = wording.say
    if percent is None:
        return _("does not say"), "plain"
    if percent < LOW_PERCENT:
        return _("{n} %, change it").format(n=percent), "bad"
    return f"{percent} %", "ok"


def _clock(state: MeterState, now: datetime, wording: Wording) -> tuple[str, str]:
    _ = wording.say
    if state.clock_set_at is not None:
        return _("set {when}").format(when=wording.ago(state.clock_set_at, now)), "ok"
    if state.clock_offset_s is None:
        return _("does not say"), "plain"
    if abs(state.clock_offset_s) <= CLOCK_OFF_S:
        return _("right"), "ok"
    words = _("{much} behind") if state.clock_offset_s > 0 else _("{much} ahead")
    return words.format(much=wording.lasting(state.clock_offset_s)), "wait"


def _proof(_: Translate) -> dict[Proof, str]:
    return {
        Proof.CAPTURED: _("Results of real meters, or its maker's examples, are public and are read right."),
        Proof.AGREED: _("Several sources agree on how it writes a result; no result of a real one is public."),
        Proof.ONE_SOURCE: _("How it writes a result is known from one source only."),
    }


def _doubts(_: Translate) -> dict[Doubt, str]:
    return {
        Doubt.VALUES: _("some of its quantities"),
        Doubt.MODELS: _("some of its models"),
        Doubt.CONTROL: _("control solution: it may count as a customer's"),
        Doubt.UNITS: _("other units"),
        Doubt.OFF_SCALE: _("values off its scale (HI, LO)"),
        Doubt.TIMES: _("the time of a result"),
        Doubt.MEMORY: _("results out of its memory"),
        Doubt.CLOCK: _("setting its clock"),
        Doubt.ERRORS: _("its error messages"),
        Doubt.ASKING: _("how it wants to be connected"),
    }
