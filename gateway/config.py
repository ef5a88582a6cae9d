"""The gateway's settings: one TOML file, and secrets from the environment.

It reads and explains, and connects to nothing (`python -m gateway doctor` does). Every mistake in the file is
reported at once, each by file, table and key, with what was found and what is expected.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gateway.wire.topics import GATEWAY_NAME

LANGUAGES = ("zh_CN", "en")
MQTT_PASSWORD = "KANGDOCK_MQTT_PASSWORD"  # noqa: S105 - the name of a variable, not a password
VIRTUAL_METERS = ("glucose", "pressure", "temperature")
ADDRESS = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")
PASSKEY = re.compile(r"[0-9]{6}")
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
    outbox: OutboxSettings = OutboxSettings()
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
    config = _read(_Table(str(path), "", tables, problems), path.resolve().parent, environ)
    if problems:
        raise ConfigError(tuple(problems))
    return config


def _read(top: "_Table", here: Path, environ: Mapping[str, str]) -> Config:
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
        outbox=_outbox(top.table("outbox")),
        virtual=_virtual(top.table("virtual"), here) if top.has("virtual") else None,
    )
    gateway.nothing_else()
    top.nothing_else()
    return config


def _mqtt(table: "_Table", here: Path, environ: Mapping[str, str]) -> MqttSettings:
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


def _screen(table: "_Table") -> ScreenSettings:
    settings = ScreenSettings(host=table.text("host", "127.0.0.1"), port=table.integer("port", 8101, 1, 65535))
    table.nothing_else()
    return settings


def _ble(table: "_Table") -> BleSettings:
    settings = BleSettings(
        enabled=table.flag("enabled", True),
        adapter=table.text("adapter", "", re.compile(r"(hci\d+)?"), "an adapter like hci0, or nothing"),
        passkeys=_passkeys(table.table("passkeys")),
    )
    table.nothing_else()
    return settings


def _passkeys(table: "_Table") -> dict[str, int]:
    passkeys = {}
    for address in table.left():
        passkey = table.secret(address, PASSKEY, 'the six digits on the meter, in quotes: "012345"')
        if not ADDRESS.fullmatch(address.upper()):
            table.complain(address, "not an address", 'a Bluetooth address in quotes: "C4:64:E3:00:00:01"')
        passkeys[address.upper()] = int(passkey or 0)
    return passkeys


def _outbox(table: "_Table") -> OutboxSettings:
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


def _virtual(table: "_Table", here: Path) -> VirtualSettings:
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


def _slots(top: "_Table") -> tuple[Slot, ...]:
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


class _Table:
    """One TOML table being read: every getter takes its key out, and notes a problem instead of raising."""

    def __init__(self, file: str, name: str, content: Mapping[str, Any], problems: list[str]) -> None:
        self._file = file
        self._name = name
        self._left = dict(content)
        self._known: list[str] = []
        self._problems = problems

    def complain(self, key: str, found: str, expected: str) -> None:
        where = f"{self._name}.{key}" if self._name else key
        self._problems.append(f"{self._file}: {where}: {found}; expected {expected}")

    def has(self, key: str) -> bool:
        return key in self._left

    def _take(self, key: str, default: Any, expected: str) -> Any:
        self._known.append(key)
        if key in self._left:
            return self._left.pop(key)
        if default is None:
            self.complain(key, "missing", expected)
        return default

    def _typed(self, key: str, value: Any, kind: type | tuple[type, ...], expected: str) -> bool:
        # In Python True is an integer; in a settings file it is a mistake.
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return True
        if value is not None:
            self.complain(key, f"found {value!r}", expected)
        return False

    def text(
        self,
        key: str,
        default: str | None,
        pattern: re.Pattern[str] | None = None,
        expected: str = "text in quotes",
    ) -> str:
        value = self._take(key, default, expected)
        if not self._typed(key, value, str, expected):
            return default or ""
        if (pattern and not pattern.fullmatch(value)) or (default is None and not value):
            self.complain(key, f"found {value!r}", expected)
        return str(value)

    def choice(self, key: str, default: str, allowed: tuple[str, ...]) -> str:
        expected = " or ".join(repr(one) for one in allowed)
        value = self._take(key, default, expected)
        if value not in allowed:
            self.complain(key, f"found {value!r}", expected)
            return default
        return str(value)

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        expected = f"a whole number from {low} to {high}"
        value = self._take(key, default, expected)
        if not self._typed(key, value, int, expected):
            return default
        if not low <= value <= high:
            self.complain(key, f"found {value!r}", expected)
        return int(value)

    def number(self, key: str, default: float, low: float, high: float) -> float:
        expected = f"a number from {low:g} to {high:g}"
        value = self._take(key, default, expected)
        if not self._typed(key, value, (int, float), expected):
            return default
        if not low <= value <= high:
            self.complain(key, f"found {value!r}", expected)
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self._take(key, default, "true or false")
        return bool(value) if self._typed(key, value, bool, "true or false") else default

    def flag_or_none(self, key: str) -> bool | None:
        if self.has(key):
            return self.flag(key, False)
        self._known.append(key)
        return None

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        expected = 'a list of texts like ["one", "two"]'
        value = self._take(key, default, expected)
        if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
            return tuple(value)
        if value is not None:
            self.complain(key, f"found {value!r}", expected)
        return ()

    def path(self, key: str, here: Path, *, required: bool = True) -> Path | None:
        expected = "a path in quotes"
        value = self._take(key, None if required else "", expected)
        if not self._typed(key, value, str, expected) or not value:
            return None
        return here / Path(value).expanduser()

    def file(self, key: str, here: Path, *, required: bool = True) -> Path | None:
        """A path to a file that this user can read, now: later nobody is there to read the complaint."""
        path = self.path(key, here, required=required)
        if path is not None and not (path.is_file() and os.access(path, os.R_OK)):
            why = "cannot be read by this user" if path.exists() else "there is no such file"
            self.complain(key, f"{path}: {why}", "a readable file")
        return path

    def left(self) -> list[str]:
        return list(self._left)

    def secret(self, key: str, pattern: re.Pattern[str], expected: str) -> str | None:
        """A text that a complaint does not repeat."""
        value = self._take(key, None, expected)
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        self.complain(key, "not that", expected)
        return None

    def table(self, key: str, *, required: bool = False) -> "_Table":
        name = f"{self._name}.{key}" if self._name else key
        value = self._take(key, None if required else {}, f"a table [{name}]")
        if not isinstance(value, dict):
            if value is not None:
                self.complain(key, f"found {type(value).__name__}", f"a table [{name}]")
            return _Table(self._file, name, {}, [])  # its own keys are not missing: the table is
        return _Table(self._file, name, value, self._problems)

    def tables(self, key: str) -> list["_Table"]:
        value = self._take(key, [], f"tables [[{key}]]")
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            self.complain(key, f"found {value!r}", f"tables [[{key}]]")
            return []
        return [
            _Table(self._file, f"{key}[{number}]", one, self._problems)
            for number, one in enumerate(value, start=1)
        ]

    def forbid(self, key: str, instead: str) -> None:
        if self._left.pop(key, None) is not None:
            self.complain(key, "does not belong into a file", instead)

    def nothing_else(self) -> None:
        for key in self._left:
            close = get_close_matches(key, self._known, n=1)
            hint = f"{close[0]!r} (did you mean that?)" if close else f"one of {', '.join(self._known)}"
            self.complain(key, "unknown", hint)
