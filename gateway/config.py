"""The gateway's settings: one TOML file, and secrets from the environment.

It reads and explains, and connects to nothing (`python -m gateway doctor` does). Every mistake in the file is
reported at once, each by file, table and key, with what was found and what is expected.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.clinical import ClinicalDataError, library, profiles
from gateway.toml_table import Table
from gateway.wire.topics import GATEWAY_NAME

LANGUAGES = ("zh_CN", "en")
DEFAULT_PROFILE, *_ = profiles()
MQTT_PASSWORD = "KANGDOCK_MQTT_PASSWORD"  # noqa: S105 - the name of a variable, not a password
VIRTUAL_METERS = ("glucose", "pressure", "temperature", "three_in_one", "sinocare", "taidoc")
ADDRESS = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")
PASSKEY = re.compile(r"[0-9]{6}")
USB_PATH = re.compile(r"(\d+-\d+(\.\d+)*(:\d+\.\d+)?)?")
USB_ID = re.compile(r"([0-9a-f]{4}:[0-9a-f]{4})?")
DEVICE = re.compile(r"(/dev/[\w/.:-]+)?")
DRIVER_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
SLOT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """Where the broker is and how this gateway proves who it is. With no `tls_ca` the line is not encrypted."""

    host: str = "127.0.0.1"
    port: int = 1883
    username: str = ""
    password: str = field(default="", repr=False)
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    keepalive_s: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenSettings:
    """Where the dock screen listens. Loopback unless a store's screen is another machine."""

    host: str = "127.0.0.1"
    port: int = 8101


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A place on the counter where one customer stands at a time, and the addresses of the meters lying there."""

    name: str
    label: str = ""
    meters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BleSettings:
    """The Bluetooth adapter: `hci0`, or empty for the system's first. `passkeys`: by address, what is printed on
    meters that ask for one. Whoever knows it can pair with the meter, so it is in no log."""

    enabled: bool = True
    adapter: str = ""
    passkeys: Mapping[str, int] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialSettings:
    """What hangs on a serial port that does not say so itself. The port is meant by where it is plugged in
    (`usb_path`), by what is plugged in (`usb_id`), by both, or by its `device` where it is not on USB."""

    driver: str
    usb_path: str = ""  # 1-1.2, as `doctor` shows it
    usb_id: str = ""  # 1a86:7523
    device: str = ""  # /dev/rfcomm0
    baud: int = 0  # 0: as the driver says
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesSettings:
    """The clinical rules that the counter judges by: the chain's own signed copy, or the packaged ones; and the
    guideline by which it averages blood pressures."""

    directory: Path | None = None
    averages_by: str = DEFAULT_PROFILE


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxSettings:
    """How much of the disk readings and raw bytes may take, and what stays free for the rest of the machine."""

    max_mb: int = 1024
    journal_max_mb: int = 128
    keep_free_mb: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualSettings:
    """A virtual store for the demo: which meters lie there, whose cards are scanned, and how often."""

    meters: tuple[str, ...]
    cards: Path
    pace_s: float = 6.0
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a gateway is told."""

    gateway: str
    data_directory: Path
    slots: tuple[Slot, ...]
    mqtt: MqttSettings
    screen: ScreenSettings = ScreenSettings()
    ble: BleSettings = BleSettings()
    serial: tuple[SerialSettings, ...] = ()
    outbox: OutboxSettings = OutboxSettings()
    rules: RulesSettings = RulesSettings()
    virtual: VirtualSettings | None = None
    language: str = "zh_CN"
    local_utc_offset_min: int = 480
    clock_trusted: bool | None = None  # None: ask the kernel whether the clock is synchronised


class ConfigError(ValueError):
    """The file cannot be used; `problems` says why, one line each, ready for a person to read."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """The settings in `path`; relative paths in it start from its own folder. Raises ConfigError."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError((f"{path}: cannot be read: {error.strerror}",)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError((f"{path}: not a TOML file: {error}",)) from None
    problems: list[str] = []
    config = _read(Table(str(path), "", tables, problems), path.resolve().parent, environ)
    if problems:
        raise ConfigError(tuple(problems))
    return config


def _read(top: Table, here: Path, environ: Mapping[str, str]) -> Config:
    gateway = top.table("gateway", required=True)
    mqtt = top.table("mqtt", required=True)
    config = Config(
        gateway=gateway.text("name", None, GATEWAY_NAME, "a name like gw-store-0417"),
        data_directory=gateway.path("data_directory", here) or here,
        language=gateway.choice("language", "zh_CN", LANGUAGES),
        local_utc_offset_min=gateway.integer("local_utc_offset_min", 480, -720, 840),
        clock_trusted=gateway.flag_or_none("clock_trusted"),
        slots=_slots(top),
        mqtt=_mqtt(mqtt, here, environ),
        screen=_screen(top.table("screen")),
        ble=_ble(top.table("ble")),
        serial=_serial(top),
        outbox=_outbox(top.table("outbox")),
        rules=_rules(top.table("rules"), here),
        virtual=_virtual(top.table("virtual"), here) if top.has("virtual") else None,
    )
    gateway.nothing_else()
    top.nothing_else()
    return config


