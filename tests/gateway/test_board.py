"""What the store may see: the last value for a minute, nobody's name, nobody else's value."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

from gateway.board import SUBSCRIBERS_KEPT, TILES_KEPT, Board
from gateway.conversation import Sighting
from gateway.visits import Visits
from gateway.wire.messages import Device, Purpose
from tests.gateway.readings import NOON, reading


class Shop:
    """A board at a counter of two slots, with a clock that moves when told."""

    def __init__(self) -> None:
        self.now = NOON
        self.unsent = 0
        self.visits = Visits({"one": ("AA:01",), "two": ("AA:02",)})
        self.board = Board(self.visits, clock=lambda: self.now, unsent=lambda: self.unsent)

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
