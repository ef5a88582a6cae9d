"""A customer without a card: the dock asks the cloud by a phone tail, and says at once when it cannot."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import Engine, update

from cloud import db
from cloud.config import Mqtt
from cloud.crm.members.tables import members
from cloud.demo.servers import Broker
from cloud.ingest.asking import Asking
from gateway.config import MqttSettings
from gateway.lookup import WAITING_AT_MOST, Away, BadTail, LookUps, tail_only
from gateway.uplink import LinkState
from gateway.visits import normalise_code, tail
from gateway.wire import codec, topics
from gateway.wire.messages import Ask, Candidate, Found, Told
from tests.cloud import chains
from tests.gateway.shop import PATIENCE_S, Store, store

WANG = Candidate(code="Q-AAAAAAAAAAAAA-5678", name="王**", sex="male", born=1950)


def test_a_code_for_a_visit_can_be_made_of_what_is_known() -> None:
    for code in (WANG.code, tail_only("5678")):
        assert normalise_code(code) == code
        assert tail(code) == "5678"  # what the screen shows, and the customer knows


@pytest.mark.parametrize("typed", ["", "567", "56789", "５６７８", "5a78"])
def test_what_is_no_tail_is_not_asked(typed: str) -> None:
    async def main() -> None:
        look_ups = LookUps("gw-1")
        look_ups.link(up=True)
        with pytest.raises(BadTail):
            await look_ups.find(typed, slot="one")

    asyncio.run(main())


def test_with_the_cloud_away_the_dock_says_so_at_once() -> None:
    async def main() -> None:
        with pytest.raises(Away):
            await LookUps("gw-1", within_s=PATIENCE_S).find("5678", slot="one")

    asyncio.run(main())


def test_a_cloud_that_does_not_answer_in_time_is_away() -> None:
    async def main() -> None:
        look_ups = LookUps("gw-1", within_s=0.01)
        look_ups.link(up=True)
        with pytest.raises(Away):
            await look_ups.find("5678", slot="one")
        # What nobody waits for any more is not asked either, and an answer to it is nothing.
        asking = asyncio.ensure_future(look_ups.next())
        await asyncio.sleep(0)
        assert not asking.done()
        asking.cancel()
        look_ups.heard(Told(ask=uuid4(), found=Found.NOBODY))

    asyncio.run(main())


def test_a_line_that_breaks_is_told_to_whoever_waits() -> None:
    async def main() -> None:
        look_ups = LookUps("gw-1", within_s=PATIENCE_S)
        look_ups.link(up=True)
        finding = asyncio.ensure_future(look_ups.find("5678", slot="one"))
        await look_ups.next()
        look_ups.link(up=False)
        with pytest.raises(Away):
            await finding

    asyncio.run(main())


def test_two_slots_asking_at_once_each_get_their_own_answer() -> None:
    async def main() -> None:
        look_ups = LookUps("gw-1", within_s=PATIENCE_S)
        look_ups.link(up=True)
        one = asyncio.ensure_future(look_ups.find("5678", slot="one", staff="小林"))
        two = asyncio.ensure_future(look_ups.find("0000", slot="two"))
        asked = [await look_ups.next(), await look_ups.next()]
        assert [(ask.tail, ask.slot, ask.staff) for ask in asked] == [("5678", "one", "小林"), ("0000", "two", "")]
        look_ups.heard(Told(ask=asked[1].id, found=Found.NOBODY))
        look_ups.heard(Told(ask=asked[0].id, found=Found.SOME, candidates=(WANG,)))
        look_ups.heard(Told(ask=asked[0].id, found=Found.NOBODY))  # twice over MQTT
        assert await one == (Found.SOME, (WANG,))
        assert await two == (Found.NOBODY, ())

    asyncio.run(main())


def test_a_storm_of_questions_is_refused_and_not_kept() -> None:
    async def main() -> None:
        look_ups = LookUps("gw-1", within_s=PATIENCE_S)
        look_ups.link(up=True)
        waiting = [
            asyncio.ensure_future(look_ups.find(f"{number:04}", slot="one")) for number in range(WAITING_AT_MOST)
        ]
        await asyncio.sleep(0)
        with pytest.raises(Away):
            await look_ups.find("5678", slot="one")
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(main())


# --- over the broker -------------------------------------------------------------------------------------------


class Teller:
    """A cloud that answers every question as told, or with bytes that are no answer."""

    def __init__(self, port: int) -> None:
        self.asked: list[Ask] = []
        ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe(topics.ASKS, qos=1)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert ready.wait(PATIENCE_S)

    def _on_message(self, client: paho.Client, _: object, message: paho.MQTTMessage) -> None:
        ask = codec.decode_ask(message.payload)
        assert topics.read_ask(message.topic) == (ask.gateway, ask.id)
        self.asked.append(ask)
        topic = topics.told(ask.gateway, ask.id)
        client.publish(topic, b"{}", qos=1)
        client.publish(topic, codec.encode(Told(ask=UUID(int=1), found=Found.NOBODY)), qos=1)
        client.publish(topic, codec.encode(Told(ask=ask.id, found=Found.SOME, candidates=(WANG,))), qos=1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def teller(broker: Broker) -> Iterator[Teller]:
    made = Teller(broker.port)
    yield made
    made.close()


async def linked(shop: Store) -> None:
    await shop.until(lambda: LinkState.UP in shop.links)


def test_the_uplink_carries_the_question_and_brings_the_answer(
    tmp_path: Path, broker: Broker, teller: Teller
) -> None:
    async def main() -> None:
        async with store(tmp_path, MqttSettings(port=broker.port)) as shop:
            await linked(shop)
            assert await shop.look_ups.find("5678", slot="one") == (Found.SOME, (WANG,))
            assert [(ask.gateway, ask.tail) for ask in teller.asked] == [(shop.outbox.gateway, "5678")]
        with pytest.raises(Away):  # the line is gone, and known to be
            await shop.look_ups.find("5678", slot="one")

    asyncio.run(main())


def test_the_real_cloud_answers_the_real_dock(tmp_path: Path, broker: Broker, engine: Engine) -> None:
    chains.found(engine)
    with db.begin(engine) as connection:
        connection.execute(
            update(members).where(members.c.id == chains.WANG).values(name="王建国", phone="13812345678")
        )
    mqtt = Mqtt(
        host="127.0.0.1", port=broker.port, client_id="look", username="", password="", tls=False, tls_ca=""
    )
    asking = Asking(engine, mqtt)
    asking.start()
    assert asking.subscribed.wait(PATIENCE_S)

    async def main() -> None:
        async with store(tmp_path, MqttSettings(port=broker.port), gateway=chains.GATEWAY) as shop:
            await linked(shop)
            found, (candidate,) = await shop.look_ups.find("5678", slot="one")
            assert (found, candidate.name) == (Found.SOME, "王**")
            assert normalise_code(candidate.code) == candidate.code
            assert await shop.look_ups.find("0000", slot="one") == (Found.NOBODY, ())

    try:
        asyncio.run(main())
    finally:
        asking.stop()
