"""What becomes of messages: the ledger, or a dead letter, and always a receipt."""

from datetime import timedelta
from uuid import UUID, uuid4

import msgspec
import psycopg
from sqlalchemy import Engine, select, text, update

from cloud import db
from cloud.crm.devices.tables import devices
from cloud.crm.fleet.tables import gateways
from cloud.ingest.intake import Delivery, accept
from cloud.ledger import changes, dead_letters, store
from cloud.ledger.tables import readings
from gateway.wire import codec, topics
from gateway.wire.messages import MAX_BATCH_BYTES, Outcome, Purpose, Quality, Receipt, Status
from tests.cloud.chains import (
    CHAIN,
    CODES,
    GATEWAY,
    LI,
    METER,
    NOW,
    OTHER_CHAIN,
    OTHER_GATEWAY,
    SECOND_GATEWAY,
    SECOND_STORE,
    STORE,
    STRANGER,
    WANG,
    batch,
    reading,
    visit,
)


def take(engine: Engine, *deliveries: Delivery) -> list[Receipt | None]:
    with db.begin(engine) as connection:
        return accept(connection, deliveries, NOW)


def letters(engine: Engine) -> list[dead_letters.Kept]:
    with engine.connect() as connection:
        return dead_letters.waiting(connection, limit=100)


def owner_of(engine: Engine, reading_id: UUID, chain: str = CHAIN) -> UUID | None:
    with engine.connect() as connection:
        return store.by_ids(connection, chain, [reading_id])[0].member_id


def test_a_batch_is_stored_and_receipted(ledger: Engine) -> None:
    sent = [reading(n, visit=visit(CODES[WANG])) for n in range(3)]
    (receipt,) = take(ledger, batch(sent))
    assert receipt is not None
    assert (receipt.outcome, receipt.stored, receipt.known, receipt.set_aside) == (Outcome.ACCEPTED, 3, 0, 0)
    with ledger.connect() as connection:
        kept = store.by_ids(connection, CHAIN, [r.id for r in sent])
        assert [row.reading for row in kept] == sorted(sent, key=lambda r: r.id)
        assert {(row.store_id, row.gateway_id, row.taken_at, row.member_id) for row in kept} == {
            (STORE, GATEWAY, NOW, WANG)
        }


def test_what_came_is_kept_as_it_came(ledger: Engine) -> None:
    sent = batch([reading()])
    document = msgspec.json.decode(sent.payload)
    document["readings"][0]["a_field_of_tomorrow"] = {"n": 1}
    take(ledger, Delivery(topic=sent.topic, payload=msgspec.json.encode(document)))
    with ledger.connect() as connection:
        assert connection.execute(select(readings.c.body)).scalar_one() == document["readings"][0]


def test_a_batch_sent_again_changes_nothing(ledger: Engine) -> None:
    sent = batch([reading(n, visit=visit(CODES[WANG])) for n in range(3)])
    take(ledger, sent)
    with db.begin(ledger) as connection:
        changes.undo(connection, CHAIN, reading(0).id, LI, NOW)
    again, twice = take(ledger, sent, sent)
    assert again is not None
    assert twice is not None
    assert (again.stored, again.known, twice.stored, twice.known) == (0, 3, 0, 3)
    assert owner_of(ledger, reading(0).id) is None  # not attributed again
    with ledger.connect() as connection:
        assert store.counts(connection) == {"readings": 3, "dead_letters": 0}
        assert [a.how for a in changes.history(connection, CHAIN, reading(1).id)] == ["visit"]


def test_two_batches_with_the_same_reading_in_one_transaction_store_it_once(ledger: Engine) -> None:
    first, second = take(ledger, batch([reading(1), reading(2)]), batch([reading(2), reading(3)]))
    assert first is not None
    assert second is not None
    assert (first.stored, first.known, second.stored, second.known) == (2, 0, 1, 1)


