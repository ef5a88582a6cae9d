"""Brokers with rules: what they refuse is reported, and the reading kept."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.demo.servers import Broker, free_port
from gateway.config import MqttSettings
from gateway.uplink import LinkState
from hil_tests.readings import reading
from tests.gateway.shop import store


@contextlib.contextmanager
def strict_broker(directory: Path, lines: str) -> Iterator[int]:
    """A Mosquitto with rules of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = directory / "strict.conf"
    config.write_text(lines.format(port=port, directory=directory))
    program = Broker(directory).command()[0]
    process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
                break
            threading.Event().wait(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


FORBIDS_BATCHES = """\
user root
listener {port} 127.0.0.1
allow_anonymous true
acl_file {directory}/acl
"""


def test_a_broker_that_forbids_the_topic_is_reported_and_the_reading_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic read kangdock/1/#\ntopic write kangdock/1/+/status\n")
    with strict_broker(tmp_path, FORBIDS_BATCHES) as port:

        async def main() -> None:
            async with store(tmp_path / "outbox", MqttSettings(port=port)) as shop:
                await shop.outbox.put([reading(1)])
                await shop.until(lambda: LinkState.REFUSED in shop.links)
                assert shop.outbox.stats().unsent == 1

        asyncio.run(main())
    assert "uplink.refused publish: Not authorized" in caplog.text


NEEDS_PASSWORD = """\
user root
listener {port} 127.0.0.1
allow_anonymous false
"""


def test_a_wrong_login_is_reported_and_the_reading_kept(tmp_path: Path) -> None:
    with strict_broker(tmp_path, NEEDS_PASSWORD) as port:

        async def main() -> None:
            async with store(tmp_path / "outbox", MqttSettings(port=port, username="a", password="b")) as shop:
                await shop.outbox.put([reading(1)])
                await shop.until(lambda: LinkState.REFUSED in shop.links)
                assert shop.outbox.stats().unsent == 1

        asyncio.run(main())


TLS = """\
user root
listener {port} 127.0.0.1
cafile {directory}/ca.pem
certfile {directory}/server.pem
keyfile {directory}/server.key
require_certificate true
use_identity_as_username true
"""


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make certificates with")
def test_a_gateway_proves_who_it_is_by_its_certificate(tmp_path: Path) -> None:
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Test CA")
    (tmp_path / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "store-tls"):
        openssl("req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-out", f"{name}.pem", "-days", "2", "-extfile", "names"),
        )

    with strict_broker(tmp_path, TLS) as port:
        proven = MqttSettings(
            port=port,
            tls_ca=tmp_path / "ca.pem",
            tls_cert=tmp_path / "store-tls.pem",
            tls_key=tmp_path / "store-tls.key",
        )
        unproven = MqttSettings(port=port, tls_ca=tmp_path / "ca.pem")

        async def main() -> None:
            async with store(tmp_path / "one", proven) as shop:
                await shop.until(lambda: LinkState.UP in shop.links)
            async with store(tmp_path / "two", unproven) as shop:
                await shop.until(lambda: LinkState.DOWN in shop.links)
                assert LinkState.UP not in shop.links

        asyncio.run(main())
