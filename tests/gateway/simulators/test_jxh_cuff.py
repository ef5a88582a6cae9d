"""The virtual JXH cuff against frames worked out from the maker's kit, and face to face with its driver."""

from datetime import datetime, timedelta

import pytest

from gateway.drivers.jxh import DRIVER
from gateway.simulators.jxh_cuff import NOTIFY, JxhCuff
from tests.gateway.simulators.meeting import meet

NOON = datetime.fromisoformat("2026-03-05T12:00:30")


class Cuff(JxhCuff):
    """One whose clock a test moves."""

    def __init__(self, at: datetime = NOON, **options) -> None:
        self.at = at
        super().__init__(now=lambda: self.at, **options)

    def filled(self) -> "Cuff":
        for minutes, user in enumerate((0, 1, 0)):
            self.at = NOON + timedelta(minutes=minutes)
            self.measure(120 + minutes, 80, 70, user=user)
        list(self.begin())
        return self


def over_the_air(cuff, **options):
    return meet(DRIVER, cuff, channel=NOTIFY, name="BPM-188", **options)


def test_a_measurement_is_told_as_the_kit_reads_it():
    cuff = Cuff(datetime.fromisoformat("2026-03-02T09:28"))
    cuff.measure(128, 80, 72)
    *pressures, result = cuff.begin()
    assert [piece.hex() for piece in pressures] == ["0240dd02001e81", "0240dd02009e01", "0240dd020050cf"]
    assert result.hex() == "0240dd0f1c0080005000480000011a0302091c19"
    assert list(cuff.begin()) == []


def test_an_old_one_tells_neither_time_nor_user():
    cuff = Cuff(of_the_old=True)
    cuff.measure(128, 80, 72)
    *_, result = cuff.begin()
    assert (len(result), result.hex()) == (17, "0240dd0c1c008000500000004800000015")


def test_it_tells_what_it_kept_of_both_users_and_where_each_ends():
    cuff = Cuff().filled()
    assert [piece[4] for piece in cuff.hear(bytes.fromhex("0240dc05b10000000028"))] == [0xB1, 0xB3, 0xB3]
    assert [piece[4] for piece in Cuff().hear(bytes.fromhex("0240dc05b10000000028"))] == [0xB3, 0xB3]
    assert list(cuff.hear(bytes.fromhex("0240dc05b10000000029"))) == []  # a wrong check


@pytest.mark.parametrize("piece_bytes", [1, 20, None])
def test_the_driver_reads_what_it_kept_and_what_it_measures_by_one_name(piece_bytes):
    cuff = Cuff().filled()
    cuff.at = NOON + timedelta(minutes=9)
    cuff.measure(141, 92, 66, uneven=True)
    met = over_the_air(cuff, piece_bytes=piece_bytes)
    assert {record.key for record in met.records} == {
        "2026-03-05T12:00#0/120/80",
        "2026-03-05T12:01#1/121/80",
        "2026-03-05T12:02#0/122/80",
        "2026-03-05T12:09#0/141/92",
    }
    assert len(met.records) == 5  # the last told live, and again out of the memory
    assert not any("pulse_per_min" in record.values for record in met.records)
    assert not any(act.startswith("write 0240dc01a1") for act in met.acts)  # it never inflates an empty cuff


@pytest.mark.parametrize("lose_after", range(0, 60, 7))
def test_a_line_lost_anywhere_loses_no_record_and_doubles_none(lose_after):
    cuff = Cuff().filled()
    first = over_the_air(cuff, lose_after=lose_after)
    second = over_the_air(cuff, last_record=first.remembered)
    assert len({record.key for record in first.records + second.records}) == 3


def test_a_result_without_a_time_counts_once_and_again_after_another_measurement():
    cuff = Cuff(of_the_old=True)
    cuff.measure(128, 80, 72)
    *_, result = told = list(cuff.begin())
    cuff.untold.step(*told, result)
    first = over_the_air(cuff)
    assert len(first.records) == 1
    cuff._to_tell = [result]
    assert over_the_air(cuff, last_record=first.remembered).records == []
    cuff.measure(128, 80, 72)
    assert len(over_the_air(cuff, last_record=first.remembered).records) == 1


def test_a_failed_measurement_is_told_in_a_word():
    cuff = Cuff()
    cuff.fail(4)
    met = over_the_air(cuff)
    assert ("error", "cuff_loose_or_leaks") in met.notes
    assert met.records == []


def test_the_clock_is_set_after_what_was_kept():
    cuff = Cuff(clock_error=timedelta(days=-3)).filled()
    met = over_the_air(cuff, set_clock_to=NOON)
    assert cuff.set_to == NOON
    assert ("clock_set", NOON.isoformat()) in met.notes
    assert [act for act in met.acts if act == "emit" or "b0" in act][-1].startswith("write 0240dc07b0")
