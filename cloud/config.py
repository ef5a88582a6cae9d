"""What the cloud's processes are told from outside: environment variables, read once and explained by name.

Nothing else in the cloud reads the environment.
"""

import os
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.clinical import ClinicalDataError, library


class Mode(StrEnum):
    """`production` refuses what is only good enough to show: unsigned rules, plain cookies."""

    PRODUCTION = "production"
    DEMO = "demo"


class ConfigError(ValueError):
    """Settings that cannot work; the message has one line per variable, and what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mqtt:
    """Where the broker is and who we are there."""

    host: str
    port: int
    client_id: str
    username: str
    password: str
    tls: bool
    tls_ca: str  # a file; "" is the machine's own trust store


@dataclass(frozen=True, slots=True, kw_only=True)
class Influx:
    """Where the time series go. InfluxDB 1.8, 2.x and 3 Core all take writes this way."""

    url: str
    token: str
    org: str
    bucket: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings of the cloud."""

    database_url: str
    mode: Mode
    public_url: str  # what people type; https in production
    host: str  # where `serve` listens
    port: int
    health_host: str  # where `ingest` answers /healthz and /metrics
    health_port: int
    mqtt: Mqtt
    rules: Path | None  # the chain's own signed rules; None: the packaged library
    influx: Influx | None  # None: no projection; `series rebuild` fills one later

    @property
    def production(self) -> bool:
        """Whether this is the real thing."""
        return self.mode is Mode.PRODUCTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One variable: its default as it would be written (None: it must be given), and what it means."""

    name: str
    default: str | None
    parse: Callable[[str], Any]
    means: str


def load(environment: Mapping[str, str] = os.environ) -> Config:
    """The settings in `environment`; raises ConfigError that names every wrong variable at once."""
    wrong: list[str] = []
    value: dict[str, Any] = {}
    for setting in SETTINGS:
        text = environment.get(setting.name, "").strip() or setting.default
        try:
            if text is None:
                raise ValueError("is not set")
            value[setting.name] = setting.parse(text)
        except ValueError as error:
            wrong.append(f"{setting.name} {error} ({setting.means})")
    if not wrong and value["KANGDOCK_MODE"] is Mode.PRODUCTION and not _is_private(value["PUBLIC_URL"]):
        wrong.append("PUBLIC_URL must begin with https:// in production, or the sign-in cookie could be read")
    if wrong:
        raise ConfigError("\n".join(wrong))
    return Config(
        database_url=value["DATABASE_URL"],
        mode=value["KANGDOCK_MODE"],
        public_url=value["PUBLIC_URL"],
        host=value["HOST"],
        port=value["PORT"],
        health_host=value["INGEST_HEALTH_HOST"],
        health_port=value["INGEST_HEALTH_PORT"],
        mqtt=Mqtt(
            host=value["MQTT_HOST"],
            port=value["MQTT_PORT"],
            client_id=value["MQTT_CLIENT_ID"],
            username=value["MQTT_USERNAME"],
            password=value["MQTT_PASSWORD"],
            tls=value["MQTT_TLS"],
            tls_ca=value["MQTT_TLS_CA"],
        ),
        rules=value["KANGDOCK_RULES"],
        influx=Influx(
            url=value["INFLUXDB_URL"],
            token=value["INFLUXDB_TOKEN"],
            org=value["INFLUXDB_ORG"],
            bucket=value["INFLUXDB_BUCKET"],
        )
        if value["INFLUXDB_URL"]
        else None,
    )


def _is_private(url: str) -> bool:
    # A browser treats loopback as secure; everything else needs TLS.
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in ("127.0.0.1", "localhost", "::1")


def _text(given: str) -> str:
    return given


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(given: str) -> str:
        # The URL itself is not repeated: it may hold a password.
        try:
            parts = urlsplit(given)
            usable = parts.scheme in schemes and bool(parts.hostname)
        except ValueError:
            usable = False
        if not usable:
            raise ValueError(f"is no URL of the form {schemes[0]}://host/...")
        try:
            _ = parts.port
        except ValueError:
            raise ValueError("has something else than a number from 1 to 65535 for its port") from None
        return given.rstrip("/")

    return parse


def _optional_url(given: str) -> str:
    return _url("http", "https")(given) if given else ""


def _rules(given: str) -> Path | None:
    if not given:
        return None
    if not Path(given).is_dir():
        raise ValueError(f"is {given!r}, which is no directory here")
    try:
        found = library(Path(given))
    except (ClinicalDataError, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"is {given!r}, where {error}") from error
    if not found:
        raise ValueError(f"is {given!r}, which holds no rule: copy the packaged *.toml there, or leave it unset")
    return Path(given)


def _certificates(given: str) -> str:
    if given:
        try:
            ssl.create_default_context(cafile=given)
        except OSError as error:
            raise ValueError(f"is {given!r}, which cannot be read as certificates: {error.strerror}") from error
    return given


def _here(given: str) -> str:
    """A name or address to listen at; whether it is this machine's shows when it is opened."""
    try:
        socket.getaddrinfo(given, None)
    except (OSError, UnicodeError) as error:
        raise ValueError(f"is {given!r}, which is no address and no name that resolves") from error
    return given


