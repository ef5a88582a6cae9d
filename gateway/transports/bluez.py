"""BlueZ over D-Bus, for what bleak has no call for: the adapter's power, lines nobody owns, devices nobody needs.

When to do which is `ble`'s to decide; pairing's questions are answered by `agent`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from bleak.exc import BleakDBusError
from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from gateway.transports.uuids import short_uuid

log = logging.getLogger(__name__)

BLUEZ = "org.bluez"
ADAPTER1, DEVICE1 = "org.bluez.Adapter1", "org.bluez.Device1"
PROPERTIES, OBJECT_MANAGER = "org.freedesktop.DBus.Properties", "org.freedesktop.DBus.ObjectManager"

BUS_TIMEOUT_S = 5.0
"""BlueZ answers these within milliseconds, or has stopped answering; an orderly disconnect takes its 2 s."""
OFF_FOR_S = 1.0
"""Between power off and on: long enough for a USB adapter to lose its state."""
UNHEARD_FOR_S = 24 * 3600.0
"""A meter that is used is heard every day; what was not is a passer-by, or comes back as new."""
HID = frozenset({"1812", "1124"})
"""A keyboard or a barcode scanner: the operating system's line, never ours to cut."""

Objects: TypeAlias = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Properties by object path and interface."""


class BluezError(OSError):
    """BlueZ said no, or nothing; `word` is the last word of its error's name."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


class NoAdapter(BluezError):
    """There is no such adapter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One device BlueZ knows."""

    path: str
    address: str
    name: str
    services: frozenset[str]
    paired: bool
    connected: bool


def adapters(objects: Objects) -> dict[str, Mapping[str, Any]]:
    """Properties of the adapters by name (hci0), in the order BlueZ numbers them."""
    found = {path.rpartition("/")[2]: one[ADAPTER1] for path, one in objects.items() if ADAPTER1 in one}
    return {name: found[name] for name in sorted(found, key=lambda name: (len(name), name))}


def devices(objects: Objects, adapter: str) -> list[Known]:
    """What BlueZ knows on `adapter`."""
    return [
        Known(
            path=path,
            address=str(one[DEVICE1].get("Address", "")),
            name=str(one[DEVICE1].get("Name", "")),
            services=frozenset(map(short_uuid, one[DEVICE1].get("UUIDs", ()))),
            paired=bool(one[DEVICE1].get("Paired") or one[DEVICE1].get("Bonded")),
            connected=bool(one[DEVICE1].get("Connected")),
        )
        for path, one in objects.items()
        if DEVICE1 in one and one[DEVICE1].get("Adapter") == f"/org/bluez/{adapter}"
    ]


def stale(known: Iterable[Known], is_meter: Callable[[Known], bool], ours: Collection[str]) -> list[Known]:
    """Meters that are connected and nobody reads: a program was killed in mid-sentence, and BlueZ keeps its lines.

    Such a meter never calls again. `ours` are the addresses of the lines this gateway has open.
    """
    return [
        one
        for one in known
        if one.connected and one.address not in ours and not one.services & HID and is_meter(one)
    ]


def unneeded(known: Iterable[Known], heard_at: Mapping[str, float], *, since: float, now: float) -> list[Known]:
    """Devices without a bond or a line that were not heard for a day; `since` is when listening began.

    BlueZ keeps every device it was once connected to, on disk, and looks through all of them at every sighting.
    """
    return [
        one
        for one in known
        if not one.paired and not one.connected and now - heard_at.get(one.address, since) > UNHEARD_FOR_S
    ]


