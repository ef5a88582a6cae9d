"""What was said at a dock reaches the record: in order or not, once, and the rules judge by it."""

import json
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, select, update

from cloud import db
from cloud.crm.devices import registry as meters
from cloud.crm.devices.tables import devices
from cloud.crm.members.tables import members
from cloud.crm.tasks.tables import task_events, tasks
from cloud.health import IngestMetrics
from cloud.ingest.commands import replay_letter
from cloud.ingest.intake import Delivery, accept
from cloud.ingest.process import assessor
from cloud.ingest.worker import run_one
from cloud.ledger import changes, dead_letters
from cloud.ledger.answers import waiting
from cloud.ledger.tables import answers, meal_corrections, readings
from cloud.ledger.words import Reader
from gateway.clinical import library
from gateway.wire import codec, topics
from gateway.wire.messages import (
    SOMEBODY_ELSE,
    VISITOR,
    Answer,
    Asked,
    Device,
    Outcome,
    Purpose,
    Reading,
    Receipt,
    TakenAt,
    TimeQuality,
)
from gateway.wire.vocabulary import Kind, Meal
from tests.cloud.chains import (
    CHAIN,
    CLERK,
    GATEWAY,
    LI,
    NOW,
    OTHER_CHAIN,
    OTHER_GATEWAY,
    SECOND_GATEWAY,
    WANG,
    reading,
    visit,
)

CUFF = Device(key="BP-1", maker="Omron", model="U16", serial="BP-1")


def pressure(systolic: int, diastolic: int, number: int = 50, **changes: object) -> Reading:
    values = {"systolic_mmhg": Decimal(systolic), "diastolic_mmhg": Decimal(diastolic)}
    return reading(number, kind=Kind.BLOOD_PRESSURE, device=CUFF, values=values, visit=visit("M000001"), **changes)


def said(about: Reading, what: Asked, *values: str, **changes: object) -> Answer:
    fields = {"id": uuid4(), "reading": about.id, "what": what, "values": values, "at": NOW, "slot": "1"}
    return Answer(**(fields | changes))


def sent(*parts: Reading | Answer, gateway: str = GATEWAY) -> Delivery:
    """A batch as the outbox makes it."""
    batch_id = uuid4()
    payload = codec.join_batch(
        id=batch_id,
        gateway=gateway,
        sent=NOW,
        readings=[codec.encode_reading(part) for part in parts if isinstance(part, Reading)],
        answers=[codec.encode_answer(part) for part in parts if isinstance(part, Answer)],
    )
    return Delivery(topic=topics.batch(gateway, batch_id), payload=payload)


class Cloud:
    """The ingest's two halves, run when told."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def take(self, *deliveries: Delivery) -> list[Receipt | None]:
        with db.begin(self.engine) as connection:
            return accept(connection, deliveries, NOW)

    def read(self) -> None:
        """Whatever `assess` has to do."""
        judge = assessor(library(), production=False)
        while run_one(self.engine, Reader.ASSESS, judge, NOW, IngestMetrics()):
            pass

    def meal(self, about: Reading) -> str:
        with self.engine.connect() as connection:
            return connection.execute(select(readings.c.meal).where(readings.c.id == about.id)).scalar_one()

    def owner(self, about: Reading) -> UUID | None:
        with self.engine.connect() as connection:
            return connection.execute(select(readings.c.member_id).where(readings.c.id == about.id)).scalar_one()

    def decided(self, about: Reading) -> list[tuple[str, UUID | None]]:
        with self.engine.connect() as connection:
            return [(one.how, one.member_id) for one in changes.history(connection, CHAIN, about.id)]

    def rules(self) -> dict[str, str]:
        with self.engine.connect() as connection:
            return dict(connection.execute(select(tasks.c.rule_id, tasks.c.status)).all())

    def waiting(self) -> int:
        with self.engine.connect() as connection:
            return waiting(connection)

    def kept(self) -> dict[UUID, bool]:
        """Answer -> whether it was applied."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(answers.c.id, answers.c.applied_at))
            return {row.id: row.applied_at is not None for row in rows}


@pytest.fixture
def cloud(ledger: Engine) -> Cloud:
    return Cloud(ledger)


def test_a_meal_said_at_the_dock_corrects_the_reading_and_says_who(cloud: Cloud) -> None:
    sugar = reading(visit=visit("M000001"))
    fasting = said(sugar, Asked.MEAL, "fasting", staff="小林")
    (receipt,) = cloud.take(sent(sugar, fasting))
    assert receipt is not None
    assert (receipt.outcome, receipt.stored, receipt.known) == (Outcome.ACCEPTED, 2, 0)
    cloud.read()
    assert cloud.meal(sugar) == "fasting"
    with cloud.engine.connect() as connection:
        (row,) = connection.execute(select(meal_corrections)).all()
        (body,) = connection.execute(select(answers.c.body)).scalars()
    assert (row.was, row.meal, row.by_staff, row.by_answer) == ("unknown", "fasting", None, fasting.id)
    assert body["staff"] == "小林"


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


