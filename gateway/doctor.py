"""`python -m gateway doctor`: looks at everything a gateway needs, and says what to do about what is wrong.

It leaves nothing behind, publishes nothing, and may run beside a running gateway. What the gateway itself reports
is `gateway.health`'s.
"""

import asyncio
import json
import os
import socket
import sqlite3
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.reasoncodes import ReasonCode

from gateway import health, uplink
from gateway.buffer import ranges
from gateway.buffer.limits import free_mb
from gateway.buffer.opening import LIVE, damaged_folders
from gateway.buffer.schema import FILE_NAME, OutboxTooNew, connect_to_read, is_sound, version
from gateway.buffer.schema import VERSION as OUTBOX_VERSION
from gateway.config import MQTT_PASSWORD, Config, ConfigError, load
from gateway.conversation import Driver
from gateway.drivers import DRIVERS, NotADriver, known_drivers, recognise
from gateway.wire import topics

if TYPE_CHECKING:
    from gateway.transports.bluez import Known

BROKER_TIMEOUT_S = 8.0
"""A store's line answers within a second or two; after eight a person at the counter thinks it hangs."""
LOW_DISK_MB = 500
"""Log files and one software update need about this much."""
MANY_DEVICES = 500
"""A crowded shop has 200 within reach; BlueZ looks through all it knows at every one it hears."""


class Verdict(StrEnum):
    """How a check came out; only `fail` keeps the gateway from its work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One check: what was looked at, how it is, and what to do next where there is something to do."""

    check: str
    verdict: Verdict
    found: str
    todo: str = ""


Check: TypeAlias = Callable[[Config], Coroutine[Any, Any, Line]]


def main(path: Path, *, as_json: bool) -> int:
    """Prints one line per check; 0 if none failed, 1 if one did, 2 if the settings cannot be used."""
    try:
        config = load(path)
    except ConfigError as error:
        for problem in error.problems:
            _print(Line(check="config", verdict=Verdict.FAIL, found=problem, todo="correct this line"), as_json)
        return 2
    _print(_ok("config", f"{path}, gateway {config.gateway}"), as_json)
    lines = [_checked(name, check, config, as_json) for name, check in CHECKS.items()]
    return 1 if any(line.verdict is Verdict.FAIL for line in lines) else 0


def _checked(name: str, check: Check, config: Config, as_json: bool) -> Line:
    try:
        line = asyncio.run(check(config))
    except Exception as error:  # a doctor that falls ill on one patient still sees the others
        line = _fail(name, f"{type(error).__name__}: {error}", "report this to the people who make Kangdock")
    _print(line, as_json)
    return line


def _print(line: Line, as_json: bool) -> None:
    if as_json:
        print(
            json.dumps(
                {"check": line.check, "verdict": line.verdict, "found": line.found, "todo": line.todo},
                ensure_ascii=False,
            ),
            flush=True,
        )
        return
    print(f"{line.verdict:<5}{line.check:<11}{line.found}", flush=True)
    if line.todo:
        print(f"{'':16}-> {line.todo}", flush=True)


async def data_directory(config: Config) -> Line:
    """Whether a file can be made in it, synced to the disk and removed."""
    directory = config.data_directory
    if not directory.exists():
        todo = f"the gateway makes it when it starts, if it may; else: {_make(directory)}"
        return _warn("data", f"{directory} is not there", todo)
    try:
        probe = directory / f".doctor-{os.getpid()}"
        with probe.open("wb") as file:
            file.write(b"doctor")
            file.flush()
            os.fsync(file.fileno())
        probe.unlink()
    except OSError as error:
        return _fail("data", f"{directory}: {error.strerror}", f"make it writable: {_make(directory)}")
    return _ok("data", f"{directory} is writable and syncs")


def _make(directory: Path) -> str:
    return f"install -d -o {os.environ.get('USER', 'kangdock')} {directory}"


