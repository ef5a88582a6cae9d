"""The virtual PC-300 against captured frames, and face to face with its driver."""

from datetime import datetime
from decimal import Decimal

import pytest

from gateway.drivers.lepu_pc300 import DRIVER
from gateway.simulators.pc300_box import NOTIFY, Pc300Box
from tests.gateway.simulators.meeting import meet

NOON = datetime.fromisoformat("2026-03-05T12:00:30")


def box() -> Pc300Box:
    return Pc300Box(now=lambda: NOON)


def over_the_air(it, **options):
    return meet(DRIVER, it, channel=NOTIFY, name="PC_300SNT", **options)


def test_its_frames_are_those_that_were_captured():
    it = box()
    it.measure_glucose(Decimal("3.8"))
    assert {piece.hex() for piece in it.begin()} == {"aa5573050100003883"}
    it.show_finger(97)
    assert [piece.hex() for piece in it.begin()] == ["aa555307016143002500d9"]
    it.measure_temperature(Decimal("36.09"))
    assert list(it.begin())[-1].hex() == "aa5572050140026153"


@pytest.mark.parametrize("piece_bytes", [1, 20, None])
def test_the_driver_takes_each_result_once(piece_bytes):
    it = box()
    it.measure_pressure(128, 93, 80, 72)
    it.measure_glucose(Decimal("5.8"))
    it.measure_strip(2, 58)
    it.measure_temperature(Decimal("36.6"))
    met = over_the_air(it, piece_bytes=piece_bytes)
    assert [(str(record.kind), list(map(str, record.values.values()))) for record in met.records] == [
        ("blood_pressure", ["128", "80", "93", "72"]),
        ("glucose", ["5.8"]),
        ("uric_acid", ["345"]),
        ("body_temperature", ["36.6"]),
    ]
    assert [act for act in met.acts if act.startswith("write")] == ["write aa55ff0201ca"]  # no cuff is started


def test_two_customers_with_the_same_numbers_are_two():
    it = box()
    it.measure_glucose(Decimal("5.8"))
    it.show_finger(*[97] * 12)
    it.measure_glucose(Decimal("5.8"))
    it.measure_pressure(128, 93, 80, 72)
    it.measure_pressure(128, 93, 80, 72)
    kinds = [str(record.kind) for record in over_the_air(it).records]
    assert kinds == ["glucose", "glucose", "blood_pressure", "blood_pressure"]


def test_a_finger_is_one_reading_when_its_numbers_have_come_to_rest():
    it = box()
    it.show_finger(88, 92, 95, *[97] * 40)
    it.show_finger(0, pulse=0)
    it.show_finger(*[90, 97] * 30)
    it.show_finger(0, pulse=0)
    it.show_finger(*[99] * 35)
    met = over_the_air(it)
    assert [record.values["spo2_percent"] for record in met.records] == [97, 99]


@pytest.mark.parametrize("lose_after", [0, 5, 30, 45])
def test_a_line_lost_after_a_result_is_a_good_end(lose_after):
    it = box()
    it.measure_pressure(128, 93, 80, 72)
    met = over_the_air(it, lose_after=lose_after)
    assert ("lost" in met.acts) == (not met.records)
