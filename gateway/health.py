"""How this gateway is: what waits, the disk, the clock, the transports, as one value for the screen and the cloud.

It measures and says; what to do about it is `gateway.doctor`'s to explain.
"""

import ctypes
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from gateway.board import Board
from gateway.buffer.outbox import OutboxStats
from gateway.wire.messages import Status

TIME_ERROR = 5
"""What adjtimex(2) returns while nothing has synchronised the clock."""
SYNCHRONISED = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd touches it at its first success; it may not report to the kernel on every system."""
WAITS_TOO_LONG_S = 900
"""Readings unsent for a quarter of an hour of opening time mean that the line is down, not slow."""


def software() -> str:
    """The installed version of Kangdock."""
    try:
        return version("kangdock")
    except PackageNotFoundError:
        return "unknown"


def clock_synchronised() -> bool:
    """Whether something (NTP, a time server) keeps this machine's clock right."""
    if SYNCHRONISED.exists():
        return True
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        # struct timex is 208 bytes on 64 bit; `modes` 0 (all zero) only asks.
        answer: int = libc.adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        return False  # no such call here: then nobody vouches for the clock
    return answer not in (-1, TIME_ERROR)


class Word(StrEnum):
    """The same three words as the cloud's. /healthz answers 503 to `failing` alone."""

    OK = "ok"
    DEGRADED = "degraded"  # readings are safe, and somebody should look
    FAILING = "failing"  # no new reading can be taken: no disk to keep it on, or no radio to hear it with


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The wire status, and what only this machine's own screen needs to know."""

    status: Status
    link: str = "connecting"  # the way to the cloud: connecting, up, refused, down
    parts_down: tuple[str, ...] = ()
    damaged: int = 0  # damaged outbox files and single readings, moved aside
    keep_free_mb: int = 0  # with less of the disk free the outbox refuses

    @property
    def word(self) -> Word:
        """How it is in one word."""
        status = self.status
        waits = status.oldest_unsent_s is not None and status.oldest_unsent_s > WAITS_TOO_LONG_S
        deaf = [state in ("absent", "failed") for state in status.transports.values()]
        full = status.disk_free_mb is not None and status.disk_free_mb < self.keep_free_mb
        refused = self.link == "refused"  # a line that is down mends itself; a refused login does not
        if full or (deaf and all(deaf)):
            return Word.FAILING
        return Word.DEGRADED if self.parts_down or self.damaged or waits or any(deaf) or refused else Word.OK

    def as_json(self) -> dict[str, Any]:
        """The body of /healthz."""
        status = self.status
        return {
            "status": self.word,
            "gateway": status.gateway,
            "version": status.software,
            "unsent": status.unsent,
            "oldest_unsent_s": status.oldest_unsent_s,
            "disk_free_mb": status.disk_free_mb,
            "clock_trusted": status.clock_trusted,
            "uplink": self.link,
            "transports": status.transports,
            "parts_down": list(self.parts_down),
            "damaged": self.damaged,
        }

    def as_metrics(self, *, saved: int, received: int) -> bytes:
        """The body of /metrics."""
        registry = CollectorRegistry()
        status = self.status

        def gauge(name: str, text: str, value: float) -> None:
            Gauge(f"kangdock_gateway_{name}", text, registry=registry).set(value)

        def counter(name: str, text: str, value: int) -> None:
            Counter(f"kangdock_gateway_{name}", text, registry=registry).inc(value)

        gauge("unsent_readings", "Readings on this disk without the cloud's receipt", status.unsent)
        gauge("oldest_unsent_seconds", "Age of the oldest of them", status.oldest_unsent_s or 0)
        gauge("disk_free_megabytes", "Free where the outbox lives", status.disk_free_mb or 0)
        gauge("clock_trusted", "1 if something keeps this clock right", status.clock_trusted)
        counter("saved_readings", "Readings saved since the start", saved)
        counter("received_readings", "Readings receipted since the start", received)
        gauge("uplink_up", "1 while the broker holds our connection", self.link == "up")
        gauge("parts_down", "Parts that crashed and wait to be started again", len(self.parts_down))
        gauge("outbox_damaged", "Damaged outbox files and readings moved aside", self.damaged)
        transports = Gauge(
            "kangdock_gateway_transport_ok", "1 if this transport works", ("transport",), registry=registry
        )
        for name, state in status.transports.items():
            transports.labels(name).set(state == "ok")
        Gauge("kangdock_gateway_build_info", "1", ("version",), registry=registry).labels(status.software).set(1)
        return generate_latest(registry)


def status(
    gateway: str,
    stats: OutboxStats,
    board: Board,
    *,
    started: datetime,
    now: datetime,
    clock_trusted: bool,
    online: bool = True,
) -> Status:
    """The status message as of `now`."""
    oldest = stats.oldest_unsent_at
    return Status(
        gateway=gateway,
        online=online,
        at=now,
        started=started,
        software=software(),
        unsent=stats.unsent,
        oldest_unsent_s=None if oldest is None else max(0, int((now - oldest).total_seconds())),
        disk_free_mb=stats.disk_free_mb,
        clock_trusted=clock_trusted,
        transports=board.transports,
        meters=board.meters,
    )
