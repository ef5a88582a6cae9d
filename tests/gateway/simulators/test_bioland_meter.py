"""The virtual Bioland meter against the maker's examples, and face to face with its driver."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from gateway.drivers.bioland import DRIVER
from gateway.simulators.bioland_meter import HI_MG_DL, NOTIFY, BiolandMeter
from tests.gateway.simulators.meeting import meet

NOON = datetime.fromisoformat("2026-03-05T12:00:30")


def meter(at: str = "2026-03-05T12:00:30", **options) -> BiolandMeter:
    return BiolandMeter(now=lambda: datetime.fromisoformat(at), **options)


def said(line: BiolandMeter, request: str) -> list[str]:
    return [piece.hex() for piece in line.hear(bytes.fromhex(request))]


def test_records_are_the_makers_examples_and_asking_again_walks_the_memory():
    g_500 = meter("2014-01-01T05:23:00")
    g_500.measure(177)
    g_500.now = lambda: datetime.fromisoformat("2014-01-01T05:25:00")
    g_500.measure(18)
    ask = "5a0a030e010105190097"
    assert [said(g_500, ask)[0] for _ in range(3)] == [
        "550c030e01010519001200a6",
        "550c030e0101051700b10043",
        "5505050061",
    ]


def test_a_firmware_with_a_plain_sum():
    g_500 = meter("2014-01-01T05:25:00", plain_sum=True)
    g_500.measure(HI_MG_DL)
    assert said(g_500, "5a0a030e010105190097") == ["550c030e0101051900c30257"]


def test_it_is_greeted_and_a_question_sets_its_clock():
    g_500 = meter(clock_error=timedelta(days=-4000))
    assert said(g_500, "5a040967") == ["5505090065"]
    (info,) = said(g_500, "5a0a001a03050c0020b4")  # 32 seconds past noon
    assert info == "5512002001500207" + "473530303030303031" + "b0"
    assert g_500.clock() == NOON + timedelta(seconds=2)


@pytest.mark.parametrize("piece_bytes", [1, 5, 20, None])
def test_the_driver_reads_it_however_the_notifications_are_cut(piece_bytes):
    g_500 = meter()
    g_500.measure(98)
    g_500.measure(HI_MG_DL)
    met = meet(DRIVER, g_500, piece_bytes=piece_bytes, channel=NOTIFY)
    assert [record.values or record.off_scale for record in met.records] == [
        {"glucose_mmol_l": "HI"},
        {"glucose_mmol_l": Decimal("5.4")},
    ]
    assert ("serial", "G50000001") in met.notes
    asked = [act if act == "emit" else act[6:12] for act in met.acts]
    assert asked == ["5a0409", "5a0a00", "5a0a03", "emit", "5a0a03", "emit", "5a0a03"]


@pytest.mark.parametrize("lose_after", range(1, 64, 5))
def test_a_line_lost_anywhere_loses_no_record_and_doubles_none(lose_after):
    g_500 = meter()
    for mg_dl in (98, 121, 140):
        g_500.measure(mg_dl)
    first = meet(DRIVER, g_500, lose_after=lose_after, channel=NOTIFY)
    second = meet(DRIVER, g_500, channel=NOTIFY)
    assert len(second.records) == 3
    assert {record.key for record in first.records} <= {record.key for record in second.records}
    assert len({record.key for record in second.records}) == 3


def test_a_result_told_while_it_is_asked_tells_nothing_of_its_time():
    g_500 = meter(clock_error=timedelta(minutes=-7))
    g_500.measure_now(104)
    met = meet(DRIVER, g_500, channel=NOTIFY)
    assert [what for what, _ in met.notes if what == "clock"] == []
    assert [record.live for record in met.records] == [False, False]  # pushed, and the answer to a question
