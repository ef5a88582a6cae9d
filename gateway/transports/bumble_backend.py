"""A bleak backend on bumble: lets the same `ble` transport run where there is no Bluetooth at all.

It knows nothing of meters. Its errors are bleak's own, so that `ble` maps one set; what it cannot show is BlueZ's
behaviour on D-Bus, which is `simulators.bluez`'s to imitate.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from bleak.args import SizedBuffer
from bleak.assigned_numbers import CharacteristicPropertyName
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, AdvertisementDataCallback, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError, BleakGATTProtocolError, BleakGATTProtocolErrorCode
from bumble import hci
from bumble.att import ATT_Error
from bumble.core import UUID, AdvertisingData, BaseBumbleError, ProtocolError
from bumble.device import Advertisement, Connection, Device, Peer
from bumble.gatt_client import CharacteristicProxy
from bumble.pairing import PairingDelegate

_PROPERTIES: tuple[tuple[CharacteristicPropertyName, int], ...] = (
    ("read", 0x02),
    ("write-without-response", 0x04),
    ("write", 0x08),
    ("notify", 0x10),
    ("indicate", 0x20),
)

LARGEST_MTU = 517
"""What BlueZ asks every meter for: a notification may then carry more than 20 bytes."""


class Typist(PairingDelegate):
    """The gateway's side of pairing: types the passkey kept for this meter, or has no keyboard at all."""

    def __init__(self, passkeys: Mapping[str, int], keys: PairingDelegate.KeyDistribution) -> None:
        super().__init__(
            PairingDelegate.KEYBOARD_INPUT_ONLY if passkeys else PairingDelegate.NO_OUTPUT_NO_INPUT, keys, keys
        )
        self.asked = 0
        self.pairing_with = ""
        self._passkeys = passkeys

    async def get_number(self) -> int | None:
        """The passkey of the meter being paired; None declines."""
        self.asked += 1
        return self._passkeys.get(self.pairing_with)


class BumbleScanner(BaseBleakScanner):
    """bleak's scanner on a bumble radio, given as the keyword argument `radio`."""

    def __init__(
        self,
        detection_callback: AdvertisementDataCallback | None,
        service_uuids: list[str] | None,
        scanning_mode: str,
        *,
        radio: Device,
        **_: Any,
    ) -> None:
        super().__init__(detection_callback, service_uuids)
        self._radio = radio

    async def start(self) -> None:
        """See BaseBleakScanner."""
        self.seen_devices = {}
        self._radio.on("advertisement", self._on_advertisement)
        await self._radio.start_scanning(filter_duplicates=False)

    async def stop(self) -> None:
        """See BaseBleakScanner."""
        self._radio.remove_listener("advertisement", self._on_advertisement)
        await self._radio.stop_scanning()

    def _on_advertisement(self, advertisement: Advertisement) -> None:
        services = service_uuids(advertisement.data)
        if not self.is_allowed_uuid(services):
            return
        name = advertisement.data.get(AdvertisingData.COMPLETE_LOCAL_NAME)
        name = str(name) if name else None
        data = AdvertisementData(
            local_name=name,
            manufacturer_data={},
            service_data={},
            service_uuids=services,
            tx_power=None,
            rssi=advertisement.rssi,
            platform_data=(advertisement,),
        )
        address = advertisement.address.to_string(with_type_qualifier=False)
        device = self.create_or_update_device(address, address, name, {"address": advertisement.address}, data)
        self.call_detection_callbacks(device, data)


