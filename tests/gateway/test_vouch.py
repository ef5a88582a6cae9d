"""What a gateway will put its name to: ids, times and plausibility."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.conversation import Garbled, Record
from gateway.vouch import TOLD_WITHIN_S, Circumstances, plausibility, vouch
from gateway.wire.codec import decode_reading, encode
from gateway.wire.evidence import inside
from gateway.wire.messages import Device, Purpose, Quality, TimeQuality, Visit
from gateway.wire.vocabulary import KINDS, QUANTITIES, Kind, OffScale

RECEIVED = datetime(2026, 3, 2, 1, 32, tzinfo=UTC)  # 09:32 on the counter
CIRCUMSTANCES = {
    "device": Device(key="YE68001234", maker="Yuwell", model="YE680A"),
    "driver": "ble.blood_pressure",
    "conversation": UUID(int=7),
    "received": RECEIVED,
    "clock_offset_s": None,
    "gateway_clock_trusted": True,
    "local_utc_offset_min": 480,
    "visit": None,
    "arrival": 0,
}


def _record(**changes) -> Record:
    values = {"systolic_mmhg": Decimal(138), "diastolic_mmhg": Decimal(88)}
    return Record(**{"kind": Kind.BLOOD_PRESSURE, "key": "2026-03-02T09:31:00#1", "values": values} | changes)


def _vouch(record: Record, **changes):
    return vouch(record, Circumstances(**CIRCUMSTANCES | changes))


# --- ids ---------------------------------------------------------------------------------------------------


def test_a_record_read_again_in_another_conversation_is_the_same_reading() -> None:
    again = _vouch(_record(), conversation=UUID(int=8), arrival=5, received=RECEIVED + timedelta(days=1))
    assert again.id == _vouch(_record()).id


@pytest.mark.parametrize(
    "changes",
    [
        {"record": _record(key="2026-03-02T09:34:00#1")},
        {"record": Record(kind=Kind.GLUCOSE, key="2026-03-02T09:31:00#1", values={"glucose_mmol_l": Decimal(6)})},
        {"device": Device(key="YE68009999")},
    ],
    ids=["another record", "another kind", "another meter"],
)
def test_another_measurement_is_another_reading(changes) -> None:
    record = changes.pop("record", _record())
    assert _vouch(record, **changes).id != _vouch(_record()).id


def test_records_without_a_name_are_told_apart_by_their_arrival() -> None:
    nameless = _record(key="")
    first, second = _vouch(nameless, arrival=0), _vouch(nameless, arrival=1)
    assert first.id != second.id
    assert first.id == _vouch(nameless, arrival=0).id  # the same bytes, replayed from the journal
    assert first.id != _vouch(nameless, arrival=0, conversation=UUID(int=8)).id


def test_ids_never_change() -> None:
    """A new id for an old record would make every meter's memory new to the cloud."""
    assert _vouch(_record()).id == UUID("a390c3e8-2ec2-507c-971a-cd29d821a607")


# --- when --------------------------------------------------------------------------------------------------

DEVICE, CORRECTED = TimeQuality.DEVICE, TimeQuality.CORRECTED
GATEWAY, UNTRUSTED = TimeQuality.GATEWAY, TimeQuality.UNTRUSTED
ON_METER = datetime(2026, 3, 2, 9, 31)  # noqa: DTZ001 - a meter's time is naive
METER = datetime(2026, 3, 2, 1, 31, tzinfo=UTC)


def _minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


