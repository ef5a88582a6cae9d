"""The doctor looks at everything a gateway needs and says what to do about each of them."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import aiomqtt
import pytest

from cloud.demo.servers import Broker, free_port
from gateway import doctor
from gateway.buffer.opening import LIVE
from gateway.buffer.schema import FILE_NAME
from gateway.config import load
from gateway.doctor import Verdict
from gateway.transports.bluez import Known
from gateway.uplink import LinkState
from tests.gateway.screen.counter import Counter, Served
from tests.gateway.transports.rig import BlueZService

STRICT = """\
user root
listener {port} 127.0.0.1
allow_anonymous {anonymous}
acl_file {directory}/acl
"""


class StrictBroker(Broker):
    """A Mosquitto that lets `gw-good` use its own topics and nobody anything else."""

    anonymous = "true"

    def command(self) -> list[str]:
        program, flag, config = super().command()
        acl = self.directory / "acl"
        acl.write_text("topic readwrite kangdock/1/gw-good/#\n")
        acl.chmod(0o700)
        Path(config).write_text(STRICT.format(port=self.port, directory=self.directory, anonymous=self.anonymous))
        return [program, flag, config]


class ClosedBroker(StrictBroker):
    """And one that wants a password."""

    anonymous = "false"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with StrictBroker(tmp_path_factory.mktemp("strict")) as server:
        yield server


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with ClosedBroker(tmp_path_factory.mktemp("closed")) as server:
        yield server


def config(tmp_path: Path, port: int, *, name: str = "gw-good", screen: int | None = None, more: str = "") -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(
        f'[gateway]\nname = "{name}"\ndata_directory = "data"\nclock_trusted = true\n'
        f'[mqtt]\nhost = "127.0.0.1"\nport = {port}\nusername = ""\n'
        f"[screen]\nport = {screen or free_port()}\n[ble]\nenabled = false\n{more}"
    )
    return path


def consult(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, str]]]:
    status = doctor.main(path, as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return status, {line["check"]: line for line in lines}


def test_a_gateway_that_lacks_nothing_is_well(tmp_path: Path, strict: Broker, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "data").mkdir()
    status, lines = consult(config(tmp_path, strict.port), capsys)
    assert {check: line["verdict"] for check, line in lines.items()} == dict.fromkeys(
        ("config", "data", "outbox", "disk", "clock", "broker", "drivers", "bluetooth", "serial", "screen"),
        Verdict.OK,
    )
    assert status == 0


def test_a_gateway_whose_messages_are_refused_is_found_by_asking_it(
    tmp_path: Path, strict: Broker, capsys: pytest.CaptureFixture[str]
):
    (counter := Counter()).board.link(LinkState.REFUSED)
    with Served(counter) as served:
        status, lines = consult(config(tmp_path, strict.port, name="gw-1", screen=served.port), capsys)
    assert status == 1
    assert "refuses the running gateway" in lines["broker"]["found"]
    assert "ACL lets gw-1" in lines["broker"]["todo"]


def test_a_gateway_that_is_failing_is_still_a_gateway(
    tmp_path: Path, strict: Broker, capsys: pytest.CaptureFixture[str]
):
    (counter := Counter()).disk_free_mb = 0
    with Served(counter) as served:
        _, lines = consult(config(tmp_path, strict.port, screen=served.port), capsys)
    assert "gateway gw-1 is running" in lines["screen"]["found"]


def test_nothing_is_made_and_nothing_is_said_to_the_cloud(
    tmp_path: Path, strict: Broker, capsys: pytest.CaptureFixture[str]
):
    async def listen() -> list[str]:
        heard = []
        async with aiomqtt.Client("127.0.0.1", strict.port, protocol=aiomqtt.ProtocolVersion.V5) as client:
            await client.subscribe("kangdock/1/gw-good/#", qos=1)
            lines = await asyncio.to_thread(consult, config(tmp_path, strict.port), capsys)
            await client.publish("kangdock/1/gw-good/end", b"", qos=1)
            async for message in client.messages:
                if str(message.topic).endswith("end"):
                    return [*heard, lines[1]["data"]["found"]]
                heard.append(str(message.topic))
        return heard

    assert asyncio.run(listen()) == [f"{tmp_path / 'data'} is not there"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["gateway.toml"]


@pytest.mark.parametrize("content", [None, "not a certificate"])
def test_a_certificate_that_cannot_be_used_is_not_called_a_broken_line(tmp_path: Path, content: str | None):
    path = config(tmp_path, free_port())
    ca = tmp_path / "ca.pem"
    ca.write_text("")
    path.write_text(path.read_text().replace("[screen]", f'tls_ca = "{ca}"\n[screen]'))
    settings = load(path, {})
    ca.unlink() if content is None else ca.write_text(content)
    line = asyncio.run(doctor.broker(settings))
    assert line.verdict is Verdict.FAIL
    assert "tls_ca" in line.todo
    assert "readings are safe" not in line.todo


def test_a_refused_login_says_which_settings_to_check(
    tmp_path: Path, closed: Broker, capsys: pytest.CaptureFixture[str]
):
    status, lines = consult(config(tmp_path, closed.port), capsys)
    assert status == 1
    assert "refuses the login" in lines["broker"]["found"]
    assert "KANGDOCK_MQTT_PASSWORD" in lines["broker"]["todo"]


def test_a_line_that_is_down_says_that_readings_are_safe(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    status, lines = consult(config(tmp_path, free_port()), capsys)
    assert status == 1
    assert lines["broker"]["todo"].startswith("readings are safe")


def test_a_running_gateway_is_no_fault_and_another_program_is(
    tmp_path: Path, strict: Broker, capsys: pytest.CaptureFixture[str]
):
    with Served(Counter()) as served:
        _, lines = consult(config(tmp_path, strict.port, screen=served.port), capsys)
        assert "gateway gw-1 is running" in lines["screen"]["found"]
    _, lines = consult(config(tmp_path, strict.port, screen=strict.port), capsys)
    assert lines["screen"]["verdict"] == "fail"


def test_a_damaged_outbox_is_found_and_nothing_is_touched(
    tmp_path: Path, strict: Broker, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "data" / LIVE / FILE_NAME
    file.parent.mkdir(parents=True)
    file.write_bytes(b"not a database" * 1000)
    before = file.read_bytes()
    status, lines = consult(config(tmp_path, strict.port), capsys)
    assert status == 1
    assert lines["outbox"]["verdict"] == "fail"
    assert file.read_bytes() == before


def test_an_outbox_of_newer_software_asks_for_that_software(
    tmp_path: Path, strict: Broker, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "data" / LIVE / FILE_NAME
    file.parent.mkdir(parents=True)
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()
    _, lines = consult(config(tmp_path, strict.port), capsys)
    assert "newer gateway software" in lines["outbox"]["todo"]


def test_a_data_directory_that_cannot_be_made_is_named(
    tmp_path: Path, strict: Broker, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "data").write_text("a file where the folder should be")
    status, lines = consult(config(tmp_path, strict.port), capsys)
    assert status == 1
    assert lines["data"]["verdict"] == "fail"
    assert str(tmp_path / "data") in lines["data"]["found"]


def test_no_radio_says_what_to_install(
    tmp_path: Path, strict: Broker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/no-bus")
    path = config(tmp_path, strict.port)
    path.write_text(path.read_text().replace("enabled = false", "enabled = true"))
    status, lines = consult(path, capsys)
    assert status == 1
    assert "bluez" in lines["bluetooth"]["todo"]


@pytest.mark.parametrize(
    ("adapters", "wanted", "verdict"),
    [
        ({"hci0": {"Powered": True}}, "", Verdict.OK),
        ({"hci0": {"Powered": True}}, "hci1", Verdict.FAIL),
        ({"hci0": {"Powered": False}}, "hci0", Verdict.FAIL),
        ({}, "", Verdict.FAIL),
    ],
)
def test_an_adapter_must_be_there_and_on(adapters: dict[str, dict[str, object]], wanted: str, verdict: Verdict):
    assert doctor.judge_adapters(adapters, wanted).verdict is verdict


def known(number: int, **facts: object) -> Known:
    usual = {"name": "", "services": frozenset({"1808"}), "paired": False, "connected": False}
    return Known(
        path=f"/{number}", address=f"C4:5E:00:00:{number >> 8:02X}:{number & 255:02X}", **{**usual, **facts}
    )


@pytest.mark.parametrize(
    ("devices", "discovering", "state", "word"),
    [
        ([known(1, paired=True), known(2)], True, "ok", ""),
        ([], False, "", ""),
        ([], True, "", "another program is scanning"),
        ([known(1, connected=True)], False, "", "a line that nobody reads"),
        ([known(1, connected=True)], True, "ok", ""),  # the gateway reads it
        ([known(1, connected=True, services=frozenset({"1812"}))], False, "", ""),  # a keyboard
        ([], True, "silent", "scanner is silent"),
        ([], False, "failed", "scanner is failed"),
        ([known(number) for number in range(501)], True, "ok", "becomes slow"),
    ],
)
def test_what_bluez_sulks_about_is_said_with_its_cure(
    devices: list[Known], discovering: bool, state: str, word: str
):
    line = doctor.judge_bluez("hci0", discovering, devices, state)
    assert line.verdict is (Verdict.WARN if word else Verdict.OK)
    assert word in line.found
    assert bool(line.todo) is bool(word)


def test_the_doctor_counts_what_bluez_knows(
    tmp_path: Path,
    strict: Broker,
    capsys: pytest.CaptureFixture[str],
    bluez_service: BlueZService,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bluez_service.address)
    bluez_service.open()
    path = config(tmp_path, strict.port)
    path.write_text(path.read_text().replace("enabled = false", "enabled = true"))
    try:
        status, lines = consult(path, capsys)
    finally:
        bluez_service.order(do="close")
    assert status == 0
    assert lines["bluetooth"]["found"] == "hci0 is on; 0 bonded, 0 devices known"


def test_a_wrong_line_in_the_settings_is_the_first_thing_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "gateway.toml"
    path.write_text('[gateway]\nname = "Not A Name"\n')
    assert doctor.main(path, as_json=False) == 2
    printed = capsys.readouterr().out
    assert "gateway.name" in printed
    assert "mqtt: missing" in printed
