"""The virtual Sinocare meter against the maker's frames, and face to face with its driver."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from gateway.drivers.sinocare import DRIVER
from gateway.simulators.sinocare_meter import HI, NOTIFY, OLD, Item, SinocareMeter
from tests.gateway.simulators.meeting import meet

NOON = datetime.fromisoformat("2026-03-05T12:00:30")


def meter(at: str = "2026-03-05T12:00:30", **options) -> SinocareMeter:
    return SinocareMeter(now=lambda: datetime.fromisoformat(at), **options)


def test_a_result_is_told_as_the_maker_published_it():
    ring = meter("2022-10-27T11:13:31")
    for _ in range(30):
        ring.measure(Decimal(300), Item.URIC_ACID)
    list(ring.begin())
    ring.measure(Decimal(622), Item.URIC_ACID, haematocrit_percent=46)
    waiting, started, result = ring.begin()
    assert waiting.hex() == "534e0620000300052e"
    assert started.hex() == "534e0620000a000030"
    assert result.hex() == "534e1b200004001f160a1b0b0d1f00000000010001026e0e02002e003cbc"
    assert list(ring.begin()) == []


def test_a_wl_1_says_what_a_captured_one_said():
    wl_1 = meter("2011-03-30T08:07:59", machine=OLD)
    wl_1.measure(Decimal("4.7"))
    *_, result = wl_1.begin()
    assert result.hex() == "534e0e0004040b031e0807002f1900fa93"  # its temperature apart


def test_it_answers_what_it_is_asked_however_the_request_is_cut():
    ug = meter()
    ug.measure(Decimal("5.8"))
    ug.measure(Decimal(388), Item.URIC_ACID)
    assert [piece.hex() for piece in ug.hear(bytes.fromhex("534e0800040153494e4f46"))] == [
        "534e082000014341524544"
    ]
    assert list(ug.hear(bytes.fromhex("534e06200005"))) == []
    (answer,) = ug.hear(bytes.fromhex("000530"))
    assert answer.hex() == "534e1b20000500021a03050c001e000000000100010184" + "0e02002a003c8b"
    assert list(ug.hear(bytes.fromhex("534e06200005000531"))) == []  # a wrong sum


@pytest.mark.parametrize("piece_bytes", [1, 7, 20, None])
def test_the_driver_reads_it_however_the_notifications_are_cut(piece_bytes):
    ug = meter()
    ug.measure(Decimal("5.8"))
    ug.measure(Decimal(1311), Item.URIC_ACID, flags=HI)
    met = meet(DRIVER, ug, piece_bytes=piece_bytes, channel=NOTIFY)
    assert {record.key: record.values or record.off_scale for record in met.records} == {
        "1@2026-03-05T12:00:30": {"glucose_mmol_l": Decimal("5.8")},
        "2@2026-03-05T12:00:30": {"urate_umol_l": "HI"},
    }
    assert "clock" not in dict(met.notes)
    # Told as they were taken, and again out of the memory, by the same names.
    assert [record.live for record in met.records] == [True, True, False, False]


@pytest.mark.parametrize("lose_after", range(11, 200, 9))
def test_a_line_lost_anywhere_loses_no_record_and_doubles_none(lose_after):
    ug = meter()
    for value in ("5.1", "6.2", "7.3"):
        ug.measure(Decimal(value))
    first = meet(DRIVER, ug, lose_after=lose_after, channel=NOTIFY)
    second = meet(DRIVER, ug, channel=NOTIFY)
    keys = {record.key for record in first.records + second.records}
    assert sorted(keys) == [f"{order}@2026-03-05T12:00:30" for order in (1, 2, 3)]


def test_the_clock_is_set_and_what_was_measured_before_keeps_the_old_one():
    wl_1 = meter(machine=OLD, clock_error=timedelta(hours=-2))
    wl_1.measure(Decimal("4.7"))
    met = meet(DRIVER, wl_1, set_clock_to=NOON, channel=NOTIFY)
    assert [act for act in met.acts if act == "emit" or act.startswith("write 534e09")] == [
        "emit",
        "write 534e090004061a03050c0041",
    ]
    assert [(what, value) for what, value in met.notes if what.startswith("clock")] == [
        ("clock_set", "2026-03-05T12:00:00"),
    ]
    assert wl_1.clock() == NOON.replace(second=0)


def test_a_failed_test_is_told_in_a_word():
    ug = meter()
    ug.fail(7)
    ug.switch_off()
    met = meet(DRIVER, ug, channel=NOTIFY)
    assert ("error", "too_little_blood") in met.notes
    assert met.records == []
