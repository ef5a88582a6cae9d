"""What a gateway takes of the machine it runs on: the disk of its outbox, the screen's port, signals, systemd.

What it does with them is `gateway.app`'s.
"""

import asyncio
import os
import signal
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from gateway.buffer.outbox import Limits, Outbox, OutboxInUse, OutboxTooNew
from gateway.config import Config

MB = 1024 * 1024


class CannotStart(RuntimeError):
    """Something outside the settings file is in the way; the message says what and what to do."""


class OutboxFailed(RuntimeError):
    """The disk under the outbox fails. Nothing may be read from a meter that cannot be kept: the gateway stops."""


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Outbox]:
    """The outbox of these settings; raises CannotStart or OutboxFailed."""
    try:
        outbox = await Outbox.open(
            config.data_directory,
            gateway=config.gateway,
            limits=Limits(
                max_bytes=config.outbox.max_mb * MB,
                journal_max_bytes=config.outbox.journal_max_mb * MB,
                reserve_free_bytes=config.outbox.keep_free_mb * MB,
            ),
        )
    except (OutboxInUse, OutboxTooNew) as error:
        raise CannotStart(str(error)) from None
    except OSError as error:
        raise CannotStart(
            f"the data directory {config.data_directory} cannot be used ({error.strerror}); "
            "make it writable for this user, or change gateway.data_directory"
        ) from None
    except sqlite3.Error as error:
        raise OutboxFailed(f"the disk under {config.data_directory} fails ({error}); replace the card") from None
    try:
        yield outbox
    finally:
        await outbox.close()


def listen(host: str, port: int) -> socket.socket:
    """The screen's socket, taken before anything else so that a second gateway gets no further than here."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise CannotStart(
            f"the dock screen cannot listen on {host}:{port} ({error.strerror}); "
            "is another gateway running? Else change screen.port"
        ) from None
    return listener


@contextmanager
def stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """SIGINT and SIGTERM set `stop`."""
    loop = asyncio.get_running_loop()
    for one in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(one, stop.set)
    try:
        yield
    finally:
        for one in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(one)


def tell_systemd(message: str) -> None:
    """sd_notify(3) in six lines; does nothing where systemd is not listening."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line, suppress(OSError):
        line.sendto(message.encode(), address)
