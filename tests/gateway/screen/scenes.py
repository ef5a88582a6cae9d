"""What happens at a counter, scene by scene, up to the moment worth looking at: for tests and for pictures."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from gateway.conversation import Driver, Sighting
from gateway.proof import Doubt, Proof
from gateway.wire.messages import Answer, Asked, Candidate, Found, Reading, TakenAt, TimeQuality
from gateway.wire.vocabulary import Kind, Meal, OffScale
from tests.gateway.readings import reading
from tests.gateway.screen.counter import Counter

Scene = Callable[[Counter], Any]


def opened(counter: Counter, code: str = "M0001042", slot: str = "counter-1") -> None:
    counter.visits.open(slot, code, counter.now, id=UUID(int=hash(code) % 2**64))
    counter.board.changed()


def taken(counter: Counter, kind: Kind, slot: str = "counter-1", **more: Any) -> Reading:
    """One measurement of whoever stands at `slot`, just now."""
    counter.later(seconds=20)
    time = TakenAt(at=counter.now, quality=TimeQuality.DEVICE, received=counter.now)
    return counter.measured(reading(kind, counter.now, **({"visit": counter.visit(slot), "time": time} | more)))


def sugar(counter: Counter, value: str, slot: str = "counter-1", **more: Any) -> Reading:
    if value in ("HI", "LO"):
        more |= {"values": {}, "off_scale": {"glucose_mmol_l": OffScale(value)}}
    else:
        more |= {"values": {"glucose_mmol_l": Decimal(value)}}
    return taken(counter, Kind.GLUCOSE, slot, **more)


def pressure(counter: Counter, systolic: int, diastolic: int, pulse: int = 76, **more: Any) -> Reading:
    values = {"systolic_mmhg": systolic, "diastolic_mmhg": diastolic, "pulse_per_min": pulse}
    return taken(
        counter, Kind.BLOOD_PRESSURE, values={name: Decimal(value) for name, value in values.items()}, **more
    )


def nobody(counter: Counter) -> None:
    """Nobody is here, and three readings wait for somebody to claim them."""
    for _ in range(2):
        counter.measured(reading())
    counter.measured(reading(Kind.BLOOD_PRESSURE, values={"systolic_mmhg": 118, "diastolic_mmhg": 76}))
    counter.later(minutes=11)


def meal(counter: Counter) -> None:
    opened(counter)
    sugar(counter, "8.4")


def whose(counter: Counter) -> None:
    """A meter with a clock of whole minutes: it may have been measured before the card was scanned."""
    opened(counter)
    at = counter.now + timedelta(seconds=20)
    sugar(counter, "8.4", time=TakenAt(at=at, quality=TimeQuality.DEVICE, received=at, early_s=60.0))


def rest(counter: Counter) -> None:
    opened(counter)
    pressure(counter, 152, 96)


def second(counter: Counter) -> None:
    rest(counter)
    counter.later(minutes=5, seconds=10)


def third(counter: Counter) -> None:
    second(counter)
    pressure(counter, 138, 88)


def average(counter: Counter) -> None:
    third(counter)
    counter.later(minutes=1)
    pressure(counter, 142, 90)


def symptoms(counter: Counter) -> None:
    opened(counter)
    pressure(counter, 188, 112)


def emergency(counter: Counter) -> None:
    opened(counter)
    pressure(counter, 232, 141)
    counter.board.link("down")
    counter.unsent = 4


def low_sugar(counter: Counter) -> None:
    opened(counter)
    sugar(counter, "2.4")


def high_sugar(counter: Counter) -> None:
    opened(counter)
    sugar(counter, "HI")


TWO = (
    Candidate(code="Q-7F3K9QWXBCDEF-1042", name="张**", sex="female", born=1950),
    Candidate(code="Q-2M7N4RTBGHIJK-1042", name="李*", sex="male", born=1970),
)


def by_phone(counter: Counter) -> None:
    """Two members have this phone tail."""
    counter.found = (Found.SOME, TWO)
    form = {"code": "1042", "slot": "counter-1"}
    assert counter.client().post("/visits", data=form, headers={"Accept": "application/json"}).status_code == 200


def stroke(counter: Counter) -> None:
    """A normal pressure, and a face that droops: staff said so."""
    opened(counter)
    measured = pressure(counter, 128, 82)
    counter.board.answered(
        Answer(
            id=UUID(int=78),
            reading=measured.id,
            what=Asked.SYMPTOMS,
            values=("facial_droop", "speech_trouble"),
            at=counter.now,
            slot="counter-1",
        )
    )


def elsewhere(counter: Counter) -> None:
    """The emergency is at the other counter."""
    opened(counter)
    opened(counter, "M0002077", "counter-2")
    taken(
        counter,
        Kind.BLOOD_PRESSURE,
        "counter-2",
        values={"systolic_mmhg": Decimal(232), "diastolic_mmhg": Decimal(141)},
    )
    counter.later(minutes=2)


def lipids(counter: Counter) -> None:
    opened(counter)
    taken(counter, Kind.LIPID_PANEL)


def slip(counter: Counter) -> None:
    average(counter)
    sugar(counter, "6.4", meal=Meal.FASTING)


def meters(counter: Counter) -> None:
    """Four meters: one is well, one is empty, one has a wrong clock, one failed and is not proven in full."""
    known = counter.meters
    for address, name, maker, model, transport, doubts, sets in (
        ("AA:01", "Yuwell 740", "Yuwell", "Accusure 740", "ble", frozenset(), False),
        ("AA:02", "YE680A", "Yuwell", "YE680A", "ble", frozenset(), False),
        ("AA:03", "Sinocare", "三诺", "安稳+Air", "ble", frozenset({Doubt.MEMORY, Doubt.CLOCK}), True),
        ("usb-1-1.2", "CardioChek PA", "PTS", "CardioChek PA", "serial", frozenset({Doubt.VALUES}), False),
    ):
        driver = driver_of(transport, doubts, sets)
        known.met(Sighting(transport=transport, address=address, name=name), driver, counter.now)
        known.noted(address, {"maker": maker, "model": model}, None, counter.now)
    known.noted("AA:01", {"battery_percent": "88"}, 2.0, counter.now)
    known.noted("AA:02", {"battery_percent": "9"}, 15.0, counter.now)
    known.noted("AA:03", {"battery_percent": "61"}, 3 * 86400.0 + 4210, counter.now)
    known.noted("usb-1-1.2", {"error": "strip_pulled"}, None, counter.now - timedelta(minutes=4))
    known.ended("AA:01", None, counter.now)


def driver_of(transport: str, doubts: frozenset[Doubt], sets_clock: bool) -> Driver:
    def nothing(_: Any) -> Any:
        raise AssertionError("nobody talks in this scene")

    return Driver(
        name=f"{transport}.thing",
        transport=transport,
        recognise=lambda sighting: True,
        talk=nothing,
        devices="",
        source="",
        quirks="",
        proven_by="",
        proof=Proof.CAPTURED,
        doubts=doubts,
        sets_clock=sets_clock,
    )


SCENES: dict[str, tuple[str, Scene]] = {
    "waiting": ("/dock", nobody),
    "phone": ("/dock", by_phone),
    "whose": ("/dock", whose),
    "meal": ("/dock", meal),
    "rest": ("/dock", rest),
    "second": ("/dock", second),
    "third": ("/dock", third),
    "average": ("/dock", average),
    "symptoms": ("/dock", symptoms),
    "emergency": ("/dock", emergency),
    "low-sugar": ("/dock", low_sugar),
    "high-sugar": ("/dock", high_sugar),
    "stroke": ("/dock", stroke),
    "elsewhere": ("/dock", elsewhere),
    "lipids": ("/dock", lipids),
    "meters": ("/meters", meters),
    "slip": ("/slip", slip),
}
"""By name: the page to look at, and what happened before."""


def nobodys(counter: Counter) -> None:
    """Somebody without a card measured a glucose; the next one has a card, and a meter is being read."""
    sugar(counter, "8.4", visit=None)
    opened(counter)
    counter.later(seconds=61)
    counter.board.talking("AA:01", "YE680A")


def failed(counter: Counter) -> None:
    """The second measurement fails."""
    second(counter)
    counter.board.talking("AA:01", "YE680A")
    counter.board.ended("AA:01", "lost")


def lipids_then(counter: Counter) -> None:
    """A lipid panel is shown while somebody else's glucose is asked about."""
    sugar(counter, "8.4", visit=None)
    lipids(counter)
    counter.board.talking("AA:01", "YE680A")


