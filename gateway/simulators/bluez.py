"""An `org.bluez` of our own on a private bus: unmodified bleak runs its BlueZ backend where there is no radio.

It answers what bleak 3.1 asks, in BlueZ's words, and repeats the behaviours of BlueZ 5.82 that cost most to learn:
just works needs an agent; a protected value touched before pairing fails with ATT 0x0e; a bond the meter forgot
makes Connect abort over and over; lines and attempts at lines outlive the program that asked for them; and what a
`Sulk` names. The radio behind it is bumble's; the meters are `bumble_meter`'s, reading and
writing them `bluez_gatt`'s.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from enum import StrEnum
from typing import Any

from bleak.exc import BleakError
from bumble.core import AdvertisingData
from bumble.device import Advertisement, Device
from bumble.pairing import PairingConfig, PairingDelegate
from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from gateway.simulators.air import BONDING_KEYS
from gateway.simulators.bluez_gatt import CHARACTERISTIC1, DEVICE1, Gatt
from gateway.simulators.bluez_objects import OBJECT_MANAGER, PROPERTIES, Answer, BlueZError, Objects
from gateway.transports.bumble_backend import BumbleClient, Typist, service_uuids
from gateway.transports.uuids import address_of

ADAPTER = "/org/bluez/hci0"
ADAPTER1 = "org.bluez.Adapter1"
AGENT_MANAGER1 = "org.bluez.AgentManager1"
DBUS = "org.freedesktop.DBus"
CONNECT_TIMEOUT_S = 20.0
REFUSED_KEY_S = 0.1
"""A few connection intervals pass between the link and the refusal of its key."""
IO_CAPABILITIES = {
    "KeyboardOnly": PairingDelegate.KEYBOARD_INPUT_ONLY,
    "NoInputNoOutput": PairingDelegate.NO_OUTPUT_NO_INPUT,
}
Method = Callable[[Message], Awaitable[Answer]]


class Sulk(StrEnum):
    """What BlueZ falls into, until its adapter is switched off and on."""

    DEAF = "deaf"  # it says that it discovers, and hears nothing (bluez issue 807)
    STUCK = "stuck"  # StartDiscovery is refused as already in progress


class BlueZ:
    """One adapter, hci0, whose radio is `radio`."""

    def __init__(self, bus: MessageBus, radio: Device) -> None:
        self.agent_calls: list[str] = []
        self.sulk: Sulk | None = None
        self._bus = bus
        self._radio = radio
        adapter = {
            "Address": Variant("s", "00:00:00:00:00:01"),
            "Name": Variant("s", "gateway"),
            "Powered": Variant("b", True),
            "Discovering": Variant("b", False),
            "Roles": Variant("as", ["central"]),
        }
        self._objects = Objects(bus, {"/org/bluez": {AGENT_MANAGER1: {}}, ADAPTER: {ADAPTER1: adapter}})
        self._discovering: set[str] = set()
        self._filter: frozenset[str] = frozenset()
        self._agent: tuple[str, str, str] | None = None  # bus name, path, capability
        self._clients: dict[str, BumbleClient] = {}
        self._gatt = Gatt(self._objects, self._clients, self.ask_agent)
        self._calling: dict[str, asyncio.Future[None]] = {}
        self._working: set[asyncio.Task[None]] = set()
        self._connecting = asyncio.Lock()
        self._methods: dict[tuple[str, str], Method] = {
            (OBJECT_MANAGER, "GetManagedObjects"): self._objects.managed,
            (PROPERTIES, "Get"): self._objects.get_property,
            (PROPERTIES, "Set"): self._set_property,
            (AGENT_MANAGER1, "RegisterAgent"): self._register_agent,
            (AGENT_MANAGER1, "RequestDefaultAgent"): self._nothing,
            (ADAPTER1, "SetDiscoveryFilter"): self._set_filter,
            (ADAPTER1, "StartDiscovery"): self._start_discovery,
            (ADAPTER1, "StopDiscovery"): self._stop_discovery,
            (ADAPTER1, "RemoveDevice"): self._remove_device,
            (DEVICE1, "Connect"): self._connect,
            (DEVICE1, "Disconnect"): self._disconnect,
            (DEVICE1, "Pair"): self._pair,
            (CHARACTERISTIC1, "ReadValue"): self._gatt.read,
            (CHARACTERISTIC1, "WriteValue"): self._gatt.write,
            (CHARACTERISTIC1, "StartNotify"): self._gatt.start_notify,
            (CHARACTERISTIC1, "StopNotify"): self._gatt.stop_notify,
        }

    async def serve(self) -> None:
        """Takes the name and answers from now on."""
        self._radio.on("advertisement", self._on_advertisement)
        self._radio.pairing_config_factory = lambda _: PairingConfig(delegate=self._delegate())
        self._bus.add_message_handler(self._on_message)
        await self._bus.call(
            Message(
                destination=DBUS,
                path="/org/freedesktop/DBus",
                interface=DBUS,
                member="AddMatch",
                signature="s",
                body=[f"type='signal',sender='{DBUS}',member='NameOwnerChanged'"],
            )
        )
        await self._bus.request_name("org.bluez")

    def _on_message(self, message: Message) -> bool:
        if message.member == "NameOwnerChanged" and not message.body[2]:
            self._on_client_gone(message.body[0])
        method = self._methods.get((message.interface or "", message.member or ""))
        if message.message_type is not MessageType.METHOD_CALL or method is None:
            return False
        self._run(self._answer(message, method))
        return True

    def _on_client_gone(self, name: str) -> None:
        if self._agent is not None and self._agent[0] == name:
            self._agent = None
        self._run(self._gatt.client_gone(name))
        if name in self._discovering:
            self._discovering.discard(name)
            if not self._discovering:
                self._run(self._radio.stop_scanning())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _answer(self, message: Message, method: Method) -> None:
        try:
            if message.path != "/" and str(message.path) not in self._objects:
                raise BlueZError("org.freedesktop.DBus.Error.UnknownObject", "no such object")
            signature, body = await method(message)
            reply = Message.new_method_return(message, signature, body)
        except BlueZError as error:
            reply = Message.new_error(message, error.name, error.text)
        await self._bus.send(reply)

    # --- the adapter -------------------------------------------------------------------------------------------

    async def _set_property(self, message: Message) -> Answer:
        interface, name, value = message.body
        if (interface, name) == (ADAPTER1, "Powered"):
            await self._power(value.value)
        return await self._objects.set_property(message)

    async def _power(self, on: bool) -> None:
        """Off ends every discovery and every line; on again BlueZ has got over what it sulked about."""
        if on:
            self.sulk = None
            return
        for calling in self._calling.values():
            calling.cancel()
        for client in list(self._clients.values()):
            await client.disconnect()
        await self._end_discoveries()

    async def _end_discoveries(self) -> None:
        if self._discovering:
            self._discovering.clear()
            await self._radio.stop_scanning()
        self._objects.change(ADAPTER, ADAPTER1, Discovering=Variant("b", False))

    def _need_power(self) -> None:
        if not self._objects.get(ADAPTER, ADAPTER1, "Powered"):
            raise BlueZError("NotReady", "Resource Not Ready")

    # --- discovery -------------------------------------------------------------------------------------------

    async def _set_filter(self, message: Message) -> Answer:
        uuids = message.body[0].get("UUIDs")
        self._filter = frozenset(uuids.value) if uuids else frozenset()
        return "", []

    async def _start_discovery(self, message: Message) -> Answer:
        self._need_power()
        if message.sender in self._discovering or self.sulk is Sulk.STUCK:
            raise BlueZError("InProgress", "Operation already in progress")
        if not self._discovering:
            await self._radio.start_scanning(filter_duplicates=False)
        self._discovering.add(str(message.sender))
        self._objects.change(ADAPTER, ADAPTER1, Discovering=Variant("b", True))
        return "", []

    async def _stop_discovery(self, message: Message) -> Answer:
        if message.sender not in self._discovering:
            raise BlueZError("Failed", "No discovery started")
        self._discovering.discard(str(message.sender))
        if not self._discovering:
            await self._radio.stop_scanning()
            self._objects.change(ADAPTER, ADAPTER1, Discovering=Variant("b", False))
        return "", []

    def _on_advertisement(self, advertisement: Advertisement) -> None:
        uuids = service_uuids(advertisement.data)
        if self.sulk is Sulk.DEAF or (self._filter and not self._filter.intersection(uuids)):
            return
        address = advertisement.address.to_string(with_type_qualifier=False)
        path = f"{ADAPTER}/dev_{address.replace(':', '_')}"
        rssi = Variant("n", advertisement.rssi)
        if path in self._objects:
            self._objects.change(path, DEVICE1, RSSI=rssi)
            return
        name = advertisement.data.get(AdvertisingData.COMPLETE_LOCAL_NAME)
        alias = str(name) if name else address.replace(":", "-")
        no = Variant("b", False)
        device = {
            "Adapter": Variant("o", ADAPTER),
            "Address": Variant("s", address),
            "AddressType": Variant("s", "random"),
            "Alias": Variant("s", alias),
            **({"Name": Variant("s", str(name))} if name else {}),
            "UUIDs": Variant("as", uuids),
            "RSSI": rssi,
            "Paired": no,
            "Bonded": no,
            "Trusted": no,
            "Connected": no,
            "ServicesResolved": no,
        }
        self._objects.add(path, DEVICE1, device)

    async def _remove_device(self, message: Message) -> Answer:
        path = message.body[0]
        if path not in self._objects:
            raise BlueZError("DoesNotExist", "Does Not Exist")
        if (calling := self._calling.get(path)) is not None:
            calling.cancel()
        async with (
            self._connecting
        ):  # whatever that attempt still has to say of the device comes before its removal
            client = self._clients.pop(path, None) or self._client(path)
            await client.unpair()
            self._gatt.forget(path)
            self._objects.drop(path)
        return "", []

    # --- connections and bonds -------------------------------------------------------------------------------

    async def _connect(self, message: Message) -> Answer:
        self._need_power()
        path = str(message.path)
        if path in self._calling:
            # Also when whoever began it is gone.
            raise BlueZError("InProgress", "In Progress")
        await self._connected(path)
        return "", []

    async def _connected(self, path: str) -> BumbleClient:
        async with self._connecting:
            if path in self._clients:
                return self._clients[path]
            client = self._client(path)
            calling = self._calling[path] = asyncio.ensure_future(client.connect(pair=False))
            try:
                await calling
            except asyncio.CancelledError:
                if not calling.cancelled():
                    raise
                raise BlueZError("Failed", "br-connection-canceled") from None
            except TimeoutError:
                if self._objects.get(path, DEVICE1, "Paired"):
                    # The link came up, the meter refused the key, the link went: all of it is visible to clients.
                    self._objects.change(path, DEVICE1, Connected=Variant("b", True))
                    await asyncio.sleep(REFUSED_KEY_S)
                    self._objects.change(path, DEVICE1, Connected=Variant("b", False))
                    raise BlueZError("Failed", "le-connection-abort-by-local") from None
                raise BlueZError("Failed", "Connection timed out") from None
            except BleakError:
                raise BlueZError("Failed", "le-connection-abort-by-local") from None
            finally:
                del self._calling[path]
            self._clients[path] = client
            self._objects.change(path, DEVICE1, Connected=Variant("b", True))
            self._gatt.show(path, client)
            return client

    async def _disconnect(self, message: Message) -> Answer:
        if (calling := self._calling.get(str(message.path))) is not None:
            calling.cancel()
            return "", []
        client = self._clients.get(str(message.path))
        if client is None:
            raise BlueZError("NotConnected", "Not Connected")
        await client.disconnect()
        return "", []

    async def _pair(self, message: Message) -> Answer:
        path = str(message.path)
        if self._objects.get(path, DEVICE1, "Paired"):
            raise BlueZError("AlreadyExists", "Already Exists")
        client = await self._connected(path)
        if self._agent is None:
            # device_confirm_passkey() asks the agent even where nobody has to confirm anything.
            raise BlueZError("AuthenticationFailed", "Authentication Failed")
        try:
            await client.pair()
        except BleakError:
            raise BlueZError("AuthenticationFailed", "Authentication Failed") from None
        self._objects.change(path, DEVICE1, Paired=Variant("b", True), Bonded=Variant("b", True))
        return "", []

    def _client(self, path: str) -> BumbleClient:
        return BumbleClient(
            address_of(path),
            disconnected_callback=lambda: self._on_disconnected(path),
            timeout=CONNECT_TIMEOUT_S,
            radio=self._radio,
            typist=Typist({}, BONDING_KEYS),
        )

    def _on_disconnected(self, path: str) -> None:
        if self._clients.pop(path, None) is not None and path in self._objects:
            self._gatt.forget(path)
            no = Variant("b", False)
            self._objects.change(path, DEVICE1, ServicesResolved=no, Connected=no)

    async def _nothing(self, _: Message) -> Answer:
        return "", []

    async def _register_agent(self, message: Message) -> Answer:
        path, capability = message.body
        if capability not in IO_CAPABILITIES:
            raise BlueZError("InvalidArguments", "Invalid arguments in method call")
        self._agent = (str(message.sender), path, capability)
        return "", []

    def _delegate(self) -> PairingDelegate:
        capability = IO_CAPABILITIES[self._agent[2]] if self._agent else PairingDelegate.NO_OUTPUT_NO_INPUT
        return _AskTheAgent(self, capability)

    async def ask_agent(self, member: str, path: str) -> list[Any] | None:
        """One call to the registered agent; None where it refused."""
        if self._agent is None:
            return None
        name, agent_path, _ = self._agent
        self.agent_calls.append(member)
        call = Message(
            destination=name,
            path=agent_path,
            interface="org.bluez.Agent1",
            member=member,
            signature="o",
            body=[path],
        )
        reply = await self._bus.call(call)
        return None if reply is None or reply.message_type is MessageType.ERROR else reply.body

    def pairing_path(self) -> str:
        """The device that is being paired: the one whose client is not paired yet."""
        return next(path for path in self._clients if not self._objects.get(path, DEVICE1, "Paired"))


class _AskTheAgent(PairingDelegate):
    def __init__(self, bluez: BlueZ, capability: PairingDelegate.IoCapability) -> None:
        super().__init__(capability, BONDING_KEYS, BONDING_KEYS)
        self._bluez = bluez

    async def get_number(self) -> int | None:
        """The passkey, from the agent."""
        answer = await self._bluez.ask_agent("RequestPasskey", self._bluez.pairing_path())
        return int(answer[0]) if answer else None
