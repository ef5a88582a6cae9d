"""The virtual PanGao cuff against the published frames, and face to face with its drivers."""

from datetime import datetime
from decimal import Decimal

import pytest

from gateway.drivers.pangao import DRIVER, WIRE_DRIVER
from gateway.simulators.pangao_cuff import NOTIFY, PanGaoCuff
from tests.gateway.simulators.meeting import meet

NOON = datetime.fromisoformat("2026-03-05T12:00:30")


def cuff(**options) -> PanGaoCuff:
    return PanGaoCuff(now=lambda: NOON, **options)


def said(meter: PanGaoCuff, request: str) -> list[str]:
    return [piece.hex() for piece in meter.hear(bytes.fromhex(request))]


def test_the_handshake_is_the_published_one():
    ba_806 = cuff()
    ba_806.measure(128, 80, 72)
    assert said(ba_806, "0455aa03") == ["05553aa337"]
    assert said(ba_806, "04a3a047") == [
        "043ab1ef",
        "043ab3f1",
        "043ab4f2",
        "063ab7005047",
        "063ab7008077",
        "083ab80080504812",
    ]
    assert said(ba_806, "04a3a048") == []  # a wrong sum


def test_on_a_wire_it_answers_one_frame_at_a_time_and_repeats_the_last():
    chit = cuff(wired=True)
    assert said(chit, "04ffa0a3") == []
    chit.measure(128, 80, 72)
    answers = [said(chit, "04ffa0a3")[0] for _ in range(7)]
    assert [answer[4:6] for answer in answers] == ["b1", "b3", "b4", "b7", "b7", "b8", "b8"]
    assert answers[-1] == "08ffb800805048d7"


def test_on_a_wire_it_goes_on_measuring_while_it_is_unplugged():
    chit = cuff(wired=True)
    chit.measure(128, 80, 72)
    assert said(chit, "04ffa0a3")[0][4:6] == "b1"
    chit.on_line_lost()
    assert said(chit, "04ffa0a3")[0][4:6] == "b3"


def test_what_was_measured_while_the_gateway_was_away_is_a_reading_of_an_unknown_time():
    chit = cuff(wired=True)
    chit.measure(131, 84, 70)
    for _ in range(6):
        said(chit, "04ffa0a3")  # to somebody who did not survive it
    met = meet(WIRE_DRIVER, chit, last_record="00805048")
    assert [(record.values["systolic_mmhg"], record.live) for record in met.records] == [(Decimal(131), False)]
    assert met.remembered == "00835446"


def test_a_second_measurement_with_the_same_numbers_is_a_second_reading():
    ba_806 = cuff()
    ba_806.measure(128, 80, 72)
    ba_806.measure(128, 80, 72)
    met = meet(DRIVER, ba_806, piece_bytes=3, channel=NOTIFY)
    assert [record.values["systolic_mmhg"] for record in met.records] == [Decimal(128)] * 2
    assert met.remembered == "00805048"


def test_a_result_repeated_for_ever_is_one_reading():
    chit = cuff(wired=True)
    chit.measure(131, 84, 70)
    polls = iter(range(12))
    chit_hear = chit.hear
    chit.hear = lambda data: chit_hear(data) if next(polls, None) is not None else iter(())  # then it is unplugged
    met = meet(WIRE_DRIVER, chit)
    assert [dict(record.values) for record in met.records] == [
        {"systolic_mmhg": Decimal(131), "diastolic_mmhg": Decimal(84), "pulse_per_min": Decimal(70)}
    ]


@pytest.mark.parametrize("lose_after", range(1, 37, 3))
def test_a_line_lost_anywhere_costs_no_result_and_doubles_none(lose_after):
    ba_806 = cuff()
    ba_806.measure(128, 80, 72)
    first = meet(DRIVER, ba_806, lose_after=lose_after, channel=NOTIFY)
    ba_806.measure(119, 76, 64)
    second = meet(DRIVER, ba_806, last_record=first.remembered, channel=NOTIFY)
    readings = [record.values["systolic_mmhg"] for record in first.records + second.records]
    assert readings in ([128, 119], [119])  # one told while the line was going is gone: the cuff tells it once
    assert len(readings) == len(set(readings))


def test_a_cuff_on_a_wire_that_repeats_itself_for_ever_is_let_go_after_a_quiet_minute_and_loses_nothing():
    chit = cuff(wired=True)
    chit.measure(131, 84, 70)
    first = meet(WIRE_DRIVER, chit)
    assert [record.live for record in first.records] == [True]
    asked_once_it_was_told = first.acts[first.acts.index("emit") + 1 :]
    assert len(asked_once_it_was_told) == 6  # every ten seconds
    chit.measure(131, 84, 70)
    second = meet(WIRE_DRIVER, chit, last_record=first.remembered)
    assert [record.values["systolic_mmhg"] for record in second.records] == [Decimal(131)]
