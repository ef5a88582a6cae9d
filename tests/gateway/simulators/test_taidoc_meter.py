"""The virtual TaiDoc meter against the public description of the bus, and face to face with its driver."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.conversation import Garbled
from gateway.drivers.taidoc import DRIVER, SERIAL_DRIVER
from gateway.simulators.taidoc_meter import (
    AFTER_MEAL,
    CHANNEL,
    GLUCOSE,
    KETONE,
    URIC_ACID,
    TaiDocMeter,
)
from tests.gateway.simulators.meeting import NOW, meet

NOON = datetime.fromisoformat("2026-03-05T12:00:30")


class Meter(TaiDocMeter):
    """One whose clock a test moves."""

    def __init__(self, at: datetime = NOON, **options) -> None:
        self.at = at
        super().__init__(now=lambda: self.at, **options)

    def filled(self, count: int) -> "Meter":
        """With `count` results of different minutes behind it."""
        for number in range(count):
            self.at = NOON - timedelta(minutes=count - number)
            self.measure(100 + number)
        self.at = NOON
        return self


def over_the_air(meter, **options):
    return meet(DRIVER, meter, channel=CHANNEL, name="FORA 6 CONNECT", **options)


def answers(meter: TaiDocMeter, asked: str) -> list[str]:
    return [piece.hex() for piece in meter.hear(bytes.fromhex(asked))]


def test_it_answers_as_the_published_frames_say():
    meter = Meter(datetime.fromisoformat("2018-01-01T21:14"), serial="0102030405060708")
    assert answers(meter, "512200000000a316") == ["512200000000a518"]
    assert answers(meter, "512400000000a318") == ["512483410000a5de"]  # TD-4183, digits low byte first
    assert answers(meter, "512300000000a317") == ["512321240e15a581"]  # the time of a public test
    assert answers(meter, "512b01000000a320") == ["512b0000ffffa51f"]  # empty
    meter.measure(107, GLUCOSE, auxiliary=0)
    assert answers(meter, "512b01000000a320") == ["512b01000000a522"]
    assert answers(meter, "512500000001a31a") == ["512521240e15a583"]
    assert answers(meter, "512600000001a31b") == ["51266b000000a587"]  # captured from a FORA Premium V10
    assert answers(meter, "512601000001a31c") == []  # no such record
    assert answers(meter, "512800000000a31c") == ["512804030201a528"]
    assert answers(meter, "512700000000a31b") == ["512708070605a537"]
    assert answers(meter, "512600000001a31c") == []  # a wrong sum


def test_half_a_question_is_waited_for_and_the_first_may_only_wake_it():
    meter = Meter(asleep=True, notices=True)
    assert [piece.hex() for piece in meter.begin()] == ["515400000000a54a"]
    assert answers(meter, "512200000000a316") == []
    assert answers(meter, "51220000") == []
    assert answers(meter, "0000a316512200000000a316") == ["512200000000a518"] * 2


def test_values_are_packed_with_their_analyte_and_category():
    meter = Meter()
    assert meter.measure(58, URIC_ACID, auxiliary=17).value.hex() == "3a001120"
    assert meter.measure(17, KETONE, AFTER_MEAL, auxiliary=0).value.hex() == "1100009c"
    cuff = meter.measure_pressure(128, 93, 80, 72)
    assert (cuff.time().hex(), cuff.value.hex()) == ("6534800c", "805d5048")


@pytest.mark.parametrize("piece_bytes", [1, 3, 8])
def test_the_driver_reads_it_however_the_answers_are_cut(piece_bytes):
    meter = Meter(asleep=True)
    meter.measure(97)
    meter.measure(58, URIC_ACID)
    met = meet(SERIAL_DRIVER, meter, piece_bytes=piece_bytes)
    assert [record.values for record in met.records] == [
        {"urate_umol_l": Decimal(345)},
        {"glucose_mmol_l": Decimal("5.4")},
    ]
    facts = {"model": "TD-4183", "serial": "4183220300000042", "clock": "2026-03-05T12:00:00"}
    assert facts.items() <= set(met.notes)
    assert not meter.is_off  # it was laid into its cradle to be asked again


def test_a_line_lost_anywhere_loses_no_record_and_goes_on_where_it_was():
    """Forty records, and the link breaks after every so many bytes, until all is read."""
    meter = Meter().filled(40)
    keys, last, rounds, emitted = set(), None, 0, 0
    while len(keys) < 40:
        rounds += 1
        met = over_the_air(meter, last_record=last, lose_after=80 + 8 * 2 * 20)
        keys |= {record.key for record in met.records}
        emitted += len(met.records)
        last = met.remembered or last
        assert rounds < 10
    assert emitted == 40  # nothing was read twice
    assert over_the_air(meter, last_record=last).records == []


@pytest.mark.parametrize("lose_after", range(0, 400, 7))
def test_a_line_lost_in_mid_word_loses_no_record_and_doubles_none(lose_after):
    meter = Meter().filled(5)
    first = over_the_air(meter, lose_after=lose_after)
    second = over_the_air(meter, last_record=first.remembered)
    assert len({record.key for record in first.records + second.records}) == 5


def test_only_what_is_new_is_read_at_the_next_docking():
    meter = Meter().filled(450)
    first = over_the_air(meter)
    assert (len(first.records), meter.is_off) == (450, True)
    meter.at = NOON + timedelta(minutes=5)
    meter.measure(131)
    meter.measure(58, URIC_ACID)
    second = over_the_air(meter, last_record=first.remembered)
    assert [str(record.kind) for record in second.records] == ["uric_acid", "glucose"]
    assert sum(act.startswith("write 51") for act in second.acts) < 30
    meter.is_off = False
    assert over_the_air(meter, last_record=second.remembered).records == []


def test_a_full_memory_that_forgets_its_oldest_is_read_up_to_what_is_known():
    meter = Meter(capacity=50).filled(50)
    first = over_the_air(meter)
    meter.at = NOON + timedelta(minutes=5)
    for value in (131, 132, 133):
        meter.measure(value)
    second = over_the_air(meter, last_record=first.remembered)
    assert [record.shown[0].value for record in second.records] == ["133", "132", "131"]


def test_a_memory_replaced_by_another_of_the_same_size_is_read_whole():
    first = over_the_air(Meter().filled(20))
    other = Meter()
    for number in range(20):
        other.at = NOON + timedelta(minutes=number)
        other.measure(150 + number)
    assert len(over_the_air(other, last_record=first.remembered).records) == 20


class Restless(Meter):
    """Somebody measures whenever the third record is read."""

    measures = 1

    def hear(self, data):
        yield from super().hear(data)
        if data[1] == 0x26 and data[2] == 2 and self.measures:
            self.measures -= 1
            self.at += timedelta(minutes=1)
            self.measure(200)


def test_a_record_that_came_while_we_read_is_there_and_none_is_mixed_of_two():
    meter = Restless().filled(6)
    truth = {(record.at.replace(second=0), record.value) for record in meter.records}
    met = over_the_air(meter)
    truth |= {(record.at.replace(second=0), record.value) for record in meter.records}
    told = {(record.device_time, bytes.fromhex(record.key.partition("/")[2])) for record in met.records}
    assert told == truth
    assert len(met.records) == 7


def test_a_memory_that_never_stands_still_is_given_up():
    meter = Restless().filled(6)
    meter.measures = 100
    with pytest.raises(Garbled, match="memory_keeps_moving"):
        over_the_air(meter)


def test_the_clock_is_set_to_the_nearer_minute_after_the_records():
    meter = Meter(clock_error=timedelta(hours=-2)).filled(1)
    local = NOW.replace(tzinfo=None) + timedelta(hours=8)
    met = over_the_air(meter, set_clock_to=local + timedelta(seconds=15))
    assert meter.set_to == datetime.fromisoformat("2026-03-05T12:01")
    assert ("clock_set", "2026-03-05T12:01:00") in met.notes
    kept = [act for act in met.acts if act == "emit" or act.startswith("write 5133")]
    assert kept == ["emit", "write 51336534010ca3cd"]


def test_it_is_never_told_to_forget():
    meter = Meter().filled(3)
    met = over_the_air(meter)
    assert not any(act.startswith("write 5152") for act in met.acts)
    assert len(meter.records) == 3


class Stuttering(Meter):
    """Every answer comes twice."""

    def hear(self, data):
        for answer in super().hear(data):
            yield from (answer, answer)


class Late(Meter):
    """Every `every`th question is answered only together with the next."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every, self.asked, self.held = every, 0, []

    def hear(self, data):
        self.asked += 1
        answers = [*self.held, *super().hear(data)]
        self.held = answers if self.asked % self.every == 0 else []
        if not self.held:
            yield from answers


