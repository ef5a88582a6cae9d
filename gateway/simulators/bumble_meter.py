"""A virtual meter on the air: serves a `VirtualMeter` through a bumble peripheral, faults included.

What the meter says is the meter's business (`glucose_meter`, `pressure_cuff`); this only moves its bytes.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any

from bumble import hci
from bumble.att import ATT_Error, Attribute, AttributeValue
from bumble.core import UUID, AdvertisingData
from bumble.device import Connection, Device
from bumble.gatt import (
    GATT_CLIENT_CHARACTERISTIC_CONFIGURATION_DESCRIPTOR,
    Descriptor,
    Service,
)
from bumble.gatt import Characteristic as BumbleCharacteristic
from bumble.keys import PairingKeys
from bumble.link import LocalLink
from bumble.pairing import PairingDelegate

from gateway.simulators.air import BONDING_KEYS, LONGEST_ADVERTISEMENT, radio, unplug
from gateway.simulators.meter import Characteristic, Declined, Outgoing, Security, VirtualMeter

ADVERTISING_INTERVAL_MS = 60.0
"""Meters advertise every 20 to 100 ms right after a measurement; much slower and a demo feels asleep."""
MEASUREMENTS = frozenset({"2a18", "2a35", "2a1c"})
"""The channels of what was stored, besides a meter's own `measurement_channels`: they count for `delivered` and
for `Faults.lose_link_after`."""

_PROPERTIES = {
    "read": BumbleCharacteristic.Properties.READ,
    "write": BumbleCharacteristic.Properties.WRITE,
    "write_without_response": BumbleCharacteristic.Properties.WRITE_WITHOUT_RESPONSE,
    "notify": BumbleCharacteristic.Properties.NOTIFY,
    "indicate": BumbleCharacteristic.Properties.INDICATE,
}


class BumbleMeter:
    """One virtual meter within reach. It stops advertising once a central has hung up in good order."""

    def __init__(
        self,
        meter: VirtualMeter,
        *,
        keeps_advertising: bool = False,
        overheard: Callable[[bytes], None] = lambda data: None,
    ) -> None:
        """`overheard` is told whatever has been sent, and confirmed where that is asked for."""
        self.meter = meter
        self.links_lost = 0  # by `lose_link_after`
        self.passkeys_shown = 0
        self.pairings = 0
        self.connections = 0
        self.delivered = asyncio.Event()  # set when what was stored has been sent, cleared by the next call
        self._keeps_advertising = keeps_advertising
        self._overheard = overheard
        self._is_off = False
        self._device: Device | None = None
        self._air: LocalLink | None = None
        self._connection: Connection | None = None
        self._characteristics: dict[str, BumbleCharacteristic[bytes]] = {}
        self._subscribed: set[str] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self._until_loss = meter.faults.lose_link_after
        self._measurements = MEASUREMENTS | meter.measurement_channels()

    async def power_on(self, air: LocalLink) -> None:
        """Puts the meter on the air, not advertising yet."""
        self._air = air
        self._device = await radio(
            air,
            name=self.meter.name,
            address=self.meter.address,
            delegate=_Display(self),
            mitm=self.meter.security is Security.PASSKEY,
        )
        self._device.add_services(self._services(self._device))
        self._device.on("connection", self._on_connection)

    async def power_off(self) -> None:
        """Takes the meter off the air in mid-sentence."""
        for task in self._sending:
            task.cancel()
        if self._air is not None and self._device is not None:
            await self._drop_link()
            unplug(self._air, self._device)

    async def advertise(self) -> None:
        """Calls for a central, as a meter does after a measurement; does nothing while one is connected."""
        self.delivered.clear()
        self._is_off = False
        if self._connection is not None or self._device is None:
            return
        called, scan_response = advertisement(self.meter.name, self.meter.advertised)
        await self._device.start_advertising(
            advertising_data=called,
            scan_response_data=scan_response,
            advertising_interval_min=ADVERTISING_INTERVAL_MS,
            advertising_interval_max=ADVERTISING_INTERVAL_MS,
        )

    @property
    def is_idle(self) -> bool:
        """Whether nobody is connected to it."""
        return self._connection is None

    @property
    def is_listened_to(self) -> bool:
        """Whether whoever is connected has subscribed to what it measures."""
        return not self._subscribed.isdisjoint(self._measurements)

    def speak(self) -> None:
        """The meter was used while somebody listens: it says what it has to say by itself."""
        if self._connection is not None:
            outgoing = self.meter.on_subscribed(frozenset(self._subscribed))
            self._run(self._send(self._connection, outgoing))

    async def switch_off(self) -> None:
        """Somebody switched it off: it hangs up and does not call any more."""
        self._is_off = True
        await self.hush()
        await self._drop_link()

    async def hush(self) -> None:
        """Stops advertising."""
        if self._device is not None:
            await self._device.stop_advertising()

    def lose_link_after(self, measurements: int | None) -> None:
        """The link will drop once, after so many more of them were sent; None: it will not."""
        self._until_loss = measurements

    async def forget_bond(self) -> None:
        """Loses the keys, as a meter does that was reset."""
        if self._device is not None and self._device.keystore is not None:
            await self._device.keystore.delete_all()

    # --- the link --------------------------------------------------------------------------------------------

    def _on_connection(self, connection: Connection) -> None:
        self._connection = connection
        self.connections += 1
        connection.on("disconnection", lambda reason: self._on_disconnection(reason))
        connection.on("pairing", lambda keys: self._on_pairing(connection, keys))

    def _on_pairing(self, connection: Connection, keys: PairingKeys) -> None:
        self.pairings += 1
        proven = keys.ltk is not None and keys.ltk.authenticated
        if self.meter.security is Security.PASSKEY and not proven:
            # bumble lets a client without a keyboard talk it down to just works; a meter with a display refuses.
            self._run(self._refuse_bond(connection))

    async def _refuse_bond(self, connection: Connection) -> None:
        await self.forget_bond()
        await connection.disconnect(hci.HCI_AUTHENTICATION_FAILURE_ERROR)

    def _on_disconnection(self, reason: int) -> None:
        for task in self._sending:
            task.cancel()
        self._connection = None
        self._subscribed.clear()
        self.meter.on_link_lost()
        hung_up = reason == hci.HCI_REMOTE_USER_TERMINATED_CONNECTION_ERROR
        if (self._keeps_advertising or not hung_up) and not self._is_off:
            self._run(self.advertise())

    async def _drop_link(self) -> None:
        if self._connection is not None:
            await self._connection.disconnect(hci.HCI_REMOTE_DEVICE_TERMINATED_CONNECTION_DUE_TO_POWER_OFF_ERROR)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    # --- the GATT table --------------------------------------------------------------------------------------

    def _services(self, device: Device) -> Iterable[Service]:
        by_service: dict[str, list[BumbleCharacteristic[bytes]]] = defaultdict(list)
        for row in self.meter.characteristics():
            by_service[row.service].append(self._characteristic(device, row))
        return [Service(UUID(service), rows) for service, rows in by_service.items()]

    def _characteristic(self, device: Device, row: Characteristic) -> BumbleCharacteristic[bytes]:
        properties = BumbleCharacteristic.Properties(0)
        for word in row.properties:
            properties |= _PROPERTIES[word]
        guarded = row.protected and self.meter.security is not Security.NONE
        permissions = Attribute.READABLE | Attribute.WRITEABLE
        if guarded:
            permissions |= (
                Attribute.Permissions.READ_REQUIRES_ENCRYPTION | Attribute.Permissions.WRITE_REQUIRES_ENCRYPTION
            )
        made: BumbleCharacteristic[bytes] = BumbleCharacteristic(
            UUID(row.channel), properties, permissions, self._value(row)
        )
        if row.properties & {"notify", "indicate"}:
            table = device.gatt_server
            cccd = Descriptor(
                GATT_CLIENT_CHARACTERISTIC_CONFIGURATION_DESCRIPTOR, permissions, table.make_descriptor_value(made)
            )
            made.descriptors = [cccd]
            made.on("subscription", lambda _, notify, indicate: self._on_cccd(row.channel, notify or indicate))
        self._characteristics[row.channel] = made
        return made

    def _value(self, row: Characteristic) -> AttributeValue[bytes]:
        return AttributeValue(
            read=(lambda _: self.meter.read(row.channel)) if "read" in row.properties else None,
            write=(lambda link, data: self._on_write(link, row.channel, data))
            if row.properties & {"write", "write_without_response"}
            else None,
        )

    def _on_cccd(self, channel: str, on: bool) -> None:
        if not on:
            self._subscribed.discard(channel)
        elif channel not in self._subscribed and self._connection is not None:
            self._subscribed.add(channel)
            subscribed = frozenset(self._subscribed)
            self._run(self._send(self._connection, self.meter.on_subscribed(subscribed)))

    def _on_write(self, connection: Connection, channel: str, data: bytes) -> None:
        try:
            outgoing = self.meter.write(channel, bytes(data), frozenset(self._subscribed))
        except Declined as declined:
            raise ATT_Error(declined.code) from None
        self._run(self._send(connection, outgoing))

    async def _send(self, connection: Connection, outgoing: Iterator[Outgoing]) -> None:
        sent = 0
        for message in outgoing:
            if self.meter.faults.pause_s:
                await asyncio.sleep(self.meter.faults.pause_s)
            if message.channel in self._measurements and self._until_loss is not None:
                if self._until_loss == 0:
                    self._until_loss = None
                    self.links_lost += 1
                    self._run(self._drop_link())
                    return
                self._until_loss -= 1
            if message.channel not in self._subscribed or self._device is None:
                continue
            sent += message.channel in self._measurements
            characteristic = self._characteristics[message.channel]
            if message.indicate:
                await self._device.indicate_subscriber(connection, characteristic, message.data)
                self.meter.on_confirmed(message)
            else:
                await self._device.notify_subscriber(connection, characteristic, message.data)
            self._overheard(message.data)
        if sent:
            self.delivered.set()


def advertisement(name: str, services: Iterable[str]) -> tuple[bytes, bytes]:
    """What a meter calls, and its scan response: there a name goes for which the services leave no room."""
    rows = [(AdvertisingData.FLAGS, b"\x06")]
    uuids = [UUID(service).to_bytes() for service in services]
    for size, kind in (
        (2, AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS),
        (16, AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS),
    ):
        if listed := b"".join(uuid for uuid in uuids if len(uuid) == size):
            rows.append((kind, listed))
    called = (AdvertisingData.COMPLETE_LOCAL_NAME, name.encode())
    whole = bytes(AdvertisingData([*rows, called]))
    if len(whole) <= LONGEST_ADVERTISEMENT:
        return whole, b""
    return bytes(AdvertisingData(rows)), bytes(AdvertisingData([called]))


class _Display(PairingDelegate):
    """The meter's side of pairing: shows a passkey where it has a display."""

    def __init__(self, owner: BumbleMeter) -> None:
        capability = (
            PairingDelegate.DISPLAY_OUTPUT_ONLY
            if owner.meter.security is Security.PASSKEY
            else PairingDelegate.NO_OUTPUT_NO_INPUT
        )
        super().__init__(capability, BONDING_KEYS, BONDING_KEYS)
        self._owner = owner

    async def generate_passkey(self) -> int:
        """The one on the meter's display."""
        return self._owner.meter.passkey

    async def display_number(self, number: int, digits: int) -> None:
        """Counts how often a person would have had to look."""
        self._owner.passkeys_shown += 1