async def outbox(config: Config) -> Line:
    """Whether the outbox can be read, and what waits in it. Looks only; the gateway may be running."""
    file = config.data_directory / LIVE / FILE_NAME
    if not file.exists():
        return _ok("outbox", "empty: this gateway has not run yet")
    try:
        with closing(connect_to_read(file)) as connection:
            if (found := version(connection)) > OUTBOX_VERSION:
                return _fail("outbox", str(OutboxTooNew(found)), "start the newer gateway software again")
            if not is_sound(connection):
                return _fail(
                    "outbox",
                    f"{file} is damaged",
                    "restart the gateway: it moves the file aside and keeps every reading that can be read; "
                    "then replace the memory card",
                )
            sent = ranges.sent_up_to(connection)
            (unsent,) = connection.execute("SELECT count(*) FROM reading WHERE seq > ?", (sent,)).fetchone()
    except sqlite3.Error as error:
        return _fail("outbox", f"{file}: {error}", "restart the gateway; if this stays, replace the memory card")
    folders = damaged_folders(config.data_directory)
    if folders:
        return _warn(
            "outbox",
            f"{unsent} readings wait for the cloud; {len(folders)} damaged file(s) were moved aside",
            f"replace the memory card; keep {folders[-1]} for the engineer",
        )
    return _ok("outbox", f"{unsent} readings wait for the cloud")


async def disk(config: Config) -> Line:
    """How much is free where the outbox lives."""
    directory = config.data_directory
    there = next(folder for folder in (directory, *directory.absolute().parents) if folder.is_dir())
    free = free_mb(there)
    if free < config.outbox.keep_free_mb:
        return _fail("disk", f"{free} MB free", "make room: the gateway refuses readings it cannot keep")
    if free < LOW_DISK_MB:
        return _warn("disk", f"{free} MB free", "make room before the next software update")
    return _ok("disk", f"{free} MB free")


async def clock(config: Config) -> Line:
    """Whether this machine's time can be believed."""
    if config.clock_trusted is not None:
        return _ok("clock", f"gateway.clock_trusted = {str(config.clock_trusted).lower()} in the settings")
    if health.clock_synchronised():
        return _ok("clock", "synchronised")
    return _warn(
        "clock",
        "not synchronised: readings are kept, but their times are marked untrusted and link to nobody",
        "switch on a time server: timedatectl set-ntp true",
    )


async def broker(config: Config) -> Line:
    """Whether the broker is there, takes this login, and lets this gateway have its receipts.

    Publishing is not tried: the cloud would believe what it says, or file it as a dead letter. A running gateway
    knows whether its own are taken.
    """
    mqtt = config.mqtt
    where = f"{mqtt.host}:{mqtt.port}"
    running = await asyncio.to_thread(_healthz, config.screen.host, config.screen.port)
    if running.get("gateway") == config.gateway and running.get("uplink") == uplink.LinkState.REFUSED:
        return _fail("broker", f"{where} refuses the running gateway", _what_refused(config))
    try:
        context = uplink.tls_context(mqtt)
    except OSError as error:  # ssl.SSLError is one
        return _fail("broker", f"a certificate cannot be used: {error}", "check mqtt.tls_ca, tls_cert and tls_key")
    try:
        async with asyncio.timeout(BROKER_TIMEOUT_S):
            await _ask_for_receipts(config, context)
    except uplink.Rejected as refusal:
        return _fail("broker", f"{where} refuses this gateway's receipts: {refusal}", _what_refused(config))
    except MqttConnectError as refusal:
        return _fail("broker", f"{where} refuses the login: {refusal}", _what_refused(config))
    except ssl.SSLError as error:
        return _fail("broker", f"{where}: {error}", "check mqtt.tls_ca, tls_cert and tls_key, and this clock")
    except (aiomqtt.MqttError, OSError, TimeoutError) as error:
        return _fail(
            "broker",
            f"{where} cannot be reached: {str(error) or 'no answer'}",
            "readings are safe on this disk. Check the store's line, then mqtt.host and mqtt.port",
        )
    login = mqtt.username or "(anonymous)"
    return _ok("broker", f"{where} takes the login {login} and lets it have receipts; publishing was not tried")


