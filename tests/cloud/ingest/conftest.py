"""A founded chain in a database of its own, and a gateway's side of the conversation."""

import threading
from collections.abc import Callable, Iterator
from uuid import UUID

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import Engine

from cloud.config import Mqtt
from cloud.demo.servers import Broker
from cloud.ingest.intake import Delivery
from gateway.wire import codec, topics
from gateway.wire.messages import Receipt
from tests.cloud import chains
from tests.cloud.ingest.docks import Cloud
from tests.cloud.ingest.pharmacy import Pharmacy

PATIENCE_S = 60.0


@pytest.fixture
def ledger(engine: Engine) -> Engine:
    """An engine on a database with two chains, three gateways and three members."""
    chains.found(engine)
    return engine


@pytest.fixture
def cloud(ledger: Engine) -> Cloud:
    """The ingest on that chain, which takes and judges when told."""
    return Cloud(ledger)


@pytest.fixture
def pharmacy(engine: Engine) -> Pharmacy:
    """Two stores without anybody in them yet."""
    return Pharmacy(engine)


class Uplink:
    """Publishes batches as a gateway does, and sends again what has no receipt yet."""

    def __init__(self, broker: Broker) -> None:
        self.receipts: dict[UUID, Receipt] = {}
        self._sent: dict[UUID, Delivery] = {}
        self._changed = threading.Condition()
        ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe("kangdock/1/+/receipt/+", qos=1)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert ready.wait(PATIENCE_S)

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        receipt = codec.decode_receipt(message.payload)
        with self._changed:
            if receipt.batch in self._sent:
                self.receipts[receipt.batch] = receipt
                self._changed.notify_all()

    def send(self, *deliveries: Delivery) -> None:
        """Publishes; returns when the broker has them."""
        for delivery in deliveries:
            if address := topics.read_batch(delivery.topic):
                self._sent[address[1]] = delivery
        for sent in [self._client.publish(d.topic, d.payload, qos=1) for d in deliveries]:
            sent.wait_for_publish(PATIENCE_S)

    def wait(self, number: int, timeout_s: float = PATIENCE_S) -> bool:
        """Whether so many batches were receipted in time."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.receipts) >= number, timeout_s)

    def settle(self) -> None:
        """Sends again until everything has its receipt."""
        for _ in range(10):
            if self.wait(len(self._sent), PATIENCE_S / 10):
                return
            self.send(*[d for id, d in self._sent.items() if id not in self.receipts])
        raise AssertionError(f"{len(self._sent) - len(self.receipts)} batches without a receipt")

    def close(self) -> None:
        """Hangs up."""
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def uplink(broker: Broker) -> Iterator[Uplink]:
    """A gateway's uplink."""
    made = Uplink(broker)
    yield made
    made.close()


@pytest.fixture
def mqtt_settings(broker: Broker, request: pytest.FixtureRequest) -> Iterator[Callable[[], Mqtt]]:
    """How to reach the broker, under a client id of the test's own, whose session is ended afterwards."""
    client_id = f"test-{abs(hash(request.node.nodeid))}"
    yield lambda: Mqtt(
        host="127.0.0.1", port=broker.port, client_id=client_id, username="", password="", tls=False, tls_ca=""
    )
    # The session's share of the batches must not go to nobody.
    last = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
    last.connect("127.0.0.1", broker.port, clean_start=True)
    last.loop_start()
    last.disconnect()
    last.loop_stop()
