"""Whose a reading is: the truth table row by row, and what may never happen at all."""

from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.attribution import Evidence, attribute
from cloud.ledger.words import How
from gateway.wire.messages import Purpose, Quality, Reading, TakenAt, TimeQuality
from tests.cloud.chains import LI, NOW, WANG, reading, visit

MINUTE = timedelta(minutes=1)
OPEN = visit("M000001", opened=NOW - MINUTE)
CLOSED = visit("M000001", opened=NOW - MINUTE, closed=NOW + MINUTE)
BEFORE = visit("M000001", opened=NOW + MINUTE)
AFTER = visit("M000001", opened=NOW - 2 * MINUTE, closed=NOW - MINUTE)


def timed(quality: TimeQuality) -> Reading:
    return reading(1, visit=OPEN, time=TakenAt(at=NOW, quality=quality, received=NOW))


def earlier(seconds: float) -> Reading:
    """Taken a minute after the visit was opened, or up to so much earlier."""
    at = TakenAt(at=NOW, quality=TimeQuality.DEVICE, received=NOW, early_s=seconds)
    return reading(1, visit=OPEN, time=at)


@pytest.mark.parametrize(
    ("measured", "visitors", "owner", "member", "how", "why"),
    [
        pytest.param(reading(1), (), None, None, None, "", id="no evidence"),
        pytest.param(reading(1), (), LI, LI, How.OWNER, "own_meter", id="a member's own meter"),
        pytest.param(reading(1, visit=OPEN), (WANG,), None, WANG, How.VISIT, "inside_visit", id="open visit"),
        pytest.param(reading(1, visit=CLOSED), (WANG,), None, WANG, How.VISIT, "inside_visit", id="closed visit"),
        pytest.param(reading(1, visit=OPEN), (LI,), LI, LI, How.VISIT, "inside_visit", id="the owner visits"),
        pytest.param(reading(1, visit=OPEN), (WANG,), LI, None, How.UNDECIDED, "conflict", id="another's meter"),
        pytest.param(reading(1, visit=OPEN), (), None, None, How.UNDECIDED, "unknown_code", id="unknown card"),
        pytest.param(reading(1, visit=OPEN), (), LI, None, How.UNDECIDED, "unknown_code", id="unknown, own meter"),
        pytest.param(
            reading(1, visit=OPEN), (WANG, LI), None, None, How.UNDECIDED, "ambiguous_code", id="several match"
        ),
        pytest.param(reading(1, visit=BEFORE), (WANG,), None, None, How.UNDECIDED, "outside_visit", id="before"),
        pytest.param(reading(1, visit=AFTER), (WANG,), None, None, How.UNDECIDED, "outside_visit", id="after"),
        pytest.param(earlier(60), (WANG,), None, WANG, How.VISIT, "inside_visit", id="in whole minutes, inside"),
        pytest.param(earlier(61), (WANG,), None, None, How.UNDECIDED, "outside_visit", id="perhaps before"),
        pytest.param(reading(1, visit=AFTER), (WANG,), LI, LI, How.OWNER, "own_meter", id="the owner's memory"),
        pytest.param(timed(TimeQuality.CORRECTED), (WANG,), None, WANG, How.VISIT, "inside_visit", id="corrected"),
        pytest.param(timed(TimeQuality.GATEWAY), (WANG,), None, WANG, How.VISIT, "inside_visit", id="gateway"),
        pytest.param(
            timed(TimeQuality.UNTRUSTED), (WANG,), None, None, How.UNDECIDED, "untrusted_clock", id="no clock"
        ),
        pytest.param(
            timed(TimeQuality.UNTRUSTED), (WANG,), LI, None, How.UNDECIDED, "untrusted_clock", id="no clock, other"
        ),
        pytest.param(
            timed(TimeQuality.UNTRUSTED), (LI,), LI, LI, How.OWNER, "own_meter", id="no clock, the owner visits"
        ),
        pytest.param(reading(1, visit=OPEN, purpose=Purpose.CONTROL), (WANG,), WANG, None, None, "", id="control"),
        pytest.param(
            reading(1, visit=OPEN, quality=Quality.REJECTED), (WANG,), WANG, None, None, "", id="rejected"
        ),
        pytest.param(
            reading(1, visit=OPEN, quality=Quality.FLAGGED),
            (WANG,),
            None,
            WANG,
            How.VISIT,
            "inside_visit",
            id="flagged",
        ),
    ],
)
def test_truth_table(
    measured: Reading,
    visitors: tuple[UUID, ...],
    owner: UUID | None,
    member: UUID | None,
    how: How | None,
    why: str,
) -> None:
    decision = attribute(measured, Evidence(visitors=visitors, owner=owner))
    assert (decision.member_id, decision.how, decision.why) == (member, how, why)


moments = st.integers(-3, 3).map(lambda n: NOW + n * MINUTE)
people = st.sampled_from([UUID(int=n) for n in range(1, 4)])
visits = st.builds(lambda opened, closed: visit("M1", opened=opened, closed=closed), moments, st.none() | moments)
readings = st.builds(
    lambda at, quality, stands, purpose, plausible: reading(
        1,
        time=TakenAt(at=at, quality=quality, received=NOW),
        visit=stands,
        purpose=purpose,
        quality=plausible,
    ),
    moments,
    st.sampled_from(TimeQuality),
    st.none() | visits,
    st.sampled_from(Purpose),
    st.sampled_from(Quality),
)


@given(readings, st.lists(people, max_size=3), st.none() | people)
def test_nobody_but_the_visitor_or_the_owner_ever_gets_a_reading(
    measured: Reading, visitors: list[UUID], owner: UUID | None
) -> None:
    decision = attribute(measured, Evidence(visitors=visitors, owner=owner))
    if decision.member_id is None:
        return
    assert measured.purpose is Purpose.PATIENT
    assert measured.quality is not Quality.REJECTED
    if decision.how is How.VISIT:
        assert set(visitors) == {decision.member_id}
        assert owner in (None, decision.member_id)
        assert measured.time.quality is not TimeQuality.UNTRUSTED
        assert measured.visit is not None
        assert measured.visit.opened <= measured.time.at - timedelta(seconds=measured.time.early_s)
    else:
        assert (decision.how, decision.member_id) == (How.OWNER, owner)


@given(readings, st.lists(people, max_size=3), st.none() | people)
def test_who_measured_first_or_what_the_value_is_changes_nothing(
    measured: Reading, visitors: list[UUID], owner: UUID | None
) -> None:
    other = msgspec.structs.replace(measured, values={}, id=UUID(int=77))
    turned = Evidence(visitors=tuple(reversed(visitors)), owner=owner)
    assert attribute(measured, Evidence(visitors=visitors, owner=owner)) == attribute(other, turned)
