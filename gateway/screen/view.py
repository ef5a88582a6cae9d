"""A board's snapshot in the words and figures of the dock page. Pure.

Figures are `values`', questions and warnings `asking`'s, how all of it looks the templates' and the style sheets'.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from gateway.board import Seen, Snapshot, Trouble
from gateway.counter import Counter
from gateway.lookup import tail_only
from gateway.screen.asking import (
    Ask,
    Averaged,
    Button,
    Card,
    Choose,
    Row,
    amending,
    ask,
    averaged,
    card,
    disowning,
    pressures,
    stated,
    unwell,
    urged,
)
from gateway.screen.troubles import advice
from gateway.screen.values import Value, value
from gateway.screen.who import Choosing, Who
from gateway.screen.wording import Wording
from gateway.visits import tail
from gateway.wire.messages import Candidate, Visit
from gateway.wire.vocabulary import Kind

TALKING_NAMED = 3
"""More meters than this at once are not worth a line each."""


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
class Visitor:
    """Who stands there, as far as everybody may know: the end of a card's code or of a phone number."""

    id: UUID  # of the visit: answers about this visitor name it
    words: str
    tail: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Those who may be meant by the end of a phone number; staff ask, and touch one."""

    title: str
    buttons: tuple[Button, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything the dock's template prints."""

    value: Value | None
    amend: tuple[Button, ...]
    disown: tuple[Button, ...]
    stated: str
    urged: str
    rows: tuple[Row, ...]
    average: Averaged | None
    ask: Ask | None
    unwell: Choose | None
    card: Card | None
    visit: Visitor | None
    who: Candidates | None
    talking: str
    trouble: str
    tiles: tuple[Tile, ...]
    upload: Light
    lights: tuple[Light, ...]


def view(snapshot: Snapshot, counter: Counter, who: Who, wording: Wording) -> View:
    """`snapshot`, what is asked at its slot and who may be meant there, in words."""
    now, last = snapshot.now, snapshot.last
    judged = None if last is None else next((j for j in counter.readings if j.reading.id == last.reading.id), None)
    # Values go from the shared screen after a minute, and what was made of them goes with them.
    visitors = judged.visitors if judged else None
    measured = visitors and last is not None and last.reading.kind is Kind.BLOOD_PRESSURE
    rows = pressures(counter, now, wording) if measured else ()
    shown = (
        None
        if last is None
        else value(last, now, wording, meal=judged.meal if judged else None, visitors=visitors)
    )
    return View(
        value=shown,
        amend=amending(judged, wording) if judged else (),
        disown=disowning(judged, counter, wording) if judged else (),
        stated=stated(judged, wording) if judged else "",
        urged=urged(judged, wording) if judged else "",
        rows=rows,
        average=averaged(counter.average, wording) if measured else None,
        ask=ask(counter, last.reading.id if last else None, now, wording),
        unwell=unwell(counter, wording),
        card=card(counter.first_aid, shown, wording),
        visit=_visitor(snapshot.visit, who.tail_of(snapshot.visit), wording) if snapshot.visit else None,
        who=_candidates(who.choosing(snapshot.slot, now), wording),
        talking=wording.listed(snapshot.talking[:TALKING_NAMED]),
        trouble=trouble(snapshot.trouble, wording) if snapshot.trouble else "",
        tiles=tuple(_tile(one, now, wording) for one in snapshot.unlinked),
        upload=_upload(snapshot.unsent, wording),
        lights=(
            _link(snapshot.link, wording),
            *(_transport(name, state, wording) for name, state in sorted(snapshot.transports.items())),
        ),
    )


def state(snapshot: Snapshot) -> dict[str, Any]:
    """`snapshot` as JSON for programs: exact values, and of codes only the tail."""
    last = snapshot.last
    return {
        "slot": snapshot.slot,
        "visit": None
        if snapshot.visit is None
        else {
            "id": str(snapshot.visit.id),
            "code_tail": tail(snapshot.visit.code),
            "opened": snapshot.visit.opened.isoformat(),
        },
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
        "meter": reading.device.address,
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


def trouble(trouble: Trouble, wording: Wording) -> str:
    """What went wrong with a meter last, and what to do."""
    said = advice(trouble.error, wording.say)
    words = f"{said.what}{'' if wording.chinese else ' '}{said.do}"
    return wording.labelled(trouble.meter, words) if trouble.meter else words


def _visitor(visit: Visit, phone: str, wording: Wording) -> Visitor:
    _ = wording.say
    if not phone:
        return Visitor(id=visit.id, words=_("Card ending in"), tail=tail(visit.code), note="")
    unknown = visit.code == tail_only(phone)
    note = _("The cloud could not be asked: claim the readings later") if unknown else ""
    return Visitor(id=visit.id, words=_("Phone ending in"), tail=phone, note=note)


def _candidates(choosing: Choosing | None, wording: Wording) -> Candidates | None:
    if choosing is None:
        return None
    _ = wording.say
    return Candidates(
        title=_("Phone ending in {tail}: ask who it is").format(tail=choosing.tail),
        buttons=tuple(Button(code=one.code, words=_person(one, wording)) for one in choosing.candidates),
    )


def _person(candidate: Candidate, wording: Wording) -> str:
    _ = wording.say
    sex = {"female": _("female"), "male": _("male")}.get(candidate.sex, "")
    born = _("born in the {decade}s").format(decade=candidate.born) if candidate.born else ""
    return " · ".join(part for part in (candidate.name, sex, born) if part)


def _tile(seen: Seen, now: datetime, wording: Wording) -> Tile:
    return Tile(
        title=wording.kind(seen.reading.kind), at=wording.moment(seen.saved_at, now), received=seen.received
    )


def _upload(unsent: int, wording: Wording) -> Light:
    _ = wording.say
    if unsent:
        return Light(name="", words=_("{n} waiting to upload").format(n=unsent), state="wait")
    return Light(name="", words=_("All uploaded"), state="ok")


def _link(state: str, wording: Wording) -> Light:
    _ = wording.say
    words, tone = {
        "up": (_("connected"), "ok"),
        "connecting": (_("connecting"), "wait"),
        "refused": (_("login refused"), "bad"),
    }.get(state, (_("offline"), "wait"))
    return Light(name=_("Cloud"), words=words, state=tone)


def _transport(name: str, state: str, wording: Wording) -> Light:
    _ = wording.say
    names = {"ble": _("Bluetooth"), "serial": _("Cable"), "dock": _("Dock"), "virtual": _("Virtual meters")}
    states = {
        "ok": (_("ready"), "ok"),
        "silent": (_("hears nothing"), "wait"),
        "absent": (_("not plugged in"), "bad"),
        "failed": (_("not working"), "bad"),
    }
    words, tone = states.get(state, (state, "bad"))
    return Light(name=names.get(name, name), words=words, state=tone)
