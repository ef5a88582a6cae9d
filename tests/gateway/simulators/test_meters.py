"""The virtual meters, byte by byte against what the specifications say."""

from datetime import datetime
from decimal import Decimal

import pytest

from gateway.simulators.glucose_meter import RESULT_TOO_HIGH, Answer, GlucoseMeter
from gateway.simulators.meter import Declined, float32, sfloat
from gateway.simulators.pressure_cuff import PressureCuff
from gateway.simulators.thermometer import TYMPANUM, Result, Thermometer

NOON = datetime.fromisoformat("2026-03-05T12:00:30")
LISTENING = frozenset({"2a18", "2a34", "2a52"})


def glucose() -> GlucoseMeter:
    return GlucoseMeter(name="VGM", address="C4:5E:00:00:00:01", now=lambda: NOON)


def asked(meter: GlucoseMeter, request: str) -> list[str]:
    sent = meter.write("2a52", bytes.fromhex(request), LISTENING)
    return [f"{outgoing.channel} {outgoing.data.hex()}" for outgoing in sent]


@pytest.mark.parametrize(
    ("value", "word"),
    [("0.0054", "36c0"), ("120", "0c10"), ("-1", "ff0f"), ("0.00098", "62b0"), ("0", "0000"), ("16.0", "1000")],
)
def test_an_sfloat_is_a_mantissa_and_a_power_of_ten(value, word):
    assert sfloat(Decimal(value)).hex() == word


@pytest.mark.parametrize(
    ("value", "word"),
    [("36.6", "6e0100ff"), ("37", "25000000"), ("-0.05", "fbfffffe"), ("8388605E+127", "fdff7f7f")],
)
def test_a_float_is_the_same_with_more_room(value, word):
    assert float32(Decimal(value)).hex() == word


@pytest.mark.parametrize(("encode", "value"), [(sfloat, "2.0461"), (float32, "8388606"), (float32, "1E-129")])
def test_a_number_with_too_many_digits_does_not_fit(encode, value):
    with pytest.raises(ValueError, match="does not fit"):
        encode(Decimal(value))


def test_ketone_is_sent_as_caresens_dual_sends_it():
    meter = glucose()
    meter.measure_ketone(Decimal("1.5"))
    assert asked(meter, "0101") == ["2a18 130000ea0703050c001e00000fb011", "2a34 02000006", "2a52 06000101"]


def test_records_come_oldest_first_and_a_context_follows_its_record():
    meter = glucose()
    meter.measure(Decimal("5.4"), meal=3)
    meter.measure(Decimal("33.3"), status=RESULT_TOO_HIGH)
    assert asked(meter, "0101") == [
        "2a18 170000ea0703050c001e000036c011",
        "2a34 02000003",
        "2a18 0f0100ea0703050c001e00004dc1112000",
        "2a52 06000101",
    ]


@pytest.mark.parametrize(
    ("request_", "sequences"),
    [("0101", [0, 1, 2]), ("0103010100", [1, 2]), ("0105", [0]), ("0106", [2]), ("0103010200", [2])],
)
def test_every_operator_chooses_its_records(request_, sequences):
    meter = glucose()
    for _ in range(3):
        meter.measure(Decimal("5.4"))
    *records, response = asked(meter, request_)
    assert [int(record.split()[1][2:4], 16) for record in records] == sequences
    assert response == "2a52 06000101"


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("0103010900", Answer.NO_RECORDS_FOUND),
        ("0100", Answer.INVALID_OPERATOR),
        ("0102010000", Answer.OPERATOR_NOT_SUPPORTED),
        ("010101", Answer.INVALID_OPERAND),
        ("01030100", Answer.INVALID_OPERAND),
        ("010302ea0703050c001e", Answer.OPERAND_NOT_SUPPORTED),
        ("0900", Answer.OP_NOT_SUPPORTED),
    ],
)
def test_what_cannot_be_done_is_answered_with_its_code(request_, answer):
    meter = glucose()
    meter.measure(Decimal("5.4"))
    assert asked(meter, request_) == [f"2a52 0600{request_[:2]}{answer:02x}"]


def test_records_are_counted_and_deleted_on_request_and_numbers_go_on():
    meter = glucose()
    meter.measure(Decimal("5.4"))
    meter.measure(Decimal("5.5"))
    assert asked(meter, "0401") == ["2a52 05000200"]
    assert asked(meter, "0205") == ["2a52 06000201"]
    assert asked(meter, "0401") == ["2a52 05000100"]
    assert meter.measure(Decimal("5.6")).sequence == 2


def test_an_abort_ends_the_report_and_is_answered():
    meter = glucose()
    for _ in range(3):
        meter.measure(Decimal("5.4"))
    report = meter.write("2a52", b"\x01\x01", LISTENING)
    next(report)
    with pytest.raises(Declined):
        meter.write("2a52", b"\x01\x01", LISTENING)
    assert asked(meter, "0300") == ["2a52 06000301"]
    assert list(report) == []
    assert len(asked(meter, "0101")) == 4


def test_nothing_is_reported_to_who_does_not_listen():
    with pytest.raises(Declined):
        glucose().write("2a52", b"\x01\x01", frozenset({"2a52"}))


def test_a_cuff_sends_what_is_stored_and_forgets_what_was_confirmed():
    cuff = PressureCuff(name="VBP", address="C4:5E:00:00:00:02", now=lambda: NOON)
    cuff.measure(Decimal(128), Decimal(82), Decimal(71), user=1)
    cuff.measure(Decimal("16.0"), Decimal("10.5"), kpa=True, dated=False, status=None)
    cuff.fail_to_measure()
    first, second, third = cuff.on_subscribed(frozenset({"2a35"}))
    assert first.data.hex() == "1e800052006100ea0703050c001e4700010000"
    assert second.data.hex() == "01100069f07bf0"
    assert third.data.hex() == "12ff07ff07ff07ea0703050c001e0200"
    cuff.on_confirmed(first)
    assert [one.data for one in cuff.on_subscribed(frozenset({"2a35"}))] == [second.data, third.data]


def test_a_thermometer_sends_what_is_stored_and_forgets_what_was_confirmed():
    meter = Thermometer(name="VTH", address="C4:5E:00:00:00:03", now=lambda: NOON)
    meter.measure(Decimal("36.6"))
    meter.measure(Decimal("101.3"), fahrenheit=True, dated=False, site=None)
    meter.measure(Result.ABOVE_RANGE)
    first, second, third = meter.on_subscribed(frozenset({"2a1c"}))
    assert first.data.hex() == "066e0100ffea0703050c001e06"
    assert second.data.hex() == "01f50300ff"
    assert third.data.hex() == "06feff7f00ea0703050c001e06"
    assert first.indicate
    meter.on_confirmed(first)
    assert [one.data for one in meter.on_subscribed(frozenset({"2a1c"}))] == [second.data, third.data]


def test_a_thermometer_for_one_place_says_so_once():
    meter = Thermometer(name="VTH", address="C4:5E:00:00:00:03", now=lambda: NOON, only_site=TYMPANUM)
    assert meter.measure(Decimal("36.6")).measurement().hex() == "026e0100ffea0703050c001e"
    assert meter.read("2a1d") == bytes([9])
