"""The services of connected devices on our own `org.bluez`: shown as objects, read, written and listened to.

Connections, bonds and the agent are `bluez`'.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.exc import BleakError, BleakGATTProtocolError, BleakGATTProtocolErrorCode
from dbus_fast import Message, Variant

from gateway.simulators.bluez_objects import Answer, BlueZError, Objects
from gateway.transports.bumble_backend import BumbleClient

DEVICE1 = "org.bluez.Device1"
SERVICE1, CHARACTERISTIC1 = "org.bluez.GattService1", "org.bluez.GattCharacteristic1"
PROTECTED = (
    BleakGATTProtocolErrorCode.INSUFFICIENT_ENCRYPTION,
    BleakGATTProtocolErrorCode.INSUFFICIENT_AUTHENTICATION,
)


class Gatt:
    """GATT of `clients`, the connected devices by object path. `ask_agent` makes one call to BlueZ's agent."""

    def __init__(
        self,
        objects: Objects,
        clients: Mapping[str, BumbleClient],
        ask_agent: Callable[[str, str], Awaitable[list[Any] | None]],
    ) -> None:
        self._objects = objects
        self._clients = clients
        self._ask_agent = ask_agent
        self._listeners: dict[str, str] = {}  # bus names, by the characteristic they listen to

    def show(self, path: str, client: BumbleClient) -> None:
        """The services of a connected device appear."""
        for service in client.services or ():
            service_path = f"{path}/service{service.handle:04x}"
            row = {
                "UUID": Variant("s", service.uuid),
                "Device": Variant("o", path),
                "Primary": Variant("b", True),
            }
            self._objects.add(service_path, SERVICE1, row)
            for characteristic in service.characteristics:
                row = {
                    "UUID": Variant("s", characteristic.uuid),
                    "Service": Variant("o", service_path),
                    "Flags": Variant("as", list(characteristic.properties)),
                    "Notifying": Variant("b", False),
                    "MTU": Variant("q", client.mtu_size),
                }
                self._objects.add(f"{service_path}/char{characteristic.handle:04x}", CHARACTERISTIC1, row)
        self._objects.change(path, DEVICE1, ServicesResolved=Variant("b", True))

    def forget(self, path: str) -> None:
        """They disappear."""
        for below in self._objects.below(path):
            self._objects.drop(below)
            self._listeners.pop(below, None)

    async def client_gone(self, name: str) -> None:
        """Nobody is listened for who is gone: BlueZ writes as much to the meter at once."""
        for path in [path for path, listener in self._listeners.items() if listener == name]:
            del self._listeners[path]
            with suppress(BlueZError, BleakError):  # the line went, too
                client, characteristic = self._characteristic(path)
                await client.stop_notify(characteristic)
                if path in self._objects:
                    self._objects.change(path, CHARACTERISTIC1, Notifying=Variant("b", False))

    async def read(self, message: Message) -> Answer:
        """ReadValue."""
        client, characteristic = self._addressed(message)
        value = await self._guarded(message, client.read_gatt_char(characteristic))
        self._objects.change(str(message.path), CHARACTERISTIC1, Value=Variant("ay", bytes(value)))
        return "ay", [bytes(value)]

    async def write(self, message: Message) -> Answer:
        """WriteValue."""
        client, characteristic = self._addressed(message)
        data, options = message.body
        response = options.get("type", Variant("s", "request")).value == "request"
        await self._guarded(message, client.write_gatt_char(characteristic, bytes(data), response))
        return "", []

    async def start_notify(self, message: Message) -> Answer:
        """StartNotify."""
        client, characteristic = self._addressed(message)
        path = str(message.path)

        def arrived(data: bytearray) -> None:
            if path in self._objects:
                self._objects.change(path, CHARACTERISTIC1, Value=Variant("ay", bytes(data)))

        await self._guarded(message, client.start_notify(characteristic, arrived))
        if path not in self._objects:
            raise BlueZError("Failed", "Not connected")  # the line went while the meter was answering
        self._objects.change(path, CHARACTERISTIC1, Notifying=Variant("b", True))
        self._listeners[path] = str(message.sender)
        return "", []

    async def stop_notify(self, message: Message) -> Answer:
        """StopNotify."""
        client, characteristic = self._addressed(message)
        self._listeners.pop(str(message.path), None)
        await self._guarded(message, client.stop_notify(characteristic))
        return "", []

    def _addressed(self, message: Message) -> tuple[BumbleClient, BleakGATTCharacteristic]:
        return self._characteristic(str(message.path))

    def _characteristic(self, path: str) -> tuple[BumbleClient, BleakGATTCharacteristic]:
        client = self._clients.get(path.partition("/service")[0])
        characteristic = client and client.services and client.services.get_characteristic(int(path[-4:], 16))
        if client is None or not characteristic:
            raise BlueZError("Failed", "Not connected")
        return client, characteristic

    async def _guarded(self, message: Message, call: Awaitable[Any]) -> Any:
        try:
            return await call
        except BleakGATTProtocolError as error:
            code = error.code
            if code in PROTECTED:
                # BlueZ asks its agent, raises security by itself and repeats the request too early.
                await self._ask_agent("RequestAuthorization", str(message.path).partition("/service")[0])
                code = BleakGATTProtocolErrorCode.UNLIKELY_ERROR
            if code is BleakGATTProtocolErrorCode.CCCD_IMPROPERLY_CONFIGURED:
                raise BlueZError("ImproperlyConfigured", "Improperly configured") from None
            raise BlueZError("Failed", f"Operation failed with ATT error: 0x{int(code):02x}") from None
        except BleakError:
            # The link went while this was pending (the disconnection follows on its own).
            raise BlueZError("Failed", "Operation failed with ATT error: 0x0e") from None
