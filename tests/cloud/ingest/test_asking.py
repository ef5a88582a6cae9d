"""A customer without a card: the dock asks by the end of a phone number, and learns no more than it must."""

import os
import queue
import threading
from collections.abc import Iterator
from datetime import date, timedelta
from uuid import UUID, uuid4

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import Engine, insert, select, update

from cloud import db
from cloud.crm.members.lookup import OFTEN, SHOWN_AT_MOST
from cloud.crm.members.tables import dock_candidates, dock_lookups, members
from cloud.crm.stores.tables import org_units
from cloud.demo.servers import Broker
from cloud.ingest.asking import Asking, answer, read
from cloud.ingest.intake import accept
from cloud.ledger.tables import readings
from gateway.lookup import tail_only
from gateway.wire import codec, topics
from gateway.wire.messages import Ask, Found, Told
from tests.cloud.chains import (
    CHAIN,
    GATEWAY,
    LI,
    NOW,
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

PATIENCE_S = 20.0
TAIL = "5678"


@pytest.fixture
def shop(ledger: Engine) -> Engine:
    """王建国 and a stranger of another chain have the same four last digits; 李 has none on record."""
    with db.begin(ledger) as connection:
        for member, name, phone in ((WANG, "王建国", "13812345678"), (STRANGER, "外人", "13912345678")):
            connection.execute(
                update(members)
                .where(members.c.id == member)
                .values(name=name, phone=phone, sex="male", birth_date=date(1956, 3, 1))
            )
    return ledger


def more_people(engine: Engine, count: int, store: str = STORE, first: int = 100) -> None:
    with db.begin(engine) as connection:
        for number in range(first, first + count):
            row = {"chain_id": CHAIN, "id": UUID(int=number), "code": f"M{number:06}", "name": "某人"}
            connection.execute(insert(members).values(row | {"store_id": store, "phone": f"137{number:04}{TAIL}"}))


def ask(engine: Engine, tail: str = TAIL, *, gateway: str = GATEWAY, later_s: float = 0) -> Told:
    question = Ask(id=uuid4(), gateway=gateway, tail=tail, slot="1", staff="小林")
    told = answer(engine, question, NOW + timedelta(seconds=later_s), chance=os.urandom)
    assert told is not None
    return told


def test_staff_see_enough_to_ask_and_no_more(shop: Engine) -> None:
    told = ask(shop)
    (candidate,) = told.candidates
    assert told.found is Found.SOME
    assert (candidate.name, candidate.sex, candidate.born) == ("王**", "male", 1950)
    assert candidate.code.startswith("Q-")
    assert candidate.code.endswith(f"-{TAIL}")
    sent = codec.encode(told).decode()
    for secret in ("建国", "13812345678", "M000001", str(WANG), "1956"):
        assert secret not in sent


def test_a_visit_opened_with_a_candidates_code_is_theirs(shop: Engine) -> None:
    (candidate,) = ask(shop).candidates
    measured = reading(visit=visit(candidate.code))
    with db.begin(shop) as connection:
        accept(connection, [batch([measured])], NOW)
        owner = connection.execute(select(readings.c.member_id).where(readings.c.id == measured.id)).scalar_one()
    assert owner == WANG


def test_a_tail_alone_links_nobody_even_where_a_card_says_the_same(shop: Engine) -> None:
    code = tail_only(TAIL)
    with db.begin(shop) as connection:
        connection.execute(update(members).where(members.c.id == LI).values(code=code))
        measured = reading(visit=visit(code))
        accept(connection, [batch([measured])], NOW)
        row = connection.execute(select(readings).where(readings.c.id == measured.id)).one()
    assert (row.member_id, row.first_why, row.visit_code) == (None, "unknown_code", code)


def test_a_candidates_code_is_worth_nothing_in_another_chain(shop: Engine) -> None:
    (candidate,) = ask(shop).candidates
    measured = reading(visit=visit(candidate.code))
    with db.begin(shop) as connection:
        accept(connection, [batch([measured], gateway=OTHER_GATEWAY)], NOW)
        assert connection.execute(select(readings.c.member_id)).scalar_one() is None


def test_nobody_of_another_chain_or_another_area_is_shown(shop: Engine) -> None:
    assert ask(shop, gateway=SECOND_GATEWAY).found is Found.NOBODY  # another store of the chain
    with db.begin(shop) as connection:
        area = {"chain_id": CHAIN, "id": "north", "kind": "area", "path": "/kang/north/", "name": "north"}
        connection.execute(insert(org_units).values(area))
        for store in (STORE, SECOND_STORE):
            connection.execute(
                update(org_units).where(org_units.c.id == store).values(path=f"/kang/north/{store}/")
            )
    assert [c.name for c in ask(shop, gateway=SECOND_GATEWAY).candidates] == ["王**"]
    assert [c.name for c in ask(shop, gateway=OTHER_GATEWAY).candidates] == ["外*"]


def test_too_many_are_not_shown_at_all(shop: Engine) -> None:
    more_people(shop, SHOWN_AT_MOST - 1)
    assert len(ask(shop).candidates) == SHOWN_AT_MOST
    more_people(shop, 1, first=200)
    told = ask(shop)
    assert (told.found, told.candidates) == (Found.TOO_MANY, ())


def test_no_such_number_is_nobody(shop: Engine) -> None:
    told = ask(shop, "0000")
    assert (told.found, told.candidates) == (Found.NOBODY, ())


def test_every_look_up_and_everybody_shown_is_recorded(shop: Engine) -> None:
    told = ask(shop)
    ask(shop, "0000")
    with shop.connect() as connection:
        rows = connection.execute(select(dock_lookups).order_by(dock_lookups.c.found.desc())).all()
        shown = connection.execute(select(dock_candidates)).all()
    assert [(row.found, row.gateway_id, row.store_id, row.slot, row.staff) for row in rows] == [
        ("some", GATEWAY, STORE, "1", "小林"),
        ("nobody", GATEWAY, STORE, "1", "小林"),
    ]
    assert [(row.lookup_id, row.member_id, row.code) for row in shown] == [
        (told.ask, WANG, told.candidates[0].code)
    ]
    assert not any(TAIL in str(value) for row in rows for value in row)


def test_a_dock_that_goes_through_all_numbers_is_stopped(shop: Engine) -> None:
    (minute, times), (day, a_day) = OFTEN
    for number in range(times):
        assert ask(shop, f"{number:04}").found is Found.NOBODY
    assert ask(shop).found is Found.TOO_OFTEN
    assert ask(shop, gateway=SECOND_GATEWAY).found is Found.NOBODY  # others are not punished
    assert ask(shop, later_s=minute.total_seconds() + 1).found is Found.SOME
    assert times * day / minute > a_day


def test_a_question_that_comes_twice_is_answered_once(shop: Engine) -> None:
    question = Ask(id=uuid4(), gateway=GATEWAY, tail=TAIL)
    assert answer(shop, question, NOW, chance=bytes) is not None
    assert answer(shop, question, NOW, chance=bytes) is None


def test_a_gateway_nobody_registered_learns_nothing(shop: Engine) -> None:
    assert answer(shop, Ask(id=uuid4(), gateway="gw-new", tail=TAIL), NOW, chance=bytes) is None


@pytest.mark.parametrize("tail", ["", "567", "56789", "567%", "５６７８", "' OR"])
def test_what_is_no_tail_is_no_question(tail: str) -> None:
    question = Ask(id=uuid4(), gateway=GATEWAY, tail=tail)
    assert read(topics.ask(GATEWAY, question.id), codec.encode(question)) is None


def test_a_question_in_another_gateways_name_is_none() -> None:
    question = Ask(id=uuid4(), gateway=GATEWAY, tail=TAIL)
    assert read(topics.ask(GATEWAY, question.id), codec.encode(question)) == question
    assert read(topics.ask(SECOND_GATEWAY, question.id), codec.encode(question)) is None
    assert read(topics.ask(GATEWAY, uuid4()), codec.encode(question)) is None


@pytest.fixture
def asking(shop: Engine, mqtt_settings) -> Iterator[Asking]:
    made = Asking(shop, mqtt_settings(), clock=lambda: NOW)
    made.start()
    assert made.subscribed.wait(PATIENCE_S)
    yield made
    made.stop()


def test_over_the_broker_the_answer_goes_to_whoever_asked(asking: Asking, broker: Broker) -> None:
    heard: queue.Queue[tuple[str, Told]] = queue.Queue()
    ready = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_connect = lambda c, *_: c.subscribe("kangdock/1/+/told/+", qos=1)
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda _c, _u, m: heard.put((m.topic, codec.decode_told(m.payload)))
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    try:
        assert ready.wait(PATIENCE_S)
        question = Ask(id=uuid4(), gateway=GATEWAY, tail=TAIL)
        client.publish(topics.ask(GATEWAY, question.id), b"{}", qos=1)  # nonsense stops nobody
        client.publish(topics.ask(GATEWAY, question.id), codec.encode(question), qos=1)
        topic, told = heard.get(timeout=PATIENCE_S)
        assert topic == topics.told(GATEWAY, question.id)
        assert (told.ask, told.found) == (question.id, Found.SOME)
    finally:
        client.disconnect()
        client.loop_stop()
