"""The virtual On Call meter against the published commands, and face to face with its drivers."""

from datetime import datetime
from decimal import Decimal

import pytest

from gateway.drivers.acon_oncall import BLE_DRIVER, SERIAL_DRIVER
from gateway.simulators.oncall_meter import CHANNEL, HI, LO, OnCallMeter, modbus_crc
from gateway.wire.vocabulary import OffScale
from tests.gateway.simulators.meeting import meet


def meter(**options) -> OnCallMeter:
    return OnCallMeter(now=lambda: datetime.fromisoformat("2026-03-05T12:00:30"), **options)


@pytest.mark.parametrize(("text", "crc"), [("&TB ", 50299), ("&N0 ", 41854), ("&DH ", 41340), ("&EZ ", 49441)])
def test_the_checksum_is_the_published_one(text, crc):
    assert modbus_crc(text.encode()) == crc


def test_it_answers_the_published_commands_however_they_are_cut():
    one = meter()
    one.measure(110)
    assert list(one.hear(b"&TB 50")) == []
    (about,) = one.hear(b"299")
    assert about.startswith(b"&M101C00028D9 ")
    head, record, end = one.hear(b"&N0 41854")
    assert (head[:4], record[:27], end[:3]) == (b"&N1 ", b"&N2603051200 110 0 0 0 0 " + record[25:27], b"&N ")


@pytest.mark.parametrize("piece_bytes", [1, 7, 20, None])
@pytest.mark.parametrize("driver", [BLE_DRIVER, SERIAL_DRIVER], ids=lambda driver: driver.name)
def test_the_drivers_read_it_however_it_is_cut(driver, piece_bytes):
    one = meter(wired=driver is SERIAL_DRIVER)
    for mg_dl in (110, LO, HI, 98):
        one.measure(mg_dl)
    met = meet(driver, one, piece_bytes=piece_bytes, channel="" if one.wired else CHANNEL)
    assert [(record.key.partition("#")[2], record.values or record.off_scale) for record in met.records] == [
        ("98", {"glucose_mmol_l": Decimal("5.4")}),
        ("601", {"glucose_mmol_l": OffScale.HI}),
        ("9", {"glucose_mmol_l": OffScale.LO}),
        ("110", {"glucose_mmol_l": Decimal("6.1")}),
    ]
    assert ("error", "garbled_bytes") not in met.notes
    assert len(one.records) == 4, "nothing is deleted"


@pytest.mark.parametrize("lose_after", range(3, 90, 7))
def test_a_line_lost_anywhere_loses_no_record_and_doubles_none(lose_after):
    one = meter(wired=True)
    for mg_dl in (98, 176, 110):
        one.measure(mg_dl)
    first = meet(SERIAL_DRIVER, one, lose_after=lose_after)
    second = meet(SERIAL_DRIVER, one)
    assert {record.key for record in first.records} <= {record.key for record in second.records}
    assert len(second.records) == 3