class Deaf(Meter):
    """Every `every`th question is lost."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every, self.asked = every, 0

    def hear(self, data):
        self.asked += 1
        if self.asked % self.every:
            yield from super().hear(data)


@pytest.mark.parametrize(
    "meter", [Stuttering(), *map(Late, range(2, 12)), *map(Deaf, range(2, 12))], ids=lambda it: type(it).__name__
)
def test_an_answer_that_comes_twice_late_or_not_is_never_taken_for_another(meter):
    meter.filled(40)
    truth = [(record.at.replace(second=0), record.value.hex()) for record in meter.records]
    met = over_the_air(meter)
    assert [(record.device_time, record.key.partition("/")[2]) for record in met.records] == truth
    assert ("serial", "4183220300000042") in met.notes
    assert ("model", "TD-4183") in met.notes


DAYS = st.lists(
    st.one_of(
        st.tuples(st.just("measure"), st.integers(1, 25)),
        st.tuples(st.just("dock"), st.none()),
        st.tuples(st.just("lose"), st.integers(0, 2000)),
        st.tuples(st.just("clear"), st.none()),
        st.tuples(st.just("battery"), st.none()),
    ),
    max_size=14,
)


@settings(max_examples=150, deadline=None)
@given(days=DAYS, capacity=st.integers(1, 40))
def test_whatever_happens_to_a_memory_all_that_is_in_it_is_read_and_nothing_else(days, capacity):
    meter = Meter(capacity=capacity)
    told, ever, last = set(), set(), None
    for what, how in days:
        if what == "measure":
            for _ in range(how):
                meter.at += timedelta(minutes=1)
                record = meter.measure(100 + len(ever) % 400)
                ever.add((f"{record.at:%Y-%m-%dT%H:%M}", record.value.hex()))
        elif what == "clear":
            meter.records.clear()
        elif what == "battery":
            meter.clock_error -= timedelta(days=3)
        else:
            meter.is_off = False
            met = over_the_air(meter, last_record=last, lose_after=how if what == "lose" else None)
            last = met.remembered or last
            told |= {tuple(record.key.split("/")) for record in met.records}
            if "lost" not in met.acts:
                assert told >= {(f"{it.at:%Y-%m-%dT%H:%M}", it.value.hex()) for it in meter.records}
    assert told <= ever
