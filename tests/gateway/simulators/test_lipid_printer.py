"""The virtual CardioChek: its labels as they were captured, and the driver that reads them."""

from datetime import datetime
from decimal import Decimal

import pytest

from gateway.drivers import ak_bu
from gateway.drivers.cardiochek import DRIVER
from gateway.simulators.lipid_printer import LipidPrinter, SlipPrinter
from gateway.wire.vocabulary import OffScale
from tests.gateway.simulators.meeting import meet

NOON = datetime.fromisoformat("2026-03-05T12:00:30")


def printer(**options) -> LipidPrinter:
    return LipidPrinter(now=lambda: NOON, **options)


def test_a_label_is_what_was_captured_but_for_its_numbers():
    meter = printer()
    meter.measure_panel(Decimal("2.1"), Decimal("0.3"), Decimal("0.65"))
    label, blank = meter.begin()
    assert label.decode().splitlines() == [
        "",
        "N",
        'A60,000040,0,4,1,1,N,"S/N     : 3093537"',
        'A60,000080,0,4,1,1,N,"DATE    : 2026 03 05"',
        'A60,000120,0,4,1,1,N,"TIME    : 12:00"',
        'A60,000160,0,4,1,1,N,"ID      : ----"',
        'A60,000200,0,4,1,1,N,"LOT     : P443"',
        'A60,000240,0,4,1,1,N,"CHOL    : < 2.59 mmol/L"',
        'A60,000280,0,4,1,1,N,"HDL CHOL: < 0.39 mmol/L"',
        'A60,000320,0,4,1,1,N,"TRIG    :  0.65 mmol/L"',
        'A60,000360,0,4,1,1,N,"CALC LDL: ---- "',
        'A60,000400,0,4,1,1,N,"TC/HDL  : ---- "',
        "P1",
    ]
    assert blank.startswith(b'\nN\nA60,000040,0,4,1,1,N,"                         "\n')
    assert blank.endswith(b'A60,000480,0,4,1,1,N,"                         "\n\nN\n')
    assert list(meter.begin()) == []
    assert list(meter.hear(b"SEND")) == []


@pytest.mark.parametrize(
    "options", [{}, {"mg_dl": True}, {"zeros_every": 7}, {"words": ("序列号", "日期", "时间", "结果", "批号")}]
)
@pytest.mark.parametrize("piece_bytes", [1, 20, None])
def test_the_driver_reads_a_panel_and_a_strip(options, piece_bytes):
    meter = printer(**options)
    meter.measure_panel(Decimal("5.12"), Decimal("1.31"), Decimal("1.70"))
    meter.measure_panel(Decimal("13.5"), Decimal("1.31"), Decimal("7.5"))
    meter.measure_glucose(Decimal("6.1"))
    met = meet(DRIVER, meter, piece_bytes=piece_bytes)
    panel, beyond, strip = met.records
    assert {name: round(value, 1) for name, value in panel.values.items()} == {
        "total_cholesterol_mmol_l": Decimal("5.1"),
        "hdl_mmol_l": Decimal("1.3"),
        "triglyceride_mmol_l": Decimal("1.7"),
        "ldl_mmol_l": Decimal("3.0"),
    }
    assert beyond.off_scale == {"total_cholesterol_mmol_l": OffScale.HI, "triglyceride_mmol_l": OffScale.HI}
    assert beyond.flags == ("ldl_not_computed",)
    assert strip.values == {"glucose_mmol_l": Decimal("6.1")}
    assert {record.device_time for record in met.records} == {NOON.replace(second=0)}
    assert ("serial", "3093537") in met.notes


def test_half_a_label_is_no_reading_and_the_same_label_again_is_the_same():
    meter = printer()
    meter.measure_panel(Decimal("5.12"), Decimal("1.31"), Decimal("1.70"))
    assert meet(DRIVER, meter, piece_bytes=20, lose_after=300).records == []
    keys = []
    for _ in range(2):
        meter = printer()
        meter.measure_panel(Decimal("5.12"), Decimal("1.31"), Decimal("1.70"))
        keys += [record.key for record in meet(DRIVER, meter).records]
    assert len(keys) == 2
    assert len(set(keys)) == 1


@pytest.mark.parametrize("at", range(0, 480, 7))
def test_a_byte_lost_on_the_way_never_makes_another_panel(at):
    """No checksum: what a lost byte can do is to make a line unreadable, or to cost a digit in it."""
    meter = printer()
    meter.measure_panel(Decimal("5.12"), Decimal("1.31"), Decimal("1.70"))
    label, _ = meter.begin()
    met = meet(DRIVER, _Recording(now=lambda: NOON, said=label[:at] + label[at + 1 :]))
    assert len(met.records) + len([note for note in met.notes if note[0] == "error"]) >= 1
    for record in met.records:
        assert len(record.values) == 4


class _Recording(LipidPrinter):
    def __init__(self, *, said: bytes, **options) -> None:
        super().__init__(**options)
        self.said = said

    def begin(self):
        yield self.said


@pytest.mark.parametrize("piece_bytes", [1, 20, None])
@pytest.mark.parametrize("dated", [True, False])
def test_a_slip_is_read_too_and_named_only_if_it_is_dated(piece_bytes, dated):
    meter = SlipPrinter(now=lambda: NOON, dated=dated)
    meter.measure_panel(Decimal("5.12"), Decimal("1.31"), Decimal("1.70"))
    meter.measure_panel(Decimal("13.5"), Decimal("1.31"), Decimal("7.5"))
    met = meet(ak_bu.DRIVER, meter, piece_bytes=piece_bytes)
    panel, beyond = met.records
    assert panel.values["total_cholesterol_mmol_l"] == Decimal("5.12")
    assert beyond.off_scale == {"total_cholesterol_mmol_l": OffScale.HI, "triglyceride_mmol_l": OffScale.HI}
    assert panel.device_time == (NOON.replace(second=0) if dated else None)
    assert len({panel.key, beyond.key, ""}) == (3 if dated else 1)
