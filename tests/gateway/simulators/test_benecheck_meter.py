"""The virtual BeneCheck meters against published frames, and face to face with their drivers."""

from datetime import datetime
from decimal import Decimal

import pytest

from gateway.drivers.benecheck import DONGLE_DRIVER, SERIAL_DRIVER
from gateway.simulators.benecheck_meter import (
    NOTIFY,
    Analyte,
    BeneCheckGlucoseService,
    BeneCheckMeter,
)
from tests.gateway.simulators.meeting import meet


def meter(at: str = "2026-03-05T12:00:30", **options) -> BeneCheckMeter:
    return BeneCheckMeter(now=lambda: datetime.fromisoformat(at), **options)


def asked(one: BeneCheckMeter, request: str) -> list[str]:
    return [piece.hex() for piece in one.hear(bytes.fromhex(request))]


def test_a_result_is_told_as_captured_meters_told_it():
    one = meter("2015-09-02T09:17:20")
    one.measure(Analyte.URIC_ACID, Decimal("5.8"))
    other = meter("2024-10-27T21:48:00")
    other.measure(Analyte.GLUCOSE, Decimal(272))
    told = [piece.hex() for piece in (*one.begin(), *other.begin())]
    assert told == ["2450434c51000000090000000f090209113a00a7", "2450434c4100000009000000180a1b15301001bc"]
    assert list(one.begin()) == []


def test_it_answers_published_requests_however_they_are_cut():
    one = meter()
    one.measure(Analyte.GLUCOSE, Decimal(110))
    one.measure(Analyte.GLUCOSE, Decimal(98))
    assert asked(one, "2450434c010000000000e0") == ["2450434c010000010000e1"]
    assert asked(one, "2450434c40") == []
    assert asked(one, "00000000001f") == ["2450434c400000000200020023"]
    assert asked(one, "2450434c410000000400020002" + "0028") == [
        "2450434c41000000090002001a03050c006200bb",
    ]
    assert asked(one, "2450434c400000000000ff") == []  # a wrong sum
    assert asked(one, "2450434c20000400000003") == ["2450434c20000400000003"]
    assert len(one.records) == 2  # cholesterol was cleared, and there was none


@pytest.mark.parametrize("options", [{}, {"first_index": 0}, {"many_in_a_frame": 2}])
@pytest.mark.parametrize("piece_bytes", [1, 7, None])
def test_the_driver_reads_the_memory_however_it_is_numbered_and_cut(options, piece_bytes):
    one = meter(**options)
    for mg_dl in (98, 176, 110):
        one.measure(Analyte.GLUCOSE, Decimal(mg_dl))
    one.measure(Analyte.URIC_ACID, Decimal("6.6"))
    one.measure(Analyte.CHOLESTEROL, Decimal(201))
    list(one.begin())
    met = meet(SERIAL_DRIVER, one, piece_bytes=piece_bytes)
    assert {record.key.partition("#")[2]: record.values for record in met.records} == {
        "98": {"glucose_mmol_l": Decimal("5.4")},
        "176": {"glucose_mmol_l": Decimal("9.8")},
        "110": {"glucose_mmol_l": Decimal("6.1")},
        "66": {"urate_umol_l": Decimal(393)},
        "201": {"total_cholesterol_mmol_l": Decimal("5.20")},
    }
    assert len(met.records) == 5
    assert len(one.records) == 5, "nothing is ever cleared"


def test_a_memory_that_did_not_change_is_not_read_again_and_one_that_did_is():
    one = meter()
    for mg_dl in (98, 176, 110):
        one.measure(Analyte.GLUCOSE, Decimal(mg_dl))
    list(one.begin())
    first = meet(SERIAL_DRIVER, one)
    again = meet(SERIAL_DRIVER, one, last_record=first.remembered)
    assert len(first.records) == 3
    assert [record.key for record in again.records] == [
        "2026-03-05T12:00:00#98"
    ]  # what tells that nothing changed
    del one.records[0]  # a full memory lets its oldest go
    one.measure(Analyte.GLUCOSE, Decimal(121))
    list(one.begin())
    changed = meet(SERIAL_DRIVER, one, last_record=first.remembered)
    assert [record.key.partition("#")[2] for record in changed.records] == ["176", "110", "121"]


@pytest.mark.parametrize("lose_after", range(5, 120, 7))
def test_a_line_lost_anywhere_loses_no_record_and_doubles_none(lose_after):
    one = meter()
    for mg_dl in (98, 176, 110):
        one.measure(Analyte.GLUCOSE, Decimal(mg_dl))
    first = meet(SERIAL_DRIVER, one, lose_after=lose_after)
    second = meet(SERIAL_DRIVER, one, last_record=first.remembered)
    keys = {record.key.partition("#")[2] for record in first.records + second.records}
    assert keys == {"98", "176", "110"}


def test_the_dongle_tells_what_is_measured_and_what_failed():
    one = meter()
    one.measure(Analyte.CHOLESTEROL, Decimal(201))
    one.fail()
    met = meet(DONGLE_DRIVER, one, channel=NOTIFY, piece_bytes=20)
    assert [record.values for record in met.records] == [{"total_cholesterol_mmol_l": Decimal("5.20")}]
    assert ("error", "measurement_failed") in met.notes


def test_the_glucose_service_carries_uric_acid_as_it_was_captured():
    service = BeneCheckGlucoseService(
        name="BeneCheck-0270",
        address="C4:5E:00:00:00:09",
        now=lambda: datetime.fromisoformat("2019-04-04T06:34:27"),
    )
    record = service.measure_analyte(Analyte.URIC_ACID, Decimal("0.393"))
    assert record.measurement().hex() == "065100e307040406221b89a111"
