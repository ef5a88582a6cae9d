"""What the store may see: the last value for a minute, nobody's name, nobody else's value."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.answering import answer as make_answer
from gateway.board import SUBSCRIBERS_KEPT, TILES_KEPT, Board
from gateway.clinical import library
from gateway.conversation import Sighting
from gateway.counter import Meal, Rest, Symptoms
from gateway.judging import rules_here
from gateway.lately import READINGS_KEPT
from gateway.visits import Visits
from gateway.wire.messages import (
    SOMEBODY_ELSE,
    VISITOR,
    Answer,
    Asked,
    Device,
    Purpose,
    Reading,
    TakenAt,
    TimeQuality,
)
from gateway.wire.vocabulary import Kind
from tests.gateway.readings import NOON, reading


class Shop:
    """A board at a counter of two slots, with a clock that moves when told."""

    def __init__(self) -> None:
        self.now = NOON
        self.unsent = 0
        self.visits = Visits({"one": ("AA:01",), "two": ("AA:02",)})
        rules = rules_here(library(), production=False)
        self.board = Board(self.visits, clock=lambda: self.now, unsent=lambda: self.unsent, rules=rules)

    def later(self, **passed: float) -> datetime:
        self.now += timedelta(**passed)
        self.board.expire()
        return self.now

    def scan(self, slot: str, code: str) -> object:
        return self.visits.open(slot, code, self.now, id=UUID(int=len(code) * 1000 + int(code[1:])))


def test_a_value_shows_at_its_own_slot_for_a_minute():
    shop = Shop()
    shop.board.saved(reading(at=shop.now))
    assert shop.board.snapshot("one").last.reading.values["glucose_mmol_l"] == reading().values["glucose_mmol_l"]
    assert shop.board.snapshot("two").last is None
    shop.later(seconds=59)
    assert shop.board.snapshot("one").last is not None
    shop.later(seconds=1)
    assert shop.board.snapshot("one").last is None


def test_a_value_goes_with_its_visitor():
    shop = Shop()
    visit = shop.scan("one", "M001")
    shop.board.saved(reading(at=shop.now, visit=visit))
    assert shop.board.snapshot("one").last is not None
    shop.later(seconds=5)
    shop.scan("one", "M002")
    assert shop.board.snapshot("one").last is None


def test_closing_the_visit_clears_its_value_at_once():
    shop = Shop()
    visit = shop.scan("one", "M001")
    shop.board.saved(reading(at=shop.now, visit=visit))
    shop.visits.close("one", shop.later(seconds=3))
    assert shop.board.snapshot("one").last is None


def test_who_measures_first_and_scans_then_still_sees_the_value():
    shop = Shop()
    shop.board.saved(reading(at=shop.now))
    shop.scan("one", "M001")
    snapshot = shop.board.snapshot("one")
    assert snapshot.last.reading.visit is None
    assert len(snapshot.unlinked) == 1


def test_a_value_given_to_one_visitor_goes_with_them_and_is_a_tile_again_once_taken_back():
    shop = Shop()
    shop.board.saved(reading(at=shop.now))
    shop.scan("one", "M001")
    one = shop.board.snapshot("one").last.reading
    for word, tiles in ((VISITOR, 0), (SOMEBODY_ELSE, 1), (VISITOR, 0)):
        shop.board.answered(answer(one, "one", Asked.WHOSE, word, "M001"))
        assert len(shop.board.snapshot("one").unlinked) == tiles
        assert shop.board.snapshot("one").last is not None
    shop.later(seconds=5)
    shop.scan("one", "M002")
    assert shop.board.snapshot("one").last is None
    shop.visits.close("one", shop.later(seconds=5))
    assert shop.board.snapshot("one").last is None


def test_measuring_keeps_a_visit_open():
    shop = Shop()
    visit = shop.scan("one", "M001")
    shop.later(minutes=9)
    shop.board.saved(reading(at=shop.now, visit=visit))
    shop.later(minutes=9)
    assert shop.board.snapshot("one").visit is not None
    shop.later(minutes=2)
    assert shop.board.snapshot("one").visit is None


def test_unlinked_readings_wait_as_tiles_newest_first_and_bounded():
    shop = Shop()
    made = [reading(at=shop.now) for _ in range(TILES_KEPT + 3)]
    for one in made:
        shop.board.saved(one)
    tiles = shop.board.snapshot("two").unlinked
    assert [tile.reading.id for tile in tiles] == [one.id for one in reversed(made[3:])]
    shop.later(minutes=30)
    assert shop.board.snapshot("two").unlinked == ()


def test_a_receipt_marks_the_value_and_its_tile():
    shop = Shop()
    one = reading(at=shop.now)
    shop.board.saved(one)
    assert not shop.board.snapshot("one").last.received
    shop.board.received([one.id])
    snapshot = shop.board.snapshot("one")
    assert snapshot.last.received
    assert snapshot.unlinked[0].received
    assert (snapshot.saved, snapshot.received) == (1, 1)


def test_an_older_record_of_the_same_meter_does_not_push_the_newer_away():
    shop = Shop()
    new, old = reading(at=shop.now), reading(at=shop.now - timedelta(days=3))
    shop.board.saved(new)
    shop.board.saved(old)
    assert shop.board.snapshot("one").last.reading.id == new.id


def test_a_control_solution_is_nobodys_value():
    shop = Shop()
    shop.board.saved(reading(at=shop.now, purpose=Purpose.CONTROL))
    assert shop.board.snapshot("one").last is None
    assert shop.board.snapshot("one").unlinked == ()


def test_a_meter_nobody_placed_is_a_tile_and_no_slots_value():
    shop = Shop()
    shop.board.saved(reading(at=shop.now, device=Device(key="M-9", address="AA:99")))
    assert shop.board.snapshot("one").last is None
    assert shop.board.snapshot("two").last is None
    assert len(shop.board.snapshot("one").unlinked) == 1


def test_a_clock_that_jumps_does_not_freeze_a_value_on_the_screen():
    shop = Shop()
    shop.board.saved(reading(at=shop.now))
    shop.later(days=-365)
    assert shop.board.snapshot("one").last is None


def test_a_conversation_shows_while_it_lasts_and_its_trouble_for_a_while():
    shop = Shop()
    shop.board.seen(Sighting(transport="ble", address="AA:01", name="Acme G1"))
    shop.board.talking("AA:01", "Acme G1")
    assert shop.board.snapshot("one").talking == ("Acme G1",)
    shop.board.ended("AA:01", "lost")
    snapshot = shop.board.snapshot("one")
    assert snapshot.talking == ()
    assert (snapshot.trouble.meter, snapshot.trouble.error) == ("Acme G1", "lost")
    shop.later(seconds=31)
    assert shop.board.snapshot("one").trouble is None


def test_after_a_restart_what_waited_is_back():
    shop = Shop()
    one = reading(at=shop.now)
    shop.board.restored([(one, shop.now - timedelta(minutes=5), True)])
    snapshot = shop.board.snapshot("one")
    assert snapshot.last is None
    assert snapshot.unlinked[0].received
    assert snapshot.saved == 0


def test_passers_by_do_not_fill_the_memory():
    shop = Shop()
    for number in range(10_000):
        shop.board.seen(Sighting(transport="ble", address=f"{number:012X}"))
    assert len(shop.board._meters) <= 64


def test_a_slow_screen_gets_the_newest_picture_once():
    shop = Shop()

    async def play() -> list[int]:
        pictures = []
        subscription = shop.board.subscribe()
        await anext(subscription)
        for number in range(1000):
            shop.unsent = number + 1
            shop.board.changed()
        await anext(subscription)
        pictures.append(shop.board.snapshot("one").unsent)
        shop.board.close()
        pictures += [0 async for _ in subscription]
        return pictures

    assert asyncio.run(play()) == [1000]


def test_the_longest_standing_of_too_many_screens_is_let_go():
    shop = Shop()

    async def play() -> tuple[bool, int]:
        subscriptions = [shop.board.subscribe() for _ in range(SUBSCRIBERS_KEPT + 1)]
        for one in subscriptions:
            await anext(one)
        ended = await anext(subscriptions[0], "let go") == "let go"
        shop.board.changed()
        for one in subscriptions[1:]:
            await anext(one)
        kept = len(shop.board._changed)
        for one in subscriptions:
            await one.aclose()
        return ended, kept

    assert asyncio.run(play()) == (True, SUBSCRIBERS_KEPT)


def test_a_part_that_crashed_is_named_until_it_runs_again():
    shop = Shop()
    shop.board.part("uplink", up=False)
    assert shop.board.snapshot("one").parts_down == ("uplink",)
    shop.board.part("uplink", up=True)
    assert shop.board.snapshot("one").parts_down == ()


def answer(about: Reading, slot: str, what: Asked = Asked.MEAL, *values: str) -> Answer:
    return Answer(id=UUID(int=77), reading=about.id, what=what, values=values, at=NOON, slot=slot)


def test_each_slot_asks_about_its_own_customer_only():
    shop = Shop()
    first, second = shop.scan("one", "M001"), shop.scan("two", "M002")
    shop.later(seconds=40)
    sugar = reading(at=shop.now, visit=first)
    pressure = reading(Kind.BLOOD_PRESSURE, at=shop.now, visit=second)
    shop.board.saved(sugar)
    shop.board.saved(pressure)
    assert isinstance(shop.board.counter("one").asked, Meal)
    assert isinstance(shop.board.counter("two").asked, Rest)
    shop.board.answered(answer(sugar, "one", Asked.MEAL, "fasting"))
    assert shop.board.counter("one").asked is None
    assert isinstance(shop.board.counter("two").asked, Rest)


def test_answering_keeps_a_visit_open():
    shop = Shop()
    visit = shop.scan("one", "M001")
    sugar = reading(at=shop.now, visit=visit)
    shop.board.saved(sugar)
    shop.later(minutes=9)
    said = answer(sugar, "one", Asked.MEAL, "fasting")
    shop.board.answered(
        Answer(**{name: getattr(said, name) for name in said.__struct_fields__} | {"visit": visit.id})
    )
    shop.later(minutes=9)
    assert shop.board.snapshot("one").visit is not None


def test_an_emergency_of_a_meter_of_no_known_slot_is_seen_at_every_slot():
    shop = Shop()
    stray = Device(key="M-9", address="AA:99")
    low = reading(at=shop.now, device=stray, values={"glucose_mmol_l": Decimal("2.2")})
    shop.board.saved(low)
    for slot in ("one", "two"):
        assert shop.board.counter(slot).first_aid.rule.id == "GL-002"
        assert isinstance(shop.board.counter(slot).asked, Symptoms)
    shop.board.answered(answer(low, "two", Asked.FIRST_AID, "GL-002"))
    assert shop.board.counter("one").first_aid is None


def test_a_meters_whole_memory_does_not_push_out_what_was_just_measured():
    shop = Shop()
    visit = shop.scan("one", "M001")
    now = reading(at=shop.now, visit=visit, values={"glucose_mmol_l": Decimal("2.2")})
    shop.board.saved(now)
    for days in range(1, 4 * READINGS_KEPT):
        old = TakenAt(at=shop.now - timedelta(days=days), quality=TimeQuality.DEVICE, received=shop.now)
        shop.board.saved(reading(time=old, visit=visit))
    assert [one.reading for one in shop.board.counter("one").readings] == [now]


def test_after_a_restart_an_emergency_still_shows_its_card_and_what_was_said():
    shop = Shop()
    low = reading(at=shop.now, values={"glucose_mmol_l": Decimal("2.2")}, device=Device(key="M", address="AA:01"))
    said = answer(low, "one", Asked.SYMPTOMS, "seizure")
    shop.board.restored([(low, shop.now, False)], [said])
    assert shop.board.counter("one").first_aid.rule.id == "GL-001"
    assert shop.board.counter("two").first_aid is None


METER_OF = {"one": "AA:01", "two": "AA:02"}
_happenings = st.lists(
    st.tuples(
        st.sampled_from(["scan", "close", "glucose", "pressure", "answer", "wait"]),
        st.sampled_from(["one", "two"]),
        st.integers(0, 400),
        st.integers(0, 2**32),
    ),
    max_size=30,
)


def happen(shop: Shop, what: str, slot: str, chance: int, number: int) -> None:
    """One thing at one slot, as docking and the screen would tell it."""
    visit = shop.visits.at(slot, shop.now)
    more = {"visit": visit, "device": Device(key=slot, address=METER_OF[slot]), "id": UUID(int=1000 + number)}
    match what:
        case "scan":
            shop.visits.open(slot, f"M{number:03}", shop.now, id=UUID(int=number))
        case "close":
            shop.visits.close(slot, shop.now)
        case "glucose":
            shop.board.saved(
                reading(at=shop.now, values={"glucose_mmol_l": Decimal(5 + chance % 300) / 10}, **more)
            )
        case "pressure":
            systolic = Decimal(90 + chance % 150)
            values = {"systolic_mmhg": systolic, "diastolic_mmhg": systolic - 40, "pulse_per_min": Decimal(70)}
            shop.board.saved(reading(Kind.BLOOD_PRESSURE, at=shop.now, values=values, **more))
        case "answer":
            counter = shop.board.counter(slot)
            if isinstance(counter.asked, Meal | Symptoms):
                kind = Asked.MEAL if isinstance(counter.asked, Meal) else Asked.SYMPTOMS
                about, choices = counter.asked.reading_id, counter.asked.choices
                said = [choices[chance % len(choices)].code]
                shop.board.answered(make_answer(counter, about, kind, said, id=UUID(int=number), at=shop.now))


@settings(max_examples=150, deadline=None)
@given(_happenings)
def test_a_slot_looks_as_if_there_were_no_other(happenings):
    """Two customers at once: what the store's board shows of a slot is what a board of that slot alone would."""
    both, alone = Shop(), {"one": Shop(), "two": Shop()}
    for number, (what, slot, seconds, chance) in enumerate(happenings, start=1):
        for shop in (both, *alone.values()):
            shop.later(seconds=seconds)
        for shop in (both, alone[slot]):
            happen(shop, what, slot, chance, number)
        for each, only in alone.items():
            assert both.board.counter(each).asked == only.board.counter(each).asked
            assert both.board.counter(each).average == only.board.counter(each).average
            assert both.board.counter(each).first_aid == only.board.counter(each).first_aid
            visit = both.visits.at(each, both.now)
            for one in both.board.counter(each).readings:
                assert one.reading.device.address == METER_OF[each]
                assert one.reading.visit is None or (visit is not None and one.reading.visit.id == visit.id)