@pytest.mark.parametrize(
    ("device_time", "offset_s", "trusted", "at", "quality"),
    [
        # no time from the meter
        (None, None, True, RECEIVED, UNTRUSTED),
        (None, 3.0, True, RECEIVED, UNTRUSTED),
        (None, None, False, RECEIVED, UNTRUSTED),
        # the clock was read, and is right
        (ON_METER, 0.0, True, METER, DEVICE),
        (ON_METER, 30.0, True, METER + _minutes(0.5), DEVICE),
        # corrected by up to a step too much: nothing is taken after it arrived
        (ON_METER, 120.0, True, RECEIVED, DEVICE),
        (ON_METER, -120.0, True, METER - _minutes(2), DEVICE),
        (ON_METER - timedelta(days=90), 30.0, True, METER - timedelta(days=90, seconds=-30), DEVICE),
        # the clock was read, and is wrong
        (ON_METER - _minutes(2), 121.0, True, METER + timedelta(seconds=1), CORRECTED),
        (ON_METER + _minutes(60), -3600.0, True, METER, CORRECTED),
        (ON_METER - timedelta(days=1521), 1521 * 86400.0, True, METER, CORRECTED),
        # older than the battery change that reset the clock: corrected, it would lie in the future
        (ON_METER, 1521 * 86400.0, True, RECEIVED, UNTRUSTED),
        (ON_METER + _minutes(10), 0.0, True, RECEIVED, UNTRUSTED),
        # the clock was not read
        (ON_METER, None, True, METER, DEVICE),
        (ON_METER - _minutes(1), None, True, METER - _minutes(1), DEVICE),
        (ON_METER - _minutes(1.02), None, True, METER - _minutes(1.02), UNTRUSTED),
        (ON_METER + _minutes(2), None, True, METER + _minutes(2), DEVICE),
        (ON_METER + _minutes(2.02), None, True, RECEIVED, UNTRUSTED),
        (ON_METER - timedelta(days=1), None, True, METER - timedelta(days=1), UNTRUSTED),
        # the gateway has no time of its own: nothing can be compared
        (ON_METER, None, False, METER, UNTRUSTED),
        (ON_METER, 0.0, False, METER, UNTRUSTED),
        (ON_METER + timedelta(days=1), 5000.0, False, METER + timedelta(days=1), UNTRUSTED),
        # no calendar holds it
        (ON_METER.replace(year=1), None, True, RECEIVED, UNTRUSTED),
        (ON_METER.replace(year=1582), None, False, RECEIVED, UNTRUSTED),
        (ON_METER.replace(year=9999), None, False, RECEIVED, UNTRUSTED),
        (ON_METER.replace(year=9999), 1e10, True, RECEIVED, UNTRUSTED),
    ],
)
def test_when_a_reading_was_taken(device_time, offset_s, trusted, at, quality) -> None:
    reading = _vouch(_record(device_time=device_time), clock_offset_s=offset_s, gateway_clock_trusted=trusted)
    assert (reading.time.at, reading.time.quality) == (at, quality)
    assert reading.time.received == RECEIVED
    assert reading.time.offset_s == offset_s
    assert reading.time.device == ("" if device_time is None else device_time.isoformat())


@pytest.mark.parametrize(
    ("step_s", "offset_s", "early_s"), [(1, 3.0, 1.0), (60, 3.0, 60.0), (60, None, 0.0), (1, None, 0.0)]
)
def test_a_clock_that_was_compared_says_by_how_much_a_reading_may_be_older(step_s, offset_s, early_s) -> None:
    reading = _vouch(_record(device_time=ON_METER, time_step_s=step_s), clock_offset_s=offset_s)
    assert (reading.time.quality, reading.time.early_s) == (DEVICE, early_s)


def test_what_was_seen_being_taken_was_taken_when_it_arrived() -> None:
    reading = _vouch(_record(device_time=ON_METER - _minutes(90), live=True), clock_offset_s=None)
    assert (reading.time.at, reading.time.quality, reading.time.early_s) == (RECEIVED, GATEWAY, TOLD_WITHIN_S)
    blind = _vouch(_record(device_time=ON_METER, live=True), clock_offset_s=None, gateway_clock_trusted=False)
    assert blind.time.quality is UNTRUSTED


def test_a_value_told_a_moment_late_is_not_certainly_whoever_has_stepped_up_since() -> None:
    visit = Visit(id=UUID(int=1), code="M001", slot="one", opened=RECEIVED - timedelta(seconds=1))
    reading = _vouch(_record(device_time=None, live=True), visit=visit)
    assert not inside(reading, visit)
    stood_there = Visit(id=UUID(int=1), code="M001", slot="one", opened=RECEIVED - timedelta(seconds=5))
    assert inside(reading, stood_there)


