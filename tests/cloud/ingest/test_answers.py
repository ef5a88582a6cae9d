"""What was said at a dock reaches the record: in order or not, once, and the rules judge by it."""

import json
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import select, update

from cloud import db
from cloud.crm.members.tables import members
from cloud.crm.tasks.tables import task_events, tasks
from cloud.ingest.commands import replay_letter
from cloud.ingest.intake import Delivery, accept
from cloud.ledger import changes, dead_letters
from cloud.ledger.tables import answers, meal_corrections
from gateway.wire import codec, topics
from gateway.wire.messages import (
    Asked,
    Outcome,
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
from tests.cloud.ingest.docks import Cloud, pressure, said, sent


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
