"""The ledger as staff and readers use it: claim, undo, refuse, read back."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Engine, text

from cloud import db
from cloud.ledger import changes, store
from cloud.ledger.changes import Refused
from cloud.ledger.store import NewReading
from cloud.ledger.words import ADVICE, How, Refusal
from gateway.wire import codec
from gateway.wire.messages import Device, Purpose, Quality, Reading
from gateway.wire.vocabulary import Kind
from tests.cloud.chains import (
    CHAIN,
    CLERK,
    GATEWAY,
    LI,
    NOW,
    OTHER_CHAIN,
    SECOND_STORE,
    STORE,
    STRANGER,
    WANG,
    reading,
    visit,
)


def keep(engine: Engine, *kept: Reading, store_id: str = STORE, **more: object) -> set[UUID]:
    rows = [
        NewReading(store_id=store_id, gateway_id=GATEWAY, reading=r, body=codec.encode(r), **more)  # type: ignore[arg-type]
        for r in kept
    ]
    with db.begin(engine) as connection:
        return {rows[place].reading.id for place in store.insert_once(connection, CHAIN, rows).values()}


def claim(engine: Engine, member: UUID, *numbers: int, chain: str = CHAIN) -> None:
    with db.begin(engine) as connection:
        changes.claim(connection, chain, [reading(n).id for n in numbers], member, CLERK, NOW)


def owners(engine: Engine) -> dict[UUID, UUID | None]:
    with engine.connect() as connection:
        return dict(connection.execute(text("SELECT id, member_id FROM readings")).all())


def test_inserting_again_stores_nothing_and_reports_nothing_new(ledger: Engine) -> None:
    assert keep(ledger, reading(1), reading(2), reading(1)) == {reading(1).id, reading(2).id}
    assert keep(ledger, reading(2), reading(3)) == {reading(3).id}
    with ledger.connect() as connection:
        assert store.counts(connection) == {"readings": 3, "dead_letters": 0}


@pytest.mark.parametrize("odd", ["\\N", "a\tb", "a\nb", "a\\", "\\.", "a\r\nb", '"quoted"', "三诺"])
def test_a_meter_may_call_itself_anything(ledger: Engine, odd: str) -> None:
    """The ledger writes COPY's text format itself; what has a meaning there must come out as it went in."""
    odd_one = reading(1, device=Device(key=odd, model=odd), visit=visit(odd))
    keep(ledger, odd_one, reading(2))
    with ledger.connect() as connection:
        (found,) = store.by_ids(connection, CHAIN, [odd_one.id])
    assert (found.device_key, found.visit_code, found.reading) == (odd, odd, odd_one)


def test_two_ingests_with_the_same_rows_store_each_once(ledger: Engine) -> None:
    rows = [reading(number) for number in range(200)]
    with ThreadPoolExecutor(4) as ingests:
        stored = list(ingests.map(lambda part: keep(ledger, *part), (rows, rows[::-1], rows[50:], rows[:150])))
    assert sum(map(len, stored)) == len(set().union(*stored)) == len(rows)


def test_two_chains_may_store_in_one_transaction(ledger: Engine) -> None:
    row = NewReading(store_id=STORE, gateway_id=GATEWAY, reading=reading(1), body=codec.encode(reading(1)))
    with db.begin(ledger) as connection:
        assert store.insert_once(connection, CHAIN, [row, row]) == {row.reading.id.hex: 0}
        assert store.insert_once(connection, OTHER_CHAIN, [row]) == {row.reading.id.hex: 0}
        assert store.insert_once(connection, CHAIN, [row]) == {}
        assert store.insert_once(connection, CHAIN, []) == {}


def test_a_claim_is_kept_with_who_and_why_and_wakes_every_reader(ledger: Engine, database: str) -> None:
    keep(ledger, reading(1))
    with psycopg.connect(database, autocommit=True) as ear:
        ear.execute(f"LISTEN {store.WORK_CHANNEL}")
        ear.execute("LISTEN kangdock")
        claim(ledger, WANG, 1)
        heard = [(n.channel, n.payload) for n in ear.notifies(timeout=5, stop_after=3)]
    assert [payload for channel, payload in heard if channel == store.WORK_CHANNEL] == ["assess", "project"]
    assert any(channel == "kangdock" and '"claim"' in payload for channel, payload in heard)
    with ledger.connect() as connection:
        (decision,) = changes.history(connection, CHAIN, reading(1).id)
        assert (decision.member_id, decision.how, decision.by_staff, decision.at) == (WANG, "claim", CLERK, NOW)
        work = connection.execute(text("SELECT reader, reading_ids FROM work ORDER BY id")).all()
    assert work == [("assess", [reading(1).id]), ("project", [reading(1).id])]
    assert owners(ledger) == {reading(1).id: WANG}


def test_a_double_click_claims_once(ledger: Engine) -> None:
    keep(ledger, reading(1))
    claim(ledger, WANG, 1)
    claim(ledger, WANG, 1)
    with ledger.connect() as connection:
        assert len(changes.history(connection, CHAIN, reading(1).id)) == 1