def test_a_card_is_a_member_of_the_gateways_own_chain_only(ledger: Engine) -> None:
    take(ledger, batch([reading(1, visit=visit(CODES[STRANGER]))], gateway=OTHER_GATEWAY))
    assert owner_of(ledger, reading(1).id, OTHER_CHAIN) == STRANGER
    take(ledger, batch([reading(2, visit=visit(CODES[WANG]))]))
    assert owner_of(ledger, reading(2).id) == WANG


def test_a_members_own_meter_brings_its_readings_home(ledger: Engine) -> None:
    take(ledger, batch([reading(1)]))
    assert owner_of(ledger, reading(1).id) is None
    with db.begin(ledger) as connection:
        connection.execute(update(devices).values(owner_member_id=LI))
    take(ledger, batch([reading(2)]))
    assert owner_of(ledger, reading(2).id) == LI


def test_why_a_reading_with_a_card_is_nobodys_is_written_down(ledger: Engine) -> None:
    take(ledger, batch([reading(1, visit=visit("M999999"))]))
    with ledger.connect() as connection:
        (decision,) = changes.history(connection, CHAIN, reading(1).id)
    assert (decision.member_id, decision.how, decision.why) == (None, "undecided", "unknown_code")


def test_control_and_rejected_readings_are_kept_and_nobodys(ledger: Engine) -> None:
    card = visit(CODES[WANG])
    take(
        ledger,
        batch([reading(1, purpose=Purpose.CONTROL, visit=card), reading(2, quality=Quality.REJECTED, visit=card)]),
    )
    assert owner_of(ledger, reading(1).id) is None
    assert owner_of(ledger, reading(2).id) is None


def test_one_bad_reading_does_not_sink_the_others(ledger: Engine) -> None:
    sent = batch([reading(n) for n in range(3)])
    broken = sent.payload.replace(b'"glucose_mmol_l":"6.1"', b'"glucose_mmol_l":"much, says Mr Wang"', 1)
    (receipt,) = take(ledger, Delivery(topic=sent.topic, payload=broken))
    assert receipt is not None
    assert (receipt.outcome, receipt.stored, receipt.set_aside) == (Outcome.ACCEPTED, 2, 1)
    (letter,) = letters(ledger)
    assert letter.error == receipt.reason == "malformed"
    assert "Wang" not in letter.detail
    assert b"Wang" in letter.payload  # whole, for a person to look at
    take(ledger, Delivery(topic=sent.topic, payload=broken))
    assert len(letters(ledger)) == 1  # a resend is one letter


def test_a_batch_nobody_can_decode_is_receipted_and_listed(ledger: Engine) -> None:
    topic = topics.batch(GATEWAY, uuid4())
    for payload, error in [
        (b"\x00\xff", "not_json"),
        (b'{"v":99}', "unknown_version"),
        (b" " * (MAX_BATCH_BYTES + 1), "oversized"),
    ]:
        (receipt,) = take(ledger, Delivery(topic=topic, payload=payload))
        assert receipt is not None
        assert (receipt.outcome, receipt.reason) == (Outcome.SET_ASIDE, error)
    assert [letter.error for letter in letters(ledger)] == ["not_json", "unknown_version", "oversized"]


def test_a_gateway_nobody_registered_is_receipted_and_taken_once_it_is_registered(ledger: Engine) -> None:
    sent = batch([reading(1)], gateway="gw-new")
    (receipt,) = take(ledger, sent)
    assert receipt is not None
    assert (receipt.outcome, receipt.reason) == (Outcome.SET_ASIDE, "unknown_gateway")
    with db.begin(ledger) as connection:
        connection.execute(gateways.insert().values(id="gw-new", chain_id=CHAIN, store_id=STORE))
    (receipt,) = take(ledger, sent)
    assert receipt is not None
    assert receipt.stored == 1


def test_a_batch_under_another_gateways_name_is_set_aside(ledger: Engine) -> None:
    sent = batch([reading(1)], gateway=GATEWAY)
    (receipt,) = take(ledger, Delivery(topic=sent.topic.replace(GATEWAY, SECOND_GATEWAY), payload=sent.payload))
    assert receipt is not None
    assert (receipt.outcome, receipt.reason) == (Outcome.SET_ASIDE, "misaddressed")