def put_away(counter: Counter) -> None:
    """The card of an emergency was read: it is a line now, and everything else goes on."""
    emergency(counter)
    low = counter.board.counter("counter-1").first_aid
    said = {"id": UUID(int=77), "at": counter.now, "slot": "counter-1", "reading": low.reading_id}
    counter.board.answered(Answer(what=Asked.SYMPTOMS, values=("severe_headache", "eye_pain"), **said))
    counter.board.answered(Answer(what=Asked.FIRST_AID, values=("BP-002",), **said))
    counter.board.answered(Answer(what=Asked.FIRST_AID, values=("BP-001",), **said))


def cloud_away(counter: Counter) -> None:
    """Of the customer only the end of a phone number is known, and the cloud could not be asked."""
    form = {"code": "1042", "slot": "counter-1"}
    assert counter.client().post("/visits", data=form, headers={"Accept": "application/json"}).status_code == 200
    pressure(counter, 118, 76)
    counter.board.link("down")


def slip_of_everything(counter: Counter) -> None:
    """The widest words there are, on paper."""
    average(counter)
    taken(counter, Kind.LIPID_PANEL)
    sugar(counter, "15.2", meal=Meal.POST_MEAL_2H)


TIGHT: dict[str, tuple[str, Scene]] = {
    "nobodys": ("/dock", nobodys),
    "failed": ("/dock", failed),
    "lipids-then": ("/dock", lipids_then),
    "put-away": ("/dock", put_away),
    "cloud-away": ("/dock", cloud_away),
    "slip-of-everything": ("/slip", slip_of_everything),
}
"""Where much stands on the screen at once."""