def test_a_meter_that_reports_a_time_fault_is_not_asked_for_the_time() -> None:
    reading = _vouch(_record(device_time=ON_METER, flags=("time_fault",)))
    assert (reading.time.at, reading.time.quality) == (RECEIVED, UNTRUSTED)


def test_the_meters_zone_is_the_stores() -> None:
    reading = _vouch(_record(device_time=ON_METER - _minutes(480)), local_utc_offset_min=0)
    assert reading.time.at == METER


def test_a_record_without_a_time_that_nobody_saw_being_taken_is_of_nobody_knows_when() -> None:
    assert _vouch(_record(live=True)).time.quality is GATEWAY
    assert _vouch(_record()).time.quality is UNTRUSTED


@given(
    device_time=st.none() | st.datetimes(),
    offset_s=st.none() | st.floats(-1e12, 1e12),
    trusted=st.booleans(),
)
def test_no_reading_is_taken_in_the_future(device_time, offset_s, trusted) -> None:
    reading = _vouch(_record(device_time=device_time), clock_offset_s=offset_s, gateway_clock_trusted=trusted)
    if reading.time.quality is not UNTRUSTED:
        assert reading.time.at <= RECEIVED + _minutes(1)


# --- whether it can be true --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "quality", "why"),
    [
        ({"systolic_mmhg": 138, "diastolic_mmhg": 88, "pulse_per_min": 72}, Quality.PLAUSIBLE, ()),
        ({"systolic_mmhg": 300, "diastolic_mmhg": 200}, Quality.FLAGGED, None),
        ({"systolic_mmhg": 301, "diastolic_mmhg": 200}, Quality.REJECTED, None),
        ({"systolic_mmhg": 72, "diastolic_mmhg": 81}, Quality.REJECTED, ("pulse_pressure_impossible",)),
        ({"systolic_mmhg": 90, "diastolic_mmhg": 81}, Quality.REJECTED, ("pulse_pressure_impossible",)),
        ({"systolic_mmhg": 90, "diastolic_mmhg": 80}, Quality.FLAGGED, ("pulse_pressure_unusual",)),
        ({"systolic_mmhg": 100, "diastolic_mmhg": 80}, Quality.PLAUSIBLE, ()),
        ({"systolic_mmhg": 180, "diastolic_mmhg": 80}, Quality.PLAUSIBLE, ()),
        ({"systolic_mmhg": 181, "diastolic_mmhg": 80}, Quality.FLAGGED, ("pulse_pressure_unusual",)),
        ({"systolic_mmhg": 120, "diastolic_mmhg": 80, "pulse_per_min": 19}, Quality.REJECTED, None),
        ({"systolic_mmhg": 120, "diastolic_mmhg": 80, "pulse_per_min": 39}, Quality.FLAGGED, None),
        ({"glucose_mmol_l": "5.6"}, Quality.PLAUSIBLE, ()),
        ({"glucose_mmol_l": "2.2"}, Quality.PLAUSIBLE, ()),
        ({"glucose_mmol_l": "2.1"}, Quality.FLAGGED, ("glucose_mmol_l_unusual",)),
        ({"glucose_mmol_l": "0.3"}, Quality.FLAGGED, ("glucose_mmol_l_unusual",)),
        ({"glucose_mmol_l": "0.2"}, Quality.REJECTED, ("glucose_mmol_l_impossible",)),
        ({"glucose_mmol_l": "60.1"}, Quality.REJECTED, ("glucose_mmol_l_impossible",)),
        ({"total_cholesterol_mmol_l": "4.8", "hdl_mmol_l": "1.2", "ldl_mmol_l": "2.9"}, Quality.PLAUSIBLE, ()),
        ({"total_cholesterol_mmol_l": "2.5", "hdl_mmol_l": "2.5"}, Quality.REJECTED, ("hdl_of_total_impossible",)),
        ({"total_cholesterol_mmol_l": "2.5", "ldl_mmol_l": "2.6"}, Quality.REJECTED, ("ldl_of_total_impossible",)),
        ({"hdl_mmol_l": "2.5", "ldl_mmol_l": "2.6"}, Quality.PLAUSIBLE, ()),
    ],
)
def test_whether_numbers_can_be_true(values, quality, why) -> None:
    found, reasons = plausibility({name: Decimal(value) for name, value in values.items()})
    assert found == quality
    assert why is None or reasons == why