def test_an_answer_sent_again_changes_nothing(cloud: Cloud) -> None:
    sugar = reading()
    fasting = said(sugar, Asked.MEAL, "fasting")
    cloud.take(sent(sugar, fasting))
    (again,) = cloud.take(sent(sugar, fasting))
    assert again is not None
    assert (again.outcome, again.stored, again.known) == (Outcome.ACCEPTED, 0, 2)
    cloud.read()
    with cloud.engine.connect() as connection:
        assert len(connection.execute(select(meal_corrections)).all()) == 1


def test_the_last_word_of_the_dock_counts(cloud: Cloud) -> None:
    sugar = reading()
    cloud.take(sent(sugar, said(sugar, Asked.MEAL, "fasting"), said(sugar, Asked.MEAL, "post_meal_2h")))
    cloud.read()
    assert cloud.meal(sugar) == "post_meal_2h"


def test_staff_who_asked_again_later_know_more_than_a_dock_that_was_offline(cloud: Cloud) -> None:
    sugar = reading()
    cloud.take(sent(sugar))
    with db.begin(cloud.engine) as connection:
        changes.correct_meal(connection, CHAIN, sugar.id, Meal.RANDOM, CLERK, NOW)
    cloud.take(sent(said(sugar, Asked.MEAL, "fasting")))
    cloud.read()
    assert cloud.meal(sugar) == "random"
    assert [*cloud.kept().values()] == [True]


def test_danger_signs_turn_measure_again_into_an_emergency(cloud: Cloud) -> None:
    high = pressure(186, 100)
    cloud.take(sent(high))
    cloud.read()
    assert cloud.rules() == {"BP-004": "ready"}
    cloud.take(sent(said(high, Asked.SYMPTOMS, "severe_headache", "vomiting")))
    cloud.read()
    assert cloud.rules() == {"BP-004": "cancelled", "BP-001": "ready"}
    with cloud.engine.connect() as connection:
        query = select(task_events.c.detail).where(task_events.c.what == "raised").order_by(task_events.c.seq)
        *_, raised = connection.execute(query).scalars()
    assert raised["because"]["symptoms"] == ["severe_headache", "vomiting"]


def test_none_of_these_leaves_the_finding_as_it_was(cloud: Cloud) -> None:
    high = pressure(186, 100)
    cloud.take(sent(high, said(high, Asked.SYMPTOMS)))
    cloud.read()
    assert cloud.rules() == {"BP-004": "ready"}


def test_signs_taken_back_take_the_emergency_back(cloud: Cloud) -> None:
    high = pressure(186, 100)
    cloud.take(sent(high, said(high, Asked.SYMPTOMS, "syncope")))
    cloud.read()
    cloud.take(sent(said(high, Asked.SYMPTOMS)))
    cloud.read()
    assert cloud.rules() == {"BP-001": "cancelled", "BP-004": "ready"}


def on_a_statin(cloud: Cloud, member: UUID = WANG) -> None:
    with db.begin(cloud.engine) as connection:
        query = update(members).where(members.c.chain_id == CHAIN, members.c.id == member)
        connection.execute(query.values(medications=["statin"]))


def test_whoever_looks_like_a_stroke_is_an_emergency_whatever_was_measured(cloud: Cloud) -> None:
    sugar, high = reading(70), pressure(190, 100, 71)
    cloud.take(sent(sugar, said(sugar, Asked.SYMPTOMS, "facial_droop")))
    cloud.take(sent(high, said(high, Asked.SYMPTOMS, "chest_pain_10min")))
    cloud.read()
    # Of a stranger, too: somebody in the store needs help now.
    assert cloud.owner(sugar) is None
    assert cloud.rules() == {"CB-001": "ready", "CB-002": "ready"}


def test_a_statin_and_muscle_pain_are_put_together_where_both_are_known(cloud: Cloud) -> None:
    on_a_statin(cloud)
    panel = {"kind": Kind.LIPID_PANEL, "values": {"total_cholesterol_mmol_l": Decimal("5.1")}}
    his, hers = reading(72, visit=visit("M000001"), **panel), reading(73, visit=visit("M000002"), **panel)
    cloud.take(sent(his, hers, *(said(one, Asked.SYMPTOMS, "muscle_pain") for one in (his, hers))))
    cloud.read()
    assert (cloud.owner(his), cloud.owner(hers)) == (WANG, LI)
    assert cloud.rules() == {"LP-010": "ready"}
    with cloud.engine.connect() as connection:
        assert connection.execute(select(tasks.c.member_id)).scalar_one() == WANG