def _mqtt(table: Table, here: Path, environ: Mapping[str, str]) -> MqttSettings:
    table.forbid("password", f"put it into the environment variable {MQTT_PASSWORD}, where backups do not see it")
    settings = MqttSettings(
        host=table.text("host", None),
        port=table.integer("port", 1883, 1, 65535),
        username=table.text("username", ""),
        password=environ.get(MQTT_PASSWORD, ""),
        tls_ca=table.file("tls_ca", here, required=False),
        tls_cert=table.file("tls_cert", here, required=False),
        tls_key=table.file("tls_key", here, required=False),
        keepalive_s=table.integer("keepalive_s", 30, 5, 1200),
    )
    if (settings.tls_cert is None) != (settings.tls_key is None):
        table.complain("tls_cert", "given without the other", "tls_cert and tls_key together, or neither")
    table.nothing_else()
    return settings


def _screen(table: Table) -> ScreenSettings:
    settings = ScreenSettings(host=table.text("host", "127.0.0.1"), port=table.integer("port", 8101, 1, 65535))
    table.nothing_else()
    return settings


def _ble(table: Table) -> BleSettings:
    settings = BleSettings(
        enabled=table.flag("enabled", True),
        adapter=table.text("adapter", "", re.compile(r"(hci\d+)?"), "an adapter like hci0, or nothing"),
        passkeys=_passkeys(table.table("passkeys")),
    )
    table.nothing_else()
    return settings


def _passkeys(table: Table) -> dict[str, int]:
    passkeys = {}
    for address in table.left():
        passkey = table.secret(address, PASSKEY, 'the six digits on the meter, in quotes: "012345"')
        if not ADDRESS.fullmatch(address.upper()):
            table.complain(address, "not an address", 'a Bluetooth address in quotes: "C4:64:E3:00:00:01"')
        passkeys[address.upper()] = int(passkey or 0)
    return passkeys


def _serial(top: Table) -> tuple[SerialSettings, ...]:
    ports = []
    for table in top.tables("serial"):
        one = SerialSettings(
            driver=table.text("driver", None, DRIVER_NAME, "a driver of `python -m gateway drivers list`"),
            usb_path=table.text("usb_path", "", USB_PATH, "a USB path like 1-1.2; `doctor` shows them"),
            usb_id=table.text("usb_id", "", USB_ID, "vendor and product like 1a86:7523, in small letters"),
            device=table.text("device", "", DEVICE, "a device like /dev/rfcomm0"),
            baud=table.integer("baud", 0, 0, 4_000_000),
            label=table.text("label", ""),
        )
        if bool(one.device) is bool(one.usb_path or one.usb_id):
            table.complain("usb_path", "does not say which port", "usb_path, usb_id or both, or else device")
        if re.fullmatch(r"/dev/tty(USB|ACM)\d+", one.device):
            table.complain("device", f"{one.device} is another port tomorrow", "its usb_path; `doctor` shows them")
        table.nothing_else()
        ports.append(one)
    meant = [(one.usb_path, one.usb_id, one.device) for one in ports]
    for twice in sorted({one for one in meant if meant.count(one) > 1}):
        top.complain("serial", f"{' '.join(filter(None, twice))} twice", "one driver for each port")
    return tuple(ports)


def _rules(table: Table, here: Path) -> RulesSettings:
    settings = RulesSettings(
        directory=table.path("directory", here, required=False),
        averages_by=table.choice("averages_by", DEFAULT_PROFILE, profiles()),
    )
    if settings.directory is not None:
        try:
            wrong = "" if library(settings.directory) else "holds no rule"
        except (ClinicalDataError, OSError, UnicodeDecodeError) as error:
            wrong = str(error)
        if wrong:
            table.complain("directory", f"{settings.directory}: {wrong}", "a copy of the cloud's rule files")
    table.nothing_else()
    return settings


def _outbox(table: Table) -> OutboxSettings:
    settings = OutboxSettings(
        max_mb=table.integer("max_mb", 1024, 16, 1_000_000),
        journal_max_mb=table.integer("journal_max_mb", 128, 1, 1_000_000),
        keep_free_mb=table.integer("keep_free_mb", 256, 16, 1_000_000),
    )
    if settings.journal_max_mb > settings.max_mb:
        table.complain(
            "journal_max_mb", f"{settings.journal_max_mb} is more than max_mb, {settings.max_mb}", "a part of it"
        )
    table.nothing_else()
    return settings


def _virtual(table: Table, here: Path) -> VirtualSettings:
    settings = VirtualSettings(
        meters=table.texts("meters"),
        cards=table.file("cards", here) or here,
        pace_s=table.number("pace_s", 6.0, 0.0, 3600.0),
        seed=table.integer("seed", 1, 0, 2**31),
    )
    for meter in sorted(set(settings.meters) - set(VIRTUAL_METERS)):
        table.complain("meters", f"no virtual meter {meter!r}", "some of " + ", ".join(VIRTUAL_METERS))
    table.nothing_else()
    return settings


def _slots(top: Table) -> tuple[Slot, ...]:
    slots = []
    for table in top.tables("slots"):
        name = table.text("name", None, SLOT_NAME, "a short name like counter-1")
        slots.append(
            Slot(
                name=name,
                label=table.text("label", name),
                meters=tuple(address.upper() for address in table.texts("meters", ())),
            )
        )
        table.nothing_else()
    names = [slot.name for slot in slots]
    meters = [address for slot in slots for address in slot.meters]
    for word, seen in (("name", names), ("meters", meters)):
        for twice in sorted({one for one in seen if seen.count(one) > 1}):
            top.complain(f"slots.{word}", f"{twice!r} twice", "each one in one slot only")
    return tuple(slots) or (Slot(name="counter"),)
