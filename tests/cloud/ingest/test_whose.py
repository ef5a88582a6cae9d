"""What staff said at a dock about whose a reading is: a claim like any other, and never more than that."""

from decimal import Decimal

import pytest
from sqlalchemy import update

from cloud import db
from cloud.crm.devices import registry as meters
from cloud.crm.devices.tables import devices
from cloud.ledger import changes
from gateway.wire.messages import (
    SOMEBODY_ELSE,
    VISITOR,
    Answer,
    Asked,
    Purpose,
    Reading,
    TakenAt,
    TimeQuality,
)
from gateway.wire.vocabulary import Kind
from tests.cloud.chains import (
    CHAIN,
    CLERK,
    LI,
    NOW,
    WANG,
    reading,
    visit,
)
from tests.cloud.ingest.docks import CUFF, Cloud, pressure, said, sent


def of_old_clock(number: int = 60, **changes: object) -> Reading:
    """Measured with the visitor's card on the counter, by a meter whose clock proves nothing."""
    untrusted = TakenAt(at=NOW, quality=TimeQuality.UNTRUSTED, received=NOW)
    values = {"systolic_mmhg": Decimal(186), "diastolic_mmhg": Decimal(112)}
    fields = {"kind": Kind.BLOOD_PRESSURE, "device": CUFF, "values": values, "time": untrusted}
    return reading(number, **(fields | {"visit": visit("M000001")} | changes))


def theirs(about: Reading, code: str = "M000001") -> Answer:
    return said(about, Asked.WHOSE, VISITOR, code)


def not_theirs(about: Reading, code: str = "M000001") -> Answer:
    return said(about, Asked.WHOSE, SOMEBODY_ELSE, code)


def test_a_reading_the_dock_gave_to_its_visitor_is_theirs_and_judged_as_theirs(cloud: Cloud) -> None:
    doubtful = of_old_clock()
    cloud.take(sent(doubtful))
    cloud.read()
    assert cloud.owner(doubtful) is None
    cloud.take(sent(theirs(doubtful)))
    cloud.read()
    assert cloud.owner(doubtful) == WANG
    assert cloud.decided(doubtful) == [("undecided", None), ("dock", WANG)]
    assert set(cloud.rules().values()) == {"ready"}


def test_one_measured_before_the_card_was_scanned_is_the_cardholders_if_staff_say_so(cloud: Cloud) -> None:
    before = of_old_clock(visit=None)
    cloud.take(sent(before, theirs(before)))
    cloud.read()
    assert cloud.owner(before) == WANG


def test_what_the_dock_takes_back_is_nobodys_again(cloud: Cloud) -> None:
    proven, given = pressure(142, 91), of_old_clock()
    cloud.take(sent(proven, given, theirs(given)))
    cloud.read()
    assert cloud.owner(proven) == cloud.owner(given) == WANG
    cloud.take(sent(not_theirs(proven), not_theirs(given)))
    cloud.read()
    assert cloud.owner(proven) is cloud.owner(given) is None
    assert cloud.decided(given)[-1] == ("undo", None)


def test_a_no_of_the_next_customer_takes_nothing_from_the_first(cloud: Cloud) -> None:
    given = of_old_clock()
    cloud.take(sent(given, theirs(given), not_theirs(given, "M000002")))
    cloud.read()
    assert cloud.owner(given) == WANG


@pytest.mark.parametrize("code", ["NOBODYS", "TAIL-1234"])
def test_a_card_of_nobody_is_given_nothing(cloud: Cloud, code: str) -> None:
    doubtful = of_old_clock()
    cloud.take(sent(doubtful, theirs(doubtful, code)))
    cloud.read()
    assert cloud.owner(doubtful) is None
    assert cloud.waiting() == 0


def test_the_dock_gives_nobody_another_members_own_meter(cloud: Cloud) -> None:
    doubtful = of_old_clock()
    with db.begin(cloud.engine) as connection:
        meters.seen(connection, CHAIN, {}, [(CUFF, "store-1")], NOW)
        connection.execute(update(devices).values(owner_member_id=LI))
    mine = pressure(142, 91)
    cloud.take(sent(doubtful, mine, theirs(doubtful), theirs(mine)))
    cloud.read()
    assert cloud.owner(mine) is None
    assert cloud.owner(doubtful) is None


def test_control_solution_is_given_to_nobody(cloud: Cloud) -> None:
    control = of_old_clock(purpose=Purpose.CONTROL)
    cloud.take(sent(control, theirs(control)))
    cloud.read()
    assert cloud.owner(control) is None


def test_staff_who_decided_in_the_crm_are_not_overruled_by_the_dock(cloud: Cloud) -> None:
    doubtful = of_old_clock()
    cloud.take(sent(doubtful, theirs(doubtful)))
    cloud.read()
    with db.begin(cloud.engine) as connection:
        changes.undo(connection, CHAIN, doubtful.id, CLERK, NOW)
    cloud.take(sent(theirs(doubtful)))
    cloud.read()
    assert cloud.owner(doubtful) is None