class Bluez:
    """One adapter, by name or the first there is. Every call is bounded and raises BluezError."""

    def __init__(self, adapter: str = "") -> None:
        self._adapter = adapter

    async def ready(self, is_meter: Callable[[Known], bool], ours: Collection[str]) -> int:
        """Switches the adapter on and hangs up what a killed program left open; how many. Raises NoAdapter."""
        async with system_bus() as bus:
            found = await managed(bus)
            name = self._named(found)
            if not adapters(found)[name].get("Powered"):
                await _power(bus, name, on=True)
            left = stale(devices(found, name), is_meter, ours)
            await _hang_up(bus, left)
            return len(left)

    async def power_cycle(self) -> None:
        """Off and on again: ends every discovery and every line, whoever began it."""
        async with system_bus() as bus:
            name = self._named(await managed(bus))
            try:
                await _power(bus, name, on=False)
                await asyncio.sleep(OFF_FOR_S)
            finally:
                await _power(bus, name, on=True)

    async def hang_up(self, path: str) -> None:
        """Ends a device's line, or an attempt at one, whoever began it."""
        async with system_bus() as bus:
            await call(bus, path, DEVICE1, "Disconnect")

    async def tidy(
        self,
        is_meter: Callable[[Known], bool],
        ours: Collection[str],
        heard_at: dict[str, float],
        since: float,
        now: float,
    ) -> int:
        """Hangs up stale lines, removes unneeded devices and returns how many; forgets when others were heard."""
        async with system_bus() as bus:
            found = await managed(bus)
            name = self._named(found)
            known = devices(found, name)
            await _hang_up(bus, stale(known, is_meter, ours))
            gone = unneeded(known, heard_at, since=since, now=now)
            for one in gone:
                with suppress(BluezError):  # it went by itself
                    await call(bus, f"/org/bluez/{name}", ADAPTER1, "RemoveDevice", "o", [one.path])
        kept = {one.address for one in known} - {one.address for one in gone}
        for address in heard_at.keys() - kept:
            del heard_at[address]
        return len(gone)

    def _named(self, found: Objects) -> str:
        there = adapters(found)
        name = self._adapter or next(iter(there), "")
        if name not in there:
            raise NoAdapter("NoAdapter")
        return name


async def _hang_up(bus: MessageBus, lines: Iterable[Known]) -> None:
    for one in lines:
        log.info("ble.stale_line_ended")
        with suppress(BluezError):  # it went by itself
            await call(bus, one.path, DEVICE1, "Disconnect")


async def _power(bus: MessageBus, name: str, *, on: bool) -> None:
    await call(bus, f"/org/bluez/{name}", PROPERTIES, "Set", "ssv", [ADAPTER1, "Powered", Variant("b", on)])


@asynccontextmanager
async def system_bus() -> AsyncIterator[MessageBus]:
    """A connection of one's own; raises BluezError("NoBus")."""
    bus = MessageBus(bus_type=BusType.SYSTEM)
    try:
        try:
            async with asyncio.timeout(BUS_TIMEOUT_S):
                await bus.connect()
        except Exception:  # dbus-fast raises whatever the socket, the file or the handshake did
            raise BluezError("NoBus") from None
        yield bus
    finally:
        bus.disconnect()


async def call(
    bus: MessageBus, path: str, interface: str, member: str, signature: str = "", body: Sequence[Any] = ()
) -> list[Any]:
    """What BlueZ answers; raises BluezError with its word, NoReply where it says nothing."""
    message = Message(
        destination=BLUEZ, path=path, interface=interface, member=member, signature=signature, body=list(body)
    )
    try:
        async with asyncio.timeout(BUS_TIMEOUT_S):
            reply = await bus.call(message)
    except (TimeoutError, EOFError, OSError):
        raise BluezError("NoReply") from None
    if reply is None:
        raise BluezError("NoReply")
    if reply.message_type is MessageType.ERROR:
        raise BluezError((reply.error_name or "NoReply").rpartition(".")[2])
    return list(reply.body)


async def managed(bus: MessageBus) -> Objects:
    """Everything BlueZ has; raises BluezError, with ServiceUnknown where BlueZ is not running."""
    (found,) = await call(bus, "/", OBJECT_MANAGER, "GetManagedObjects")
    return {
        path: {
            interface: {name: value.value for name, value in properties.items()}
            for interface, properties in interfaces.items()
        }
        for path, interfaces in found.items()
    }


def word_of(error: Exception) -> str:
    """BlueZ's word for an error, its own or bleak's; else the error's class."""
    match error:
        case BleakDBusError():
            return error.dbus_error.rpartition(".")[2]
        case BluezError():
            return error.word
        case _:
            return type(error).__name__