class BumbleClient(BaseBleakClient):
    """bleak's client on a bumble radio (`radio`), which pairs as `typist` does."""

    def __init__(
        self,
        address_or_ble_device: BLEDevice | str,
        *,
        disconnected_callback: Callable[[], None] | None,
        timeout: float,
        radio: Device,
        typist: Typist,
        **_: Any,
    ) -> None:
        super().__init__(address_or_ble_device, disconnected_callback=disconnected_callback, timeout=timeout)
        self._radio = radio
        self._typist = typist
        self._connection: Connection | None = None
        self._peer: Peer | None = None

    @property
    def name(self) -> str:
        """See BaseBleakClient."""
        return self.address

    @property
    def mtu_size(self) -> int:
        """See BaseBleakClient."""
        return self._connection.att_mtu if self._connection else 23

    @property
    def is_connected(self) -> bool:
        """See BaseBleakClient."""
        return self._connection is not None

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        """See BaseBleakClient."""
        try:
            connection = await self._radio.connect_le(hci.Address(self.address), timeout=self._timeout)
        except (BaseBumbleError, hci.HCI_Error, TimeoutError) as error:
            raise TimeoutError(f"no connection: {error}") from None
        except asyncio.CancelledError:
            # bumble leaves the radio calling; the meter would be answered later by nobody.
            await self._radio.send_sync_command(hci.HCI_LE_Create_Connection_Cancel_Command())
            raise
        connection.on("disconnection", self._on_disconnection)
        self._connection = connection
        self._peer = Peer(connection)
        try:
            await self._peer.request_mtu(LARGEST_MTU)
            if await self._is_bonded():
                await self._encrypt(connection)
            await self._discover(self._peer)
        except BaseException:
            await self.disconnect()
            raise

    async def disconnect(self) -> None:
        """See BaseBleakClient."""
        connection = self._connection
        if connection is not None:
            await connection.disconnect(hci.HCI_REMOTE_USER_TERMINATED_CONNECTION_ERROR)
            self._on_disconnection(0)

    async def pair(self, *args: Any, **kwargs: Any) -> None:
        """See BaseBleakClient; the bond is the radio's and survives this client."""
        connection = self._link()
        if connection.is_encrypted:
            return
        self._typist.pairing_with = self.address
        try:
            await connection.cancel_on_disconnection(connection.pair())
        except (ProtocolError, asyncio.CancelledError) as error:
            if _cancelled_by_caller(error):
                raise
            raise BleakError("AuthenticationFailed" if self.is_connected else "Not connected") from None

    async def unpair(self) -> None:
        """See BaseBleakClient."""
        await self.disconnect()
        if self._radio.keystore is not None:
            await self._radio.keystore.delete(self._key())

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        """See BaseBleakClient."""
        return bytearray(await self._call(characteristic.obj.read_value()))

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        """See BaseBleakClient."""
        return bytearray(await self._call(descriptor.obj.read_value()))

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        """See BaseBleakClient."""
        await self._call(characteristic.obj.write_value(bytes(data), with_response=response))

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: SizedBuffer) -> None:
        """See BaseBleakClient."""
        await self._call(descriptor.obj.write_value(bytes(data), with_response=True))

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        """See BaseBleakClient."""
        await self._call(characteristic.obj.subscribe(lambda data: callback(bytearray(data))))

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """See BaseBleakClient."""
        await self._call(characteristic.obj.unsubscribe(force=True))

    # --- below the surface -----------------------------------------------------------------------------------

    def _link(self) -> Connection:
        if self._connection is None:
            raise BleakError("Not connected")
        return self._connection

    def _key(self) -> str:
        return str(hci.Address(self.address))

    async def _is_bonded(self) -> bool:
        keystore = self._radio.keystore
        return keystore is not None and await keystore.get(self._key()) is not None

    async def _encrypt(self, connection: Connection) -> None:
        try:
            await connection.encrypt()
        except hci.HCI_Error as error:
            # BlueZ never says so in words: it loops until its own time is up (see simulators.bluez).
            raise TimeoutError(f"the meter no longer knows this gateway: {error}") from None

    async def _call(self, call: Any) -> Any:
        connection = self._link()
        try:
            return await connection.cancel_on_disconnection(call)
        except ATT_Error as error:
            raise BleakGATTProtocolError(BleakGATTProtocolErrorCode(error.error_code)) from None
        except (BaseBumbleError, asyncio.CancelledError) as error:
            if _cancelled_by_caller(error):
                raise
            raise BleakError(f"Not connected: {error!r}") from None

    def _on_disconnection(self, _reason: int) -> None:
        if self._connection is None:
            return
        self._connection = self._peer = self.services = None
        if self._disconnected_callback is not None:
            self._disconnected_callback()

    async def _discover(self, peer: Peer) -> None:
        collection = BleakGATTServiceCollection()
        for found in await peer.discover_services():
            service = BleakGATTService(found, found.handle, _full(found.uuid))
            collection.add_service(service)
            for proxy in await found.discover_characteristics():
                collection.add_characteristic(self._characteristic(proxy, service))
        self.services = collection

    def _characteristic(
        self, proxy: "CharacteristicProxy[bytes]", service: BleakGATTService
    ) -> BleakGATTCharacteristic:
        words: list[CharacteristicPropertyName] = [word for word, bit in _PROPERTIES if proxy.properties & bit]
        return BleakGATTCharacteristic(
            proxy, proxy.handle, _full(proxy.uuid), words, lambda: self.mtu_size - 3, service
        )


def _cancelled_by_caller(error: BaseException) -> bool:
    # bumble cancels what was pending when a link goes; only a task that was asked to end counts a cancellation.
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _full(uuid: UUID) -> str:
    return uuid.to_hex_str("-").lower() if len(uuid.uuid_bytes) == 16 else _from_16(uuid.to_hex_str())


def _from_16(short: str) -> str:
    return f"0000{short.lower()}-0000-1000-8000-00805f9b34fb"


def service_uuids(data: AdvertisingData) -> list[str]:
    """The full UUIDs of the services an advertisement lists."""
    uuids: list[str] = []
    for kind in (
        AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
        AdvertisingData.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
        AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS,
    ):
        for listed in data.get_all(kind):
            uuids += [_full(uuid) for uuid in listed] if isinstance(listed, list) else []
    return uuids
