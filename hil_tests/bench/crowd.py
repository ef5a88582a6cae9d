"""What a crowded shop costs a gateway: 200 phones that call once a second and get a new address every 15 minutes.

They are objects of a small `org.bluez` on a private bus; bleak, D-Bus and the gateway are the real ones. A week is
its 134,400 addresses one after the other, as fast as the gateway takes them in: time only makes that cheaper.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from gateway.simulators.bluez_objects import BlueZError, Objects
from hil_tests.bench.gateway import _figure, _settings

PHONES = 200
CALLS_PER_S = 1.0
"""BlueZ tells of a caller again when its strength or its data has changed: about once a second for each."""
WEEK = 7 * 24 * 4
"""How often each changes its address."""
TOGETHER = 20
TAKES_S = 0.0008
"""For one phone's coming, calling and going: a little more than a gateway needs, so that nothing piles up."""
SETTLES_S = 8.0
LOOKS_S = 20.0
STARTS_WITHIN_S = 60.0
TIMEOUT_S = 600.0
ADAPTER, DBUS = "/org/bluez/hci0", "org.freedesktop.DBus"


def figures() -> Iterator[dict[str, Any]]:
    """gateway.idle_cpu_percent (baseline: an empty shop), gateway.rss_after_week_mb (baseline: before it)."""
    if shutil.which("dbus-daemon") is None:
        raise FileNotFoundError("dbus-daemon (Debian package dbus-daemon) is not installed")
    with tempfile.TemporaryDirectory() as folder:
        with _shop(Path(folder), "0") as (gateway, _):
            alone = _cpu_percent(gateway)
        with _shop(Path(folder), str(PHONES)) as (gateway, _):
            crowded = _cpu_percent(gateway)
        yield _compared("gateway.idle_cpu_percent", crowded, alone, "%")
        with _shop(Path(folder), "week") as (gateway, crowd):
            before = _rss_mb(gateway)
            assert crowd.stdin is not None
            assert crowd.stdout is not None
            crowd.stdin.write(b"go\n")
            crowd.stdin.flush()
            if crowd.stdout.readline() != b"over\n":
                raise OSError("the crowd is gone")
            _wait_until_idle(gateway)
            yield _compared("gateway.rss_after_week_mb", _rss_mb(gateway), before, "MB")


def _compared(name: str, value: float, baseline: float, unit: str) -> dict[str, Any]:
    ratio = round(value / baseline, 2) if baseline else None
    return {**_figure(name, value, unit), "baseline": round(baseline, 2), "ratio": ratio}