def test_new_readings_leave_work_for_both_readers(ledger: Engine) -> None:
    sent = batch([reading(1)])
    take(ledger, sent)
    take(ledger, sent)
    with ledger.connect() as connection:
        rows = connection.execute(text("SELECT reader, chain_id, reading_ids FROM work ORDER BY id")).all()
    assert rows == [("assess", CHAIN, [reading(1).id]), ("project", CHAIN, [reading(1).id])]


def test_a_meter_is_remembered_where_it_was_last_seen(ledger: Engine) -> None:
    take(ledger, batch([reading(1)]))
    take(ledger, batch([reading(2)], gateway=SECOND_GATEWAY))
    with ledger.connect() as connection:
        (meter,) = connection.execute(select(devices)).all()
    assert (meter.key, meter.maker, meter.store_id) == (METER.key, METER.maker, SECOND_STORE)


def test_a_gateways_status_is_kept(ledger: Engine) -> None:
    status = Status(gateway=GATEWAY, online=True, at=NOW, unsent=4)
    assert take(ledger, Delivery(topic=topics.status(GATEWAY), payload=codec.encode(status))) == [None]
    will = Status(gateway=GATEWAY, online=False)
    with ledger.connect() as connection:
        row = connection.execute(select(gateways).where(gateways.c.id == GATEWAY)).one()
        assert (row.online, row.last_heard_at, row.status["unsent"]) == (True, NOW, 4)
    with db.begin(ledger) as connection:
        accept(
            connection,
            [Delivery(topic=topics.status(GATEWAY), payload=codec.encode(will))],
            NOW + timedelta(hours=1),
        )
        row = connection.execute(select(gateways).where(gateways.c.id == GATEWAY)).one()
        assert (row.online, row.last_heard_at) == (False, NOW)


def test_of_two_statuses_the_later_one_stays_whichever_is_committed_last(ledger: Engine) -> None:
    """Writers overlap; and neither a gateway's own clock nor a will, which has no time, may decide."""

    def say(status: Status, minute: int) -> None:
        arrived = NOW + timedelta(minutes=minute)
        take(ledger, Delivery(topic=topics.status(GATEWAY), payload=codec.encode(status), arrived=arrived))

    def known() -> tuple[bool, int]:
        with ledger.connect() as connection:
            row = connection.execute(select(gateways).where(gateways.c.id == GATEWAY)).one()
        return row.online, row.status.get("unsent", 0)

    will = Status(gateway=GATEWAY, online=False)
    say(will, 5)
    say(Status(gateway=GATEWAY, online=True, at=NOW + timedelta(days=1), unsent=4), 4)
    assert known() == (False, 0)
    say(Status(gateway=GATEWAY, online=True, at=NOW - timedelta(days=99), unsent=6), 6)
    assert known() == (True, 6)
    say(will, 5)
    assert known() == (True, 6)
    say(will, 7)
    assert known() == (False, 0)


def test_a_reading_measured_elsewhere_is_told_to_the_store_that_cares_for_its_owner(
    ledger: Engine, database: str
) -> None:
    with psycopg.connect(database, autocommit=True) as ear:
        ear.execute("LISTEN kangdock")
        take(ledger, batch([reading(1, visit=visit(CODES[WANG]))], gateway=SECOND_GATEWAY))
        (news,) = [msgspec.json.decode(one.payload) for one in ear.notifies(timeout=20, stop_after=1)]
    assert news == {"chain": CHAIN, "stores": [STORE, SECOND_STORE], "what": "reading"}


def test_an_unregistered_gateways_statuses_are_one_letter(ledger: Engine) -> None:
    for unsent in range(3):
        status = Status(gateway="gw-new", online=True, unsent=unsent)
        take(ledger, Delivery(topic=topics.status("gw-new"), payload=codec.encode(status)))
    assert [letter.error for letter in letters(ledger)] == ["unknown_gateway"]