def port(given: str) -> int:
    """A TCP port from its digits; raises ValueError."""
    if not given.isdecimal() or not 0 < int(given) < 65536:
        raise ValueError(f"is {given!r}, not a port number from 1 to 65535")
    return int(given)


def _mode(given: str) -> Mode:
    if given not in [mode.value for mode in Mode]:
        raise ValueError(f"is {given!r}, not {' or '.join(Mode)}")
    return Mode(given)


def _yes_or_no(given: str) -> bool:
    if given not in ("yes", "no"):
        raise ValueError(f"is {given!r}, not yes or no")
    return given == "yes"


def _client_id(given: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", given):
        raise ValueError(f"is {given!r}, not 1 to 64 letters, digits and hyphens")
    return given


SETTINGS = (
    Setting(
        name="DATABASE_URL",
        default=None,
        parse=_url("postgresql"),
        means="the ledger: postgresql://user@host:5432/name",
    ),
    Setting(
        name="KANGDOCK_MODE",
        default="production",
        parse=_mode,
        means="production, or demo: unsigned rules may raise tasks",
    ),
    Setting(
        name="PUBLIC_URL",
        default="http://127.0.0.1:8000",
        parse=_url("https", "http"),
        means="what people type into their browser",
    ),
    Setting(
        name="KANGDOCK_RULES",
        default="",
        parse=_rules,
        means="the chain's own copy of the clinical rules, signed; without it the packaged ones",
    ),
    Setting(name="HOST", default="127.0.0.1", parse=_here, means="where `serve` listens"),
    Setting(name="PORT", default="8000", parse=port, means="where `serve` listens"),
    Setting(name="INGEST_HEALTH_HOST", default="127.0.0.1", parse=_here, means="`ingest`: /healthz, /metrics"),
    Setting(name="INGEST_HEALTH_PORT", default="8001", parse=port, means="`ingest`: /healthz, /metrics"),
    Setting(name="MQTT_HOST", default="127.0.0.1", parse=_text, means="the broker"),
    Setting(name="MQTT_PORT", default="1883", parse=port, means="the broker; 8883 with TLS"),
    Setting(
        name="MQTT_CLIENT_ID",
        default="kangdock-ingest-1",
        parse=_client_id,
        means="one per ingest process and always the same: the broker keeps its unacknowledged messages under it",
    ),
    Setting(name="MQTT_USERNAME", default="", parse=_text, means="the broker's login of the ingest"),
    Setting(name="MQTT_PASSWORD", default="", parse=_text, means="the broker's login of the ingest"),
    Setting(name="MQTT_TLS", default="no", parse=_yes_or_no, means="yes: encrypt, and check the broker's name"),
    Setting(
        name="MQTT_TLS_CA",
        default="",
        parse=_certificates,
        means="trusted certificates in a file; else the system's",
    ),
    Setting(
        name="INFLUXDB_URL",
        default="",
        parse=_optional_url,
        means="InfluxDB 1.8, 2.x or 3 Core; without it nothing is projected and `series rebuild` can do it later",
    ),
    Setting(name="INFLUXDB_TOKEN", default="", parse=_text, means="may write to the bucket"),
    Setting(name="INFLUXDB_ORG", default="kangdock", parse=_text, means="the organisation of the bucket"),
    Setting(name="INFLUXDB_BUCKET", default="kangdock", parse=_text, means="where the points go"),
)
"""Every variable the cloud reads. The deployment guide's table is made from this."""