def test_what_the_ingest_decided_stays_the_first_word_of_the_history(ledger: Engine) -> None:
    keep(ledger, reading(1), member_id=WANG, how=How.VISIT, why="inside_visit")
    with ledger.connect() as connection:
        (before,) = changes.history(connection, CHAIN, reading(1).id)
    with db.begin(ledger) as connection:
        changes.undo(connection, CHAIN, reading(1).id, CLERK, NOW)
    claim(ledger, LI, 1)
    with ledger.connect() as connection:
        first, undone, claimed = changes.history(connection, CHAIN, reading(1).id)
    assert first == before
    assert (first.member_id, first.how, first.why, first.by_staff) == (WANG, "visit", "inside_visit", None)
    assert [(d.member_id, d.how) for d in (undone, claimed)] == [(None, "undo"), (LI, "claim")]


def test_an_undone_claim_leaves_both_decisions_and_can_be_claimed_again(ledger: Engine) -> None:
    keep(ledger, reading(1))
    claim(ledger, WANG, 1)
    with db.begin(ledger) as connection:
        changes.undo(connection, CHAIN, reading(1).id, CLERK, NOW)
    assert owners(ledger) == {reading(1).id: None}
    claim(ledger, LI, 1)
    with ledger.connect() as connection:
        assert [d.how for d in changes.history(connection, CHAIN, reading(1).id)] == ["claim", "undo", "claim"]
    assert owners(ledger) == {reading(1).id: LI}


@pytest.mark.parametrize(
    ("kept", "member", "chain", "reason"),
    [
        (reading(1, purpose=Purpose.CONTROL), WANG, CHAIN, Refusal.NOT_A_PATIENT_READING),
        (reading(1, quality=Quality.REJECTED), WANG, CHAIN, Refusal.REJECTED),
        (reading(1), STRANGER, CHAIN, Refusal.UNKNOWN_MEMBER),
        (reading(1), STRANGER, OTHER_CHAIN, Refusal.UNKNOWN_READING),
        (reading(7), WANG, CHAIN, Refusal.UNKNOWN_READING),
    ],
)
def test_what_cannot_be_claimed_is_refused_with_advice(
    ledger: Engine, kept: Reading, member: UUID, chain: str, reason: Refusal
) -> None:
    keep(ledger, kept, reading(2))
    with pytest.raises(Refused) as refused:
        claim(ledger, member, 2, 1, chain=chain)
    assert refused.value.reason is reason
    assert str(refused.value) == ADVICE[reason]
    assert set(owners(ledger).values()) == {None}  # all or none


def test_anothers_reading_cannot_be_claimed_nor_nobodys_undone(ledger: Engine) -> None:
    keep(ledger, reading(1), reading(2))
    claim(ledger, WANG, 1)
    with pytest.raises(Refused) as taken:
        claim(ledger, LI, 1)
    assert taken.value.reason is Refusal.ALREADY_CLAIMED
    with pytest.raises(Refused) as free, db.begin(ledger) as connection:
        changes.undo(connection, CHAIN, reading(2).id, CLERK, NOW)
    assert free.value.reason is Refusal.NOT_CLAIMED


def test_unclaimed_shows_these_stores_patients_newest_first(ledger: Engine) -> None:
    keep(ledger, *[reading(n, at=NOW + timedelta(minutes=n)) for n in range(4)])
    keep(ledger, reading(4), store_id=SECOND_STORE)
    keep(ledger, reading(5, purpose=Purpose.CONTROL), reading(6, quality=Quality.REJECTED))
    claim(ledger, WANG, 2)
    with ledger.connect() as connection:
        shown = store.unclaimed(connection, CHAIN, [STORE], 2)
        assert [row.id for row in shown] == [reading(3).id, reading(1).id]
        assert shown[0].reading == reading(3, at=NOW + timedelta(minutes=3))
        assert store.unclaimed(connection, OTHER_CHAIN, [STORE], 10) == []


def test_a_members_readings_by_kind_and_time(ledger: Engine) -> None:
    pressure = reading(9, kind=Kind.BLOOD_PRESSURE, values={"systolic_mmhg": 121, "diastolic_mmhg": 80})
    keep(
        ledger,
        *[reading(n, at=NOW - timedelta(days=n)) for n in range(4)],
        pressure,
        member_id=WANG,
        how=How.VISIT,
        why="inside_visit",
    )
    with ledger.connect() as connection:
        found = store.of_member(
            connection, CHAIN, WANG, kinds=[Kind.GLUCOSE], since=NOW - timedelta(days=2), until=NOW, limit=10
        )
        assert [row.id for row in found] == [reading(1).id, reading(2).id]
        assert len(store.of_member(connection, CHAIN, WANG, limit=3)) == 3
        assert store.of_member(connection, OTHER_CHAIN, WANG, limit=3) == []
