"""The process behind tiers B and C: what BlueZ hears, told what to do line by line.

In tier B that is our `org.bluez` and virtual meters. In tier C (argument `--vhci`) BlueZ is the machine's own, and
its adapter and the meters are here. It is a process of its own because BlueZ is one: bleak must not share an event
loop with what it talks to.
"""

import asyncio
import json
import os
import pickle
import sys
from typing import Any

from bumble import hci, ll
from bumble.pairing import PairingDelegate
from bumble.transport import open_transport
from dbus_fast import BusType
from dbus_fast.aio import MessageBus

from gateway.simulators.air import BONDING_KEYS, UNSUPPORTED, Air, Chip, radio
from gateway.simulators.bluez import BlueZ, Sulk
from gateway.simulators.bumble_meter import BumbleMeter

VIRTUAL_ADAPTER = "00:1B:DC:00:00:01"
"""By this public address the adapter made here is found among the machine's."""


class Room:
    """One adapter and some meters, from `open` to `close`."""

    def __init__(self) -> None:
        self.bus: MessageBus | None = None
        self.bluez: BlueZ | None = None
        self.sulker: BlueZ | SulkingChip | None = None
        self.meters: dict[str, BumbleMeter] = {}

    async def do(self, order: dict[str, Any]) -> Any:
        meter = self.meters.get(order.get("meter", ""))
        match order["do"]:
            case "open":
                await self.open(pickle.loads(bytes.fromhex(order["meters"])), order["keeps_advertising"])  # noqa: S301
            case "close":
                for one in self.meters.values():
                    await one.power_off()
                self.bus.disconnect()
            case "advertise":
                await meter.advertise()
            case "hush":
                await meter.hush()
            case "forget_bond":
                await meter.forget_bond()
            case "deaf" | "stuck":
                self.sulker.sulk = Sulk(order["do"])
            case "measure":
                vars(meter.meter).update(vars(pickle.loads(bytes.fromhex(order["state"]))))  # noqa: S301
            case "report":
                return {
                    "pairings": meter.pairings,
                    "passkeys_shown": meter.passkeys_shown,
                    "stored": len(meter.meter.records),
                    "agent_calls": self.bluez.agent_calls,
                }
        return None

    async def open(self, meters: list[Any], keeps_advertising: bool) -> None:
        air = Air()
        adapter = await radio(
            air,
            name="hci0",
            address="C0:00:00:00:00:01",
            delegate=PairingDelegate(PairingDelegate.NO_OUTPUT_NO_INPUT, BONDING_KEYS, BONDING_KEYS),
        )
        self.bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        self.bluez = self.sulker = BlueZ(self.bus, adapter)
        await self.bluez.serve()
        self.meters = {one.name: BumbleMeter(one, keeps_advertising=keeps_advertising) for one in meters}
        for one in self.meters.values():
            await one.power_on(air)
            await one.advertise()


class SulkingChip(Chip):
    """An adapter that can sulk, until the kernel resets it: where BlueZ switches it off and on."""

    sulk: Sulk | None = None

    def on_advertising_pdu(self, pdu: ll.AdvInd | ll.AdvExtInd) -> None:
        if self.sulk is not Sulk.DEAF:
            super().on_advertising_pdu(pdu)

    def on_hci_le_set_scan_enable_command(
        self, command: hci.HCI_LE_Set_Scan_Enable_Command
    ) -> hci.HCI_StatusReturnParameters:
        if self.sulk is Sulk.STUCK and command.le_scan_enable:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        return super().on_hci_le_set_scan_enable_command(command)

    def on_hci_reset_command(self, command: hci.HCI_Reset_Command) -> hci.HCI_StatusReturnParameters:
        self.sulk = None
        return super().on_hci_reset_command(command)


class RealRoom(Room):
    """The meters, and a controller that the kernel takes for an adapter."""

    def __init__(self) -> None:
        super().__init__()
        self.air: Air | None = None

    async def do(self, order: dict[str, Any]) -> Any:
        match order["do"]:
            case "close":
                for one in self.meters.values():
                    await one.power_off()
                return None
            case "report":
                meter = self.meters[order["meter"]]
                return {
                    "pairings": meter.pairings,
                    "passkeys_shown": meter.passkeys_shown,
                    "stored": len(meter.meter.records),
                }
            case _:
                return await super().do(order)

    async def open(self, meters: list[Any], keeps_advertising: bool) -> None:
        if self.air is None:
            self.air = Air()
            kernel = await open_transport("vhci")
            self.sulker = SulkingChip(
                "adapter",
                host_source=kernel.source,
                host_sink=kernel.sink,
                link=self.air,
                public_address=VIRTUAL_ADAPTER,
            )
            self.sulker.le_features &= ~UNSUPPORTED
        self.sulker.sulk = None
        self.meters = {one.name: BumbleMeter(one, keeps_advertising=keeps_advertising) for one in meters}
        for one in self.meters.values():
            await one.power_on(self.air)
            await one.advertise()


async def main(room_of: type[Room]) -> None:
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    room = room_of()
    while line := await orders.readline():
        order = json.loads(line)
        if order["do"] == "open" and room_of is Room:
            room = Room()
        answer = await room.do(order)
        os.write(sys.stdout.fileno(), json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    asyncio.run(main(RealRoom if sys.argv[1:] == ["--vhci"] else Room))