def test_a_gout_attack_waits_for_its_owner_and_not_for_a_high_value(cloud: Cloud) -> None:
    urate = reading(74, kind=Kind.URIC_ACID, values={"urate_umol_l": Decimal(330)})
    cloud.take(sent(urate, said(urate, Asked.SYMPTOMS, "joint_red_hot_painful")))
    cloud.read()
    assert cloud.rules() == {}
    with db.begin(cloud.engine) as connection:
        changes.claim(connection, CHAIN, [urate.id], WANG, CLERK, NOW)
    cloud.read()
    assert cloud.rules() == {"UA-007": "ready"}


def test_a_card_that_was_read_is_kept_as_evidence(cloud: Cloud) -> None:
    low = reading(values={"glucose_mmol_l": Decimal("2.2")}, visit=visit("M000001"))
    card = said(low, Asked.FIRST_AID, "GL-002")
    cloud.take(sent(low, card))
    cloud.read()
    assert cloud.kept() == {card.id: True}
    assert cloud.rules() == {"GL-002": "ready"}


def test_an_answer_that_comes_before_its_reading_waits_for_it(cloud: Cloud) -> None:
    sugar = reading()
    early = said(sugar, Asked.MEAL, "fasting")
    (receipt,) = cloud.take(sent(early))
    assert receipt is not None
    assert receipt.outcome is Outcome.ACCEPTED
    cloud.read()
    assert cloud.kept() == {early.id: False}
    assert cloud.waiting() == 1
    cloud.take(sent(sugar))
    cloud.read()
    assert cloud.kept() == {early.id: True}
    assert cloud.waiting() == 0
    assert cloud.meal(sugar) == "fasting"


@pytest.mark.parametrize("answer_first", [True, False])
def test_two_ingests_that_do_not_see_each_other_apply_it_all_the_same(cloud: Cloud, answer_first: bool) -> None:
    """The reading in one open transaction, its answer in another: whoever commits last, somebody looks again."""
    sugar = reading()
    fasting = said(sugar, Asked.MEAL, "fasting")
    first, last = (fasting, sugar) if answer_first else (sugar, fasting)
    with db.begin(cloud.engine) as still_open:
        accept(still_open, [sent(last)], NOW)
        cloud.take(sent(first))
        cloud.read()
        assert cloud.kept().get(fasting.id, False) is False
    cloud.read()
    assert cloud.kept() == {fasting.id: True}
    assert cloud.meal(sugar) == "fasting"


def test_a_dock_speaks_only_of_what_was_measured_in_its_own_store(cloud: Cloud) -> None:
    sugar = reading()
    cloud.take(sent(sugar))
    cloud.take(
        sent(said(sugar, Asked.MEAL, "fasting"), gateway=SECOND_GATEWAY),
        sent(said(sugar, Asked.MEAL, "fasting"), gateway=OTHER_GATEWAY),
    )
    cloud.read()
    assert cloud.meal(sugar) == "unknown"
    assert [*cloud.kept().values()] == [False, False]
    with cloud.engine.connect() as connection:
        assert {*connection.execute(select(answers.c.chain_id)).scalars()} == {CHAIN, OTHER_CHAIN}


def test_one_bad_answer_does_not_sink_the_reading_and_can_be_replayed(cloud: Cloud) -> None:
    sugar = reading()
    good = said(sugar, Asked.MEAL, "fasting")
    batch = json.loads(sent(sugar, good, said(sugar, Asked.SYMPTOMS)).payload)
    batch["answers"][1]["what"] = "mood"  # a newer gateway's question
    delivery = Delivery(topic=topics.batch(GATEWAY, UUID(batch["id"])), payload=json.dumps(batch).encode())
    (receipt,) = cloud.take(delivery)
    assert receipt is not None
    assert (receipt.outcome, receipt.stored, receipt.set_aside) == (Outcome.ACCEPTED, 2, 1)
    with cloud.engine.connect() as connection:
        (letter,) = dead_letters.waiting(connection, limit=9)
    assert letter.error == "malformed"
    assert "mood" not in letter.detail
    assert not replay_letter(cloud.engine, letter)  # still unknown, so it still waits
    envelope, none = codec.decode_batch(letter.payload)
    assert (none, len(envelope.answers)) == ([], 1)


def test_an_answer_of_an_unknown_gateway_is_taken_once_it_is_registered(cloud: Cloud) -> None:
    sugar = reading()
    (receipt,) = cloud.take(sent(said(sugar, Asked.MEAL, "fasting"), gateway="gw-new"))
    assert receipt is not None
    assert (receipt.outcome, receipt.reason) == (Outcome.SET_ASIDE, "unknown_gateway")
    assert cloud.kept() == {}


def test_an_answer_that_comes_a_week_late_raises_no_alarm_and_still_corrects(cloud: Cloud) -> None:
    old = reading(at=NOW - timedelta(days=7), values={"glucose_mmol_l": Decimal("17.5")}, visit=visit("M000001"))
    cloud.take(sent(old, said(old, Asked.MEAL, "fasting"), said(old, Asked.SYMPTOMS, "vomiting")))
    cloud.read()
    assert cloud.meal(old) == "fasting"
    assert cloud.rules() == {}