@contextmanager
def _shop(directory: Path, crowd: str) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """A bus, a crowd on it, and a gateway that has settled: its process id, and the crowd."""
    address = f"unix:path={directory}/bus-{crowd}"
    env = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address}
    path, port = _settings(directory)
    processes: list[subprocess.Popen[bytes]] = []

    def started(*command: str, **options: Any) -> "subprocess.Popen[bytes]":
        processes.append(subprocess.Popen(command, stderr=subprocess.DEVNULL, env=env, **options))
        return processes[-1]

    try:
        bus = started(
            "dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address=1", f"--address={address}",
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert bus.stdout is not None
        bus.stdout.readline()
        there = started(
            sys.executable, "-m", "hil_tests.bench.crowd", crowd, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert there.stdout is not None
        there.stdout.readline()
        gateway = started(sys.executable, "-m", "gateway", "run", "--config", str(path))
        began = time.monotonic()
        while not _listens(port):
            if time.monotonic() - began > STARTS_WITHIN_S:
                raise TimeoutError("the gateway does not listen to its radio")
            time.sleep(0.1)
        time.sleep(SETTLES_S)
        yield gateway.pid, there
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1) as answer:
            return bool(json.load(answer)["transports"].get("ble") == "ok")
    except OSError:  # not up yet, or up and not well
        return False


def _cpu_percent(pid: int) -> float:
    """Of one processor, over LOOKS_S."""
    before, began = _cpu_s(pid), time.monotonic()
    time.sleep(LOOKS_S)
    return 100 * (_cpu_s(pid) - before) / (time.monotonic() - began)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError("no VmRSS here")


def _wait_until_idle(pid: int) -> None:
    """Until it has taken in what the bus holds for it."""
    until = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until:
        before = _cpu_s(pid)
        time.sleep(2.0)
        if _cpu_s(pid) - before < 0.2:
            return
    raise TimeoutError("the gateway does not come to rest")


# --- the child: the crowd ------------------------------------------------------------------------------------


class Crowd:
    """As much of `org.bluez` as a scanner needs."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        adapter = {
            "Address": Variant("s", "00:00:00:00:00:01"),
            "Powered": Variant("b", True),
            "Discovering": Variant("b", False),
            "Roles": Variant("as", ["central"]),
        }
        tree: dict[str, dict[str, dict[str, Variant]]] = {
            "/org/bluez": {"org.bluez.AgentManager1": {}},
            ADAPTER: {"org.bluez.Adapter1": adapter},
        }
        self.objects = Objects(bus, tree)
        self._born = 0

    def on_message(self, message: Message) -> bool:
        """Answers a call at once."""
        if message.message_type is not MessageType.METHOD_CALL:
            return False
        asyncio.get_running_loop().create_task(self._answer(message))
        return True

    async def _answer(self, message: Message) -> None:
        try:
            match message.interface, message.member:
                case _, "GetManagedObjects":
                    signature, body = await self.objects.managed(message)
                case "org.freedesktop.DBus.Properties", "Get":
                    signature, body = await self.objects.get_property(message)
                case _:
                    signature, body = "", []
            await self._bus.send(Message.new_method_return(message, signature, body))
        except BlueZError as error:
            await self._bus.send(Message.new_error(message, error.name, error.text))

    def arrive(self) -> str:
        """One phone, or an old one with a new address."""
        self._born += 1
        address = ":".join(f"{byte:02X}" for byte in (0x4000_0000_0000 + self._born).to_bytes(6, "big"))
        path = f"{ADAPTER}/dev_{address.replace(':', '_')}"
        no = Variant("b", False)
        self.objects.add(
            path,
            "org.bluez.Device1",
            {
                "Adapter": Variant("o", ADAPTER),
                "Address": Variant("s", address),
                "AddressType": Variant("s", "random"),
                "Alias": Variant("s", address.replace(":", "-")),
                "UUIDs": Variant("as", ["0000fd6f-0000-1000-8000-00805f9b34fb"]),
                "ManufacturerData": Variant("a{qv}", {0x004C: Variant("ay", bytes(12))}),
                "RSSI": Variant("n", -70),
                "Paired": no,
                "Bonded": no,
                "Trusted": no,
                "Connected": no,
                "ServicesResolved": no,
            },
        )
        return path

    async def taken(self) -> None:
        """Returns when the bus has all that was sent; who sends faster than it takes is thrown off."""
        await self._bus.call(
            Message(destination=DBUS, path="/org/freedesktop/DBus", interface=DBUS, member="GetId")
        )

    def call(self, path: str, turn: int) -> None:
        """It calls again: nearer or farther."""
        self.objects.change(path, "org.bluez.Device1", RSSI=Variant("n", -60 - turn % 20))


async def _serve(crowd: str) -> None:
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    shop = Crowd(bus)
    bus.add_message_handler(shop.on_message)
    await bus.request_name("org.bluez")
    print("ready", flush=True)
    if crowd == "week":
        await asyncio.to_thread(sys.stdin.readline)
        for _ in range(WEEK * PHONES // TOGETHER):
            there = [shop.arrive() for _ in range(TOGETHER)]
            for path in there:
                shop.call(path, 1)
                shop.objects.drop(path)
            await shop.taken()
            await asyncio.sleep(TOGETHER * TAKES_S)
        print("over", flush=True)
    phones = [shop.arrive() for _ in range(int(crowd))] if crowd != "week" else []
    turn = 0
    while True:
        for at, path in enumerate(phones):
            shop.call(path, turn + at)
            await asyncio.sleep(1 / CALLS_PER_S / len(phones))
        turn += 1
        if not phones:
            await asyncio.sleep(1.0)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
