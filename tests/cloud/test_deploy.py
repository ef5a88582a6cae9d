"""The broker's production files, with a real Mosquitto: who may say and hear what."""

import base64
import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from cloud.demo.servers import Broker
from cloud.deploy import guide
from cloud.ingest.asking import SHARED_ASKS
from cloud.ingest.consumer import SHARED_BATCHES
from gateway.wire import topics

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make certificates with")
PATIENCE_S = 20.0
DEPLOY = guide.GUIDE.parent
TAKEN = {"Success", "No matching subscribers"}
INGEST, NORTH, SOUTH = "kangdock-ingest", "gw-north", "gw-south"


class Production(Broker):
    """Mosquitto with our files, at this test's paths and port and with its certificates."""

    def command(self) -> list[str]:
        program, _, config = super().command()
        text = (DEPLOY / "mosquitto.conf").read_text()
        for ours, here in (
            ("listener 8883", f"user root\nlistener {self.port} 127.0.0.1"),
            ("/etc/mosquitto/certs/", f"{self.directory}/"),
            ("/etc/mosquitto/kangdock.passwd", f"{self.directory}/passwd"),
            ("/etc/mosquitto/kangdock.acl", str(DEPLOY / "mosquitto.acl")),
            ("/var/lib/mosquitto/", f"{self.directory}/"),
            ("log_dest syslog", f"log_dest file {self.directory}/mosquitto.log"),
        ):
            assert ours in text
            text = text.replace(ours, here)
        Path(config).write_text(text)
        return [program, "-c", config]


def hashed(password: str) -> str:
    """As mosquitto_passwd writes it."""
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    folder = tmp_path_factory.mktemp("production")
    made = Production(folder)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", "broker.key", "-out", "broker.pem", "-days", "2", "-subj", "/CN=Test broker"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    passwords = folder / "passwd"
    passwords.write_text("".join(f"{name}:{hashed(name)}\n" for name in (INGEST, NORTH, SOUTH)))
    passwords.chmod(0o600)
    with made:
        yield made


class Client:
    """Logged in under `name`; what it heard, and what the broker answered to what it said."""

    def __init__(self, broker: Production, name: str, *subscribed: str, password: str | None = None) -> None:
        self.heard: list[str] = []
        self.connected: ReasonCode | None = None
        self._answers: dict[int, ReasonCode] = {}
        self._changed = threading.Condition()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.tls_set(ca_certs=str(broker.directory / "broker.pem"))
        self._client.username_pw_set(name, name if password is None else password)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda _c, _u, mid, reasons, _p: self._note(mid, reasons[0])
        self._client.on_publish = lambda _c, _u, mid, reason, _p: self._note(mid, reason)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert self.until(lambda: self.connected is not None)
        for topic in subscribed:
            self._answer(self._client.subscribe(topic, qos=1)[1])

    def _on_connect(
        self, _client: object, _userdata: object, _flags: object, reason: ReasonCode, _p: object
    ) -> None:
        with self._changed:
            self.connected = reason
            self._changed.notify_all()

    def _on_message(self, _client: object, _userdata: object, message: mqtt.MQTTMessage) -> None:
        with self._changed:
            self.heard.append(message.topic)
            self._changed.notify_all()

    def _note(self, mid: int, reason: ReasonCode) -> None:
        with self._changed:
            self._answers[mid] = reason
            self._changed.notify_all()

    def until(self, true) -> bool:
        with self._changed:
            return self._changed.wait_for(true, PATIENCE_S)

    def _answer(self, mid: int) -> ReasonCode:
        assert self.until(lambda: mid in self._answers)
        return self._answers[mid]

    def say(self, topic: str) -> str:
        """The broker's reason code for one message."""
        return self._answer(self._client.publish(topic, b"{}", qos=1).mid).getName()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def test_a_gateway_speaks_and_hears_under_its_own_name_only(production: Production) -> None:
    batch, receipt = uuid4(), uuid4()
    with (
        Client(production, INGEST, SHARED_BATCHES, topics.STATUSES) as ingest,
        Client(production, NORTH, "kangdock/1/#") as north,
        Client(production, SOUTH, topics.receipts(SOUTH)) as south,
    ):
        said = [north.say(topics.batch(NORTH, batch)), north.say(topics.status(NORTH))]
        assert set(said) <= TAKEN
        assert ingest.until(lambda: len(ingest.heard) >= 2)
        assert sorted(ingest.heard) == sorted([topics.batch(NORTH, batch), topics.status(NORTH)])

        # South's receipt is said first: had north been told of it too, that would have come before its own.
        assert ingest.say(topics.receipt(SOUTH, receipt)) in TAKEN
        assert ingest.say(topics.receipt(NORTH, receipt)) in TAKEN
        assert south.until(lambda: south.heard)
        assert north.until(lambda: north.heard)
        assert south.heard == [topics.receipt(SOUTH, receipt)]
        assert set(north.heard) == {topics.receipt(NORTH, receipt)}


def test_a_dock_asks_and_is_told_under_its_own_name_only(production: Production) -> None:
    question = uuid4()
    with (
        Client(production, INGEST, SHARED_ASKS) as ingest,
        Client(production, NORTH, topics.all_told(NORTH)) as north,
        Client(production, SOUTH, topics.all_told(SOUTH), "kangdock/1/+/told/+") as south,
    ):
        assert north.say(topics.ask(NORTH, question)) in TAKEN
        assert ingest.until(lambda: ingest.heard)
        assert ingest.heard == [topics.ask(NORTH, question)]
        assert ingest.say(topics.told(NORTH, question)) in TAKEN
        assert ingest.say(topics.told(SOUTH, question)) in TAKEN
        assert north.until(lambda: north.heard)
        assert south.until(lambda: south.heard)
        assert set(north.heard) == {topics.told(NORTH, question)}
        assert set(south.heard) == {topics.told(SOUTH, question)}


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        (NORTH, topics.batch(SOUTH, uuid4())),
        (NORTH, topics.ask(SOUTH, uuid4())),
        (NORTH, topics.told(NORTH, uuid4())),
        (INGEST, topics.ask(NORTH, uuid4())),
        (NORTH, topics.status(SOUTH)),
        (NORTH, topics.receipt(NORTH, uuid4())),
        (NORTH, topics.receipt(SOUTH, uuid4())),
        (NORTH, "anything/else"),
        (INGEST, topics.batch(NORTH, uuid4())),
        (INGEST, topics.status(NORTH)),
    ],
)
def test_what_is_not_ones_own_to_say_is_refused_with_its_reason(
    production: Production, name: str, topic: str
) -> None:
    # A connection each: Mosquitto 2.0.11 hangs up after a refusal.
    with Client(production, name) as client:
        assert client.say(topic) == "Not authorized"


def test_nobody_comes_in_without_the_right_password(production: Production) -> None:
    with Client(production, NORTH, password="guessed") as stranger:
        assert stranger.connected is not None
        assert stranger.connected.getName() == "Not authorized"


def test_the_guides_table_of_settings_is_the_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert guide.main(["--check"]) == 0
