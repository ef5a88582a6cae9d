"""A whole gateway process with a tunnel monitor on a serial port: told, kept, killed, told again."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cloud.demo.servers import free_port
from gateway import doctor
from gateway.config import load
from gateway.simulators.serial_line import PtyMeter
from gateway.simulators.tunnel_monitors import OmronTunnel
from tests.gateway.test_app import ask, running, settings, until

DEVICE = """
[[serial]]
device = "{path}"
driver = "serial.omron_hbp"
label = "Tunnel"
"""


def store_time() -> datetime:
    return (datetime.now(UTC) + timedelta(hours=8)).replace(tzinfo=None)


def test_a_monitor_on_a_wire_is_read_by_a_gateway_that_is_killed_in_between(tmp_path: Path, capsys):
    async def scenario() -> None:
        tunnel = PtyMeter(OmronTunnel(now=store_time))
        path, port = settings(tmp_path, free_port(), name="gw-serial-1", more=DEVICE.format(path=tunnel.plug()))

        def healthz() -> dict:
            return ask(port, "/healthz") or {}

        for round in (1, 2):
            with running(path):
                await asyncio.to_thread(
                    until, lambda: (ask(port, "/healthz") or {}).get("transports"), "a transport"
                )
                assert ask(port, "/healthz")["transports"] == {"serial": "ok"}
                tunnel.meter.measure(118 + round, 76, 68)
                tunnel.speak()
                await asyncio.to_thread(until, lambda count=round: healthz().get("unsent") == count, "the reading")
                # The doctor may look while the gateway holds the port, and disturbs nothing.
                line = await doctor.serial(load(path))
                assert (line.verdict, line.todo) == (doctor.Verdict.OK, "")
                assert line.found == f"{tunnel.path}: serial.omron_hbp"
        tunnel.unplug()
        line = await doctor.serial(load(path))
        assert line.found.startswith(f"no port {tunnel.path} for serial.omron_hbp")

    asyncio.run(scenario())


def test_a_driver_the_settings_misname_is_explained_before_anything_starts(tmp_path: Path):
    path, _ = settings(
        tmp_path, free_port(), name="gw-serial-2", more=DEVICE.format(path="/dev/rfcomm0").replace("_hbp", "_hpb")
    )
    with running(path) as process:
        assert process.wait(30) == 1
    said = (tmp_path / "gateway.log").read_text()
    assert "serial[1].driver: no serial driver 'serial.omron_hpb'; there are: " in said
