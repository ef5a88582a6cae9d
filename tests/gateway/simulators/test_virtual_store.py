"""A virtual store with customers: what the demo's gateway would see, read by the real dock."""

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest

from gateway.buffer.outbox import Outbox
from gateway.docking import Docking
from gateway.drivers import sinocare_frames
from gateway.drivers.benecheck_gls import record_of
from gateway.drivers.ble_glucose_frames import measurement
from gateway.drivers.sinocare import record_of as record_of_sinocare
from gateway.drivers.taidoc_line import Pair
from gateway.drivers.taidoc_records import Family
from gateway.drivers.taidoc_records import record_of as record_of_taidoc
from gateway.simulators.bumble_meter import BumbleMeter
from gateway.simulators.customers import habit_of, measure
from gateway.simulators.sinocare_meter import MEMORY
from gateway.simulators.virtual_store import VirtualStore, virtual_meter
from gateway.visits import Visits
from gateway.wire.vocabulary import QUANTITIES, Kind
from tests.gateway.test_docking import Board

CARDS = [f"KD{number:06d}" for number in range(30)]


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    file = tmp_path / "cards.txt"
    file.write_text("\n".join(CARDS) + "\n")
    return file


def test_customers_measure_and_their_readings_are_kept_with_their_visit(tmp_path, cards):
    async def scenario():
        store = VirtualStore(("glucose", "pressure", "temperature"), cards, 0.1, 7)
        outbox = await Outbox.open(tmp_path / "outbox", gateway="gw-1")
        board, visits = Board(), Visits({"counter-1": ()})

        def open_visit(card: str) -> None:
            if card:
                visits.open("counter-1", card, datetime.now(UTC), id=uuid4())
            else:
                visits.close("counter-1", datetime.now(UTC))

        docking = Docking(outbox, board, visits, clock=lambda: datetime.now(UTC), clock_trusted=lambda: True)
        tasks = [
            asyncio.ensure_future(docking.watch(store.transport)),
            asyncio.ensure_future(store.run(open_visit)),
        ]
        kinds = {Kind.GLUCOSE, Kind.BLOOD_PRESSURE, Kind.BODY_TEMPERATURE}
        await board.until(lambda: {reading.kind for reading in board.readings} == kinds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await outbox.close()
        assert all(reading.visit is None or reading.visit.code in CARDS for reading in board.readings)
        assert any(reading.visit for reading in board.readings)
        assert store.transport.state == "ok"

    asyncio.run(scenario())


def test_a_persons_values_are_believable_and_stay_their_own():
    chance = Random(1)
    assert habit_of("KD000001") == habit_of("KD000001")
    habits = [habit_of(f"KD{number:06d}") for number in range(400)]
    high = [habit for habit in habits if habit.systolic > 140]
    assert 0.15 < len(high) / len(habits) < 0.4
    cuff = BumbleMeter(virtual_meter("pressure", 1, 1))
    for habit in habits:
        measure(cuff, habit, chance)
    limits = {name: QUANTITIES[f"{name}_mmhg"].range for name in ("systolic", "diastolic")}
    for record in cuff.meter.records:
        for name, limit in limits.items():
            assert limit.flag_below <= getattr(record, name) <= limit.flag_above


def test_a_meter_for_three_analytes_measures_each_and_forgets_its_oldest():
    chance, meter = Random(1), BumbleMeter(virtual_meter("three_in_one", 1, 1))
    for number in range(100):
        measure(meter, habit_of(f"KD{number:06d}"), chance)
    assert len(meter.meter.records) == meter.meter.memory
    made = [record_of(measurement(record.measurement())) for record in meter.meter.records]
    assert {one.kind for one in made} == {Kind.GLUCOSE, Kind.URIC_ACID, Kind.LIPID_PANEL}
    for one in made:
        for quantity, value in one.values.items():
            limit = QUANTITIES[quantity].range
            assert limit.flag_below <= value <= limit.flag_above


def test_stores_never_share_a_serial():
    meters = [
        virtual_meter(kind, number, seed) for seed in (1, 2) for number, kind in ((1, "glucose"), (2, "pressure"))
    ]
    assert len({meter.serial for meter in meters}) == len({meter.address for meter in meters}) == 4


def test_a_wrong_meter_or_an_empty_card_file_is_named(tmp_path, cards):
    with pytest.raises(ValueError, match=re.escape("no virtual meter 'toaster'; there are: glucose, pressure")):
        VirtualStore(("toaster",), cards, 1.0, 1)
    cards.write_text("\n")
    with pytest.raises(ValueError, match="holds no card code"):
        VirtualStore(("glucose",), cards, 1.0, 1)


def test_a_sinocare_meter_measures_two_analytes_and_forgets_its_oldest():
    chance, meter = Random(1), BumbleMeter(virtual_meter("sinocare", 1, 1))
    line = meter.meter.line
    for number in range(MEMORY + 20):
        measure(meter, habit_of(f"KD{number:06d}"), chance)
    assert [record.order for record in line.records] == list(range(21, MEMORY + 21))
    measured = [record_of_sinocare(result) for result in map(sinocare_result, line.begin()) if result]
    assert {record.kind for record in measured} == {Kind.GLUCOSE, Kind.URIC_ACID}
    for record in measured:
        for name, value in record.values.items():
            assert QUANTITIES[name].range.reject_below <= value <= QUANTITIES[name].range.reject_above


def sinocare_result(data: bytes) -> sinocare_frames.Result | None:
    return sinocare_frames.result(sinocare_frames.frame(data))


def test_a_taidoc_meter_measures_two_analytes_of_values_that_can_be():
    chance, meter = Random(1), BumbleMeter(virtual_meter("taidoc", 1, 1))
    for number in range(200):
        measure(meter, habit_of(f"KD{number:06d}"), chance)
    kept = [Pair(record.time(), record.value) for record in meter.meter.line.records]
    measured = [record_of_taidoc(pair, (), Family.BLOOD) for pair in kept]
    assert {record.kind for record in measured} == {Kind.GLUCOSE, Kind.URIC_ACID}
    for record in measured:
        for name, value in record.values.items():
            assert QUANTITIES[name].range.reject_below <= value <= QUANTITIES[name].range.reject_above