async def _ask_for_receipts(config: Config, context: ssl.SSLContext | None) -> None:
    """Connects and subscribes as the uplink does."""
    mqtt = config.mqtt
    client = uplink.Client(
        mqtt.host,
        mqtt.port,
        # The uplink's own client id would throw a running gateway off the broker.
        identifier=f"kangdock-{config.gateway}-doctor",
        protocol=aiomqtt.ProtocolVersion.V5,
        username=mqtt.username or None,
        password=mqtt.password or None,
        timeout=BROKER_TIMEOUT_S,
        tls_context=context,
    )
    async with client:
        granted = await client.subscribe(topics.receipts(config.gateway), qos=1)
        if any(isinstance(code, ReasonCode) and code.is_failure for code in granted):
            raise uplink.Rejected("subscribe", str(granted[0]))


def _what_refused(config: Config) -> str:
    if not config.mqtt.password and config.mqtt.username:
        return f"set {MQTT_PASSWORD}; it is empty"
    return (
        f"check mqtt.username, {MQTT_PASSWORD} and that the broker's ACL lets {config.gateway} use its own topics"
    )


async def drivers(config: Config) -> Line:
    """Whether other installed packages offer drivers: with one that is none the gateway does not start."""
    try:
        known = known_drivers()
    except NotADriver as error:
        return _fail("drivers", str(error), "uninstall that package or ask who made it")
    others = [driver.name for driver in known if driver not in DRIVERS]
    return _ok("drivers", f"{len(DRIVERS)} of Kangdock" + (f", and {', '.join(others)}" if others else ""))


def _usable_drivers() -> Sequence[Driver]:
    """Those of other packages too, as far as `drivers` has nothing to say against them."""
    try:
        return known_drivers()
    except NotADriver:
        return DRIVERS


async def bluetooth(config: Config) -> Line:
    """Whether BlueZ runs, has the adapter, and the adapter is on and not stuck in a discovery of its own."""
    if not config.ble.enabled:
        return _ok("bluetooth", "not used (ble.enabled = false)")
    from gateway.transports import bluez  # a gateway without a radio does not load it

    try:
        async with bluez.system_bus() as bus:
            objects = await bluez.managed(bus)
    except bluez.BluezError as error:
        match error.word:
            case "NoBus":
                return _fail("bluetooth", "no D-Bus", "apt-get install bluez; systemctl start dbus bluetooth")
            case "NoReply":
                return _fail("bluetooth", "BlueZ does not answer", "systemctl restart bluetooth; then the gateway")
            case _:
                todo = "apt-get install bluez; systemctl enable --now bluetooth"
                return _fail("bluetooth", "BlueZ is not running", todo)
    adapters = bluez.adapters(objects)
    line = judge_adapters(adapters, config.ble.adapter)
    if line.verdict is Verdict.FAIL:
        return line
    name = config.ble.adapter or next(iter(adapters))
    running = await asyncio.to_thread(_healthz, config.screen.host, config.screen.port)
    state = running.get("transports", {}).get("ble", "") if running.get("gateway") == config.gateway else ""
    return judge_bluez(name, bool(adapters[name].get("Discovering")), bluez.devices(objects, name), state)


def judge_adapters(adapters: Mapping[str, Mapping[str, object]], wanted: str) -> Line:
    """What BlueZ's adapters (name -> Adapter1 properties) mean for a gateway that wants `wanted`, or the first."""
    name = wanted or next(iter(adapters), "")
    if name not in adapters:
        there = f"there is {', '.join(sorted(adapters))}" if adapters else "there is none"
        return _fail("bluetooth", f"no adapter {name or 'at all'}; {there}", "plug it in, or change ble.adapter")
    if not adapters[name].get("Powered"):
        todo = "rfkill unblock bluetooth; a running gateway switches it on by itself"
        return _fail("bluetooth", f"{name} is switched off", todo)
    return _ok("bluetooth", f"{name} is on")


