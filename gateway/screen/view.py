"""A board's snapshot in the words and figures of the dock screen. Pure.

How it looks is the templates' and the style sheet's; what a number means is `gateway.clinical`'s.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway.board import Seen, Snapshot, Trouble
from gateway.clinical import Person, Verdict, interpret
from gateway.i18n import Translate
from gateway.visits import tail
from gateway.wire.messages import Quality, Reading, TimeQuality
from gateway.wire.vocabulary import KINDS, MEAL_LABELS, QUANTITIES, Kind, Meal

SOMEBODY = Person()
"""The shared screen does not know who stands there, so it judges by what holds for any adult."""

TONES = {"HH": "critical", "LL": "critical", "H": "high", "L": "low", "N": "target"}
SEVERITY = ("HH", "LL", "H", "L", "N")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number as it stands on the screen; its tone is critical, high, low, target or plain."""

    label: str
    text: str
    unit: str
    word: str = ""
    arrow: str = ""
    tone: str = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """The last reading of a slot: `main` figures are giant, those `beside` are not."""

    title: str
    meal: str
    main: tuple[Figure, ...]
    beside: tuple[Figure, ...]
    meter: str
    taken: str
    received: bool
    linked: bool
    doubt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A reading nobody has claimed: what and when, never how much."""

    title: str
    at: str
    received: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """A state in the head line: its words, and whether somebody should look (ok, wait, bad)."""

    name: str
    words: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything the dock's template prints."""

    value: Value | None
    visit: str  # the tail of the open visit's code, or ""
    talking: str
    trouble: str
    tiles: tuple[Tile, ...]
    upload: Light
    lights: tuple[Light, ...]


def view(snapshot: Snapshot, _: Translate, *, chinese: bool, local_utc_offset_min: int) -> View:
    """`snapshot` in words."""
    words = _Words(_, chinese, timedelta(minutes=local_utc_offset_min))
    return View(
        value=words.value(snapshot.last, snapshot.now) if snapshot.last else None,
        visit=tail(snapshot.visit.code) if snapshot.visit else "",
        talking="、".join(snapshot.talking[:3]) if chinese else ", ".join(snapshot.talking[:3]),
        trouble=words.trouble(snapshot.trouble) if snapshot.trouble else "",
        tiles=tuple(words.tile(one, snapshot.now) for one in snapshot.unlinked),
        upload=words.upload(snapshot.unsent),
        lights=(
            words.link(snapshot.link),
            *(words.transport(name, state) for name, state in sorted(snapshot.transports.items())),
        ),
    )


def state(snapshot: Snapshot) -> dict[str, Any]:
    """`snapshot` as JSON for programs: exact values, and of codes only the tail."""
    last = snapshot.last
    return {
        "slot": snapshot.slot,
        "visit": None
        if snapshot.visit is None
        else {"code_tail": tail(snapshot.visit.code), "opened": snapshot.visit.opened.isoformat()},
        "last": None if last is None else _reading(last),
        "talking": list(snapshot.talking),
        "unlinked": [
            {"kind": one.reading.kind, "saved_at": one.saved_at.isoformat(), "received": one.received}
            for one in snapshot.unlinked
        ],
        "unsent": snapshot.unsent,
        "saved": snapshot.saved,
        "received": snapshot.received,
        "uplink": snapshot.link,
        "transports": snapshot.transports,
        "parts_down": list(snapshot.parts_down),
    }


def _reading(seen: Seen) -> dict[str, Any]:
    reading = seen.reading
    return {
        "id": str(reading.id),
        "kind": reading.kind,
        "values": {name: str(value) for name, value in reading.values.items()},
        "off_scale": dict(reading.off_scale),
        "meal": reading.meal,
        "quality": reading.quality,
        "taken_at": reading.time.at.isoformat(),
        "saved_at": seen.saved_at.isoformat(),
        "received": seen.received,
        "linked": reading.visit is not None,
    }