@pytest.mark.parametrize("name", sorted(QUANTITIES))
def test_every_quantity_has_its_limits(name: str) -> None:
    limits, step = QUANTITIES[name].range, Decimal(1).scaleb(-QUANTITIES[name].decimals)
    for value, qualities in (
        (limits.reject_below - step, {Quality.REJECTED}),
        (limits.reject_below, {Quality.FLAGGED, Quality.PLAUSIBLE}),
        (limits.flag_below, {Quality.PLAUSIBLE}),
        (limits.flag_above, {Quality.PLAUSIBLE}),
        (limits.reject_above, {Quality.FLAGGED, Quality.PLAUSIBLE}),
        (limits.reject_above + step, {Quality.REJECTED}),
    ):
        assert plausibility({name: value})[0] in qualities, value


def test_numbers_that_cannot_be_true_are_kept() -> None:
    reading = _vouch(_record(values={"systolic_mmhg": Decimal(72), "diastolic_mmhg": Decimal(81)}))
    assert reading.quality == Quality.REJECTED
    assert reading.values == {"systolic_mmhg": 72, "diastolic_mmhg": 81}


def test_what_people_see_is_what_is_judged() -> None:
    """Half up at the quantity's decimals, before any limit: 2.15 is 2.2, which is no longer unusual."""
    glucose = Record(kind=Kind.GLUCOSE, key="1@x", values={"glucose_mmol_l": Decimal("2.15")})
    reading = _vouch(glucose)
    assert reading.values == {"glucose_mmol_l": Decimal("2.2")}
    assert reading.quality == Quality.PLAUSIBLE


def test_hi_stays_hi() -> None:
    reading = _vouch(Record(kind=Kind.GLUCOSE, key="1@x", off_scale={"glucose_mmol_l": OffScale.HI}))
    assert (reading.values, reading.off_scale) == ({}, {"glucose_mmol_l": OffScale.HI})
    assert reading.quality == Quality.PLAUSIBLE


def test_control_solution_stays_control_solution() -> None:
    control = Record(kind=Kind.GLUCOSE, key="1@x", values={"glucose_mmol_l": Decimal(6)}, purpose=Purpose.CONTROL)
    assert _vouch(control).purpose == Purpose.CONTROL


@pytest.mark.parametrize(
    ("record", "error"),
    [
        (_record(values={"systolic_mmhg": Decimal(120)}), "incomplete_record"),
        (_record(values={}), "incomplete_record"),
        (Record(kind=Kind.LIPID_PANEL, key="x"), "incomplete_record"),
        (_record(values=_record().values | {"glucose_mmol_l": Decimal(5)}), "unknown_quantity"),
        (_record(values=_record().values | {"mood": Decimal(5)}), "unknown_quantity"),
        (_record(values=_record().values | {"pulse_per_min": Decimal("NaN")}), "not_a_number"),
    ],
)
def test_a_record_that_is_no_reading_is_refused_beside_the_meter(record: Record, error: str) -> None:
    with pytest.raises(Garbled) as refused:
        _vouch(record)
    assert refused.value.error == error


@given(
    kind=st.sampled_from(list(Kind)),
    numbers=st.lists(st.decimals(allow_nan=False, allow_infinity=False), min_size=4),
    device_time=st.none() | st.datetimes(),
    trusted=st.booleans(),
)
def test_whatever_is_vouched_for_the_cloud_can_read(kind, numbers, device_time, trusted) -> None:
    values = dict(zip(KINDS[kind].quantities, numbers, strict=False))
    record = Record(kind=kind, key="x", values=values, device_time=device_time)
    try:
        reading = _vouch(record, gateway_clock_trusted=trusted)
    except Garbled as refused:
        assert refused.error == "not_a_number"
        return
    assert decode_reading(encode(reading)) == reading