def judge_bluez(name: str, discovering: bool, known: "Sequence[Known]", state: str) -> Line:
    """Whether BlueZ sulks. `state` is what the running gateway says of its radio, "" where none runs."""
    bonded = sum(one.paired for one in known)
    meters = frozenset[str]().union(*(driver.services for driver in _usable_drivers()))
    connected = [one for one in known if one.connected and one.services & meters]
    found = f"{name} is on; {bonded} bonded, {len(known)} devices known"
    if state in ("failed", "silent"):
        todo = (
            "the gateway starts the scanner again, then the adapter, when no meter is being read; "
            "if this stays for 5 minutes: systemctl restart bluetooth"
        )
        return _warn("bluetooth", f"{found}; the running gateway's scanner is {state}", todo)
    if len(known) > MANY_DEVICES:
        todo = (
            "the gateway removes what was not heard for a day; if it has run longer: systemctl restart bluetooth"
        )
        return _warn("bluetooth", f"{found}: BlueZ becomes slow", todo)
    if not state and connected:
        todo = "a program was killed while it read; start the gateway: it hangs up, and the meter calls again"
        return _warn("bluetooth", f"{found}; {len(connected)} meter(s) held on a line that nobody reads", todo)
    if not state and discovering:
        return _warn("bluetooth", f"{found}; another program is scanning", "end it; bluetoothctl: scan off")
    return _ok("bluetooth", f"{found}, scanning" if discovering else found)


async def serial(config: Config) -> Line:
    """What hangs on the serial ports, and whether this user may open them."""
    from gateway.transports import serial_survey

    known = _usable_drivers()
    if wrong := serial_survey.unknown_drivers(config.serial, known):
        return _fail("serial", wrong[0], "correct this line; `python -m gateway drivers list` names them all")
    surveyed = await asyncio.to_thread(serial_survey.survey, config.serial, partial(recognise, drivers=known))
    running = await asyncio.to_thread(_healthz, config.screen.host, config.screen.port)
    runs = running.get("gateway") == config.gateway
    verdict, found, todo = serial_survey.judge(surveyed, config.serial, gateway_runs=runs)
    return Line(check="serial", verdict=Verdict(verdict), found=found, todo=todo)


async def screen(config: Config) -> Line:
    """Whether the dock screen's port is free, or held by a gateway."""
    host, port = config.screen.host, config.screen.port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if gateway := (await asyncio.to_thread(_healthz, host, port)).get("gateway"):
                return _ok("screen", f"gateway {gateway} is running on {host}:{port}")
            return _fail(
                "screen", f"{host}:{port}: {error.strerror}", "stop what listens there, or change screen.port"
            )
    return _ok("screen", f"{host}:{port} is free")


def _healthz(host: str, port: int) -> dict[str, Any]:
    """What a gateway there says of itself; nothing where there is none."""
    there = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - read, not bound
    try:
        try:
            answer = urllib.request.urlopen(f"http://{there}:{port}/healthz", timeout=2)
        except urllib.error.HTTPError as error:
            answer = error  # a gateway that is failing answers 503, with the same body
        with answer:
            told = json.load(answer)
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


CHECKS: dict[str, Check] = {
    "data": data_directory,
    "outbox": outbox,
    "disk": disk,
    "clock": clock,
    "broker": broker,
    "drivers": drivers,
    "bluetooth": bluetooth,
    "serial": serial,
    "screen": screen,
}
"""In the order a gateway needs them."""


def _ok(check: str, found: str) -> Line:
    return Line(check=check, verdict=Verdict.OK, found=found)


def _warn(check: str, found: str, todo: str) -> Line:
    return Line(check=check, verdict=Verdict.WARN, found=found, todo=todo)


def _fail(check: str, found: str, todo: str) -> Line:
    return Line(check=check, verdict=Verdict.FAIL, found=found, todo=todo)