class _Words:
    """One reader's language and clock."""

    def __init__(self, translate: Translate, chinese: bool, local: timedelta) -> None:
        self._translate = translate
        self._chinese = chinese
        self._local = local

    def value(self, seen: Seen, now: datetime) -> Value:
        _ = self._translate
        reading = seen.reading
        figures = {name: self._figure(reading, name) for name in _present(reading)}
        main: tuple[Figure, ...] = tuple(figures.values())
        beside: tuple[Figure, ...] = ()
        if reading.kind is Kind.BLOOD_PRESSURE:
            main, beside = self._blood_pressure(reading, figures)
        elif "pulse_per_min" in figures:
            beside = (figures.pop("pulse_per_min"),)
            main = tuple(figures.values())
        doubt = ""
        if reading.quality is Quality.REJECTED:
            doubt = _("This number cannot be right. Please measure again.")
        elif reading.quality is Quality.FLAGGED:
            doubt = _("Unusual number. Please measure again to be sure.")
        return Value(
            title=self._kind(reading.kind),
            meal=self._meal(reading.meal) if reading.kind is Kind.GLUCOSE else "",
            main=main,
            beside=beside,
            meter=seen.meter,
            taken=self._taken(reading, now),
            received=seen.received,
            linked=reading.visit is not None,
            doubt=doubt,
        )

    def tile(self, seen: Seen, now: datetime) -> Tile:
        return Tile(
            title=self._kind(seen.reading.kind), at=self._moment(seen.saved_at, now), received=seen.received
        )

    def upload(self, unsent: int) -> Light:
        _ = self._translate
        if unsent:
            return Light(name="", words=_("{n} waiting to upload").format(n=unsent), state="wait")
        return Light(name="", words=_("All uploaded"), state="ok")

    def link(self, state: str) -> Light:
        _ = self._translate
        words, tone = {
            "up": (_("connected"), "ok"),
            "connecting": (_("connecting"), "wait"),
            "refused": (_("login refused"), "bad"),
        }.get(state, (_("offline"), "wait"))
        return Light(name=_("Cloud"), words=words, state=tone)

    def transport(self, name: str, state: str) -> Light:
        _ = self._translate
        names = {"ble": _("Bluetooth"), "serial": _("Cable"), "dock": _("Dock"), "virtual": _("Virtual meters")}
        states = {
            "ok": (_("ready"), "ok"),
            "silent": (_("hears nothing"), "wait"),
            "absent": (_("not plugged in"), "bad"),
            "failed": (_("not working"), "bad"),
        }
        words, tone = states.get(state, (state, "bad"))
        return Light(name=names.get(name, name), words=words, state=tone)

    def trouble(self, trouble: Trouble) -> str:
        _ = self._translate
        words = {
            "lost": _("The connection was lost. What was read is saved; put the meter down once more."),
            "refused": _("The meter did not answer. Switch it off and on and put it down once more."),
            "garbled": _("The meter said something we do not understand. Note the number by hand."),
            "outbox_full": _("This gateway's disk is full. Note the number by hand and call the engineer."),
        }
        what = words.get(trouble.error.split(":")[0], _("Reading the meter failed. Put it down once more."))
        return f"{trouble.meter}{'：' if self._chinese else ': '}{what}" if trouble.meter else what

    def _figure(self, reading: Reading, name: str) -> Figure:
        quantity = QUANTITIES[name]
        value = reading.values.get(name)
        text = reading.off_scale[name].value if value is None else str(quantity.rounded(value))
        verdict = None if reading.quality is Quality.REJECTED else _verdict(reading, name)
        return Figure(
            label=quantity.zh if self._chinese else quantity.en,
            text=text,
            unit=quantity.unit if self._chinese else quantity.unit.replace("次/分", "/min"),
            **self._judged(verdict),
        )

    def _blood_pressure(
        self, reading: Reading, figures: dict[str, Figure]
    ) -> tuple[tuple[Figure, ...], tuple[Figure, ...]]:
        """Systolic and diastolic are one figure, under the graver of their two verdicts."""
        pair = (figures.pop("systolic_mmhg"), figures.pop("diastolic_mmhg"))
        verdicts = (
            ()
            if reading.quality is Quality.REJECTED
            else tuple(_verdict(reading, name) for name in ("systolic_mmhg", "diastolic_mmhg"))
        )
        gravest = min(
            (one for one in verdicts if one.code is not None),
            key=lambda one: SEVERITY.index(str(one.code)),
            default=None,
        )
        both = Figure(
            label=self._kind(Kind.BLOOD_PRESSURE),
            text=f"{pair[0].text}/{pair[1].text}",
            unit=pair[0].unit,
            **self._judged(gravest),
        )
        return (both,), tuple(figures.values())

    def _judged(self, verdict: Verdict | None) -> dict[str, str]:
        if verdict is None or verdict.code is None:
            return {}
        word = verdict.word_zh if self._chinese else verdict.word_en
        return {"word": word, "arrow": verdict.arrow, "tone": TONES[str(verdict.code)]}

    def _kind(self, kind: Kind) -> str:
        return KINDS[kind].zh if self._chinese else KINDS[kind].en

    def _meal(self, meal: Meal) -> str:
        return MEAL_LABELS[meal][0 if self._chinese else 1]

    def _taken(self, reading: Reading, now: datetime) -> str:
        _ = self._translate
        if reading.time.quality is TimeQuality.UNTRUSTED:
            return _("time unknown")
        return self._moment(reading.time.at, now)

    def _moment(self, at: datetime, now: datetime) -> str:
        there, today = at + self._local, now + self._local
        return there.strftime("%H:%M" if there.date() == today.date() else "%Y-%m-%d %H:%M")


def _present(reading: Reading) -> list[str]:
    known = KINDS[reading.kind].quantities
    return [name for name in known if name in reading.values or name in reading.off_scale]


def _verdict(reading: Reading, name: str) -> Verdict:
    shown = reading.values.get(name)
    return interpret(
        reading.kind, name, reading.off_scale[name] if shown is None else shown, reading.meal, SOMEBODY
    )
