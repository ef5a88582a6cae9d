"""The air between virtual radios: bumble's link and controller with their repairs, and radios that live on it.

What a radio is used for is `bumble_meter`'s (the meter) and `transports.bumble_backend`'s (the gateway).
"""

import asyncio
from dataclasses import dataclass

from bumble import hci, ll
from bumble.controller import Controller
from bumble.core import PhysicalTransport
from bumble.device import Device, DeviceConfiguration
from bumble.host import Host
from bumble.link import LocalLink
from bumble.pairing import PairingConfig, PairingDelegate

# With these on, bumble 0.0.236 loses advertisements and connections between its own controllers
# (google/bumble issue 841); no meter of ours uses them.
UNSUPPORTED = hci.LeFeatureMask.LL_PRIVACY | hci.LeFeatureMask.LE_EXTENDED_ADVERTISING

LONGEST_ADVERTISEMENT = 31
"""Bytes, as of a scan response (Core Specification, Vol 6 Part B, 2.3.1); what is longer Linux drops."""

ACTIVE_SCAN = 1
RSSI_DBM = -50
"""On the counter, within a metre."""

BONDING_KEYS = PairingDelegate.KeyDistribution.DISTRIBUTE_ENCRYPTION_KEY
"""Only the long-term key: all radios here have fixed addresses, so there is no identity to hand over."""


class Air(LocalLink):
    """A LocalLink on which a radio may also use its public address, as the adapter of a Pi does."""

    def __init__(self) -> None:
        self.controllers: set[Controller] = set()
        self.pending_classic_connection = None

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: hci.Address,
        transport: PhysicalTransport,
        data: bytes,
    ) -> None:
        """Hands `data` over under the address of this connection; bumble's always says the random one."""
        receiver = self.find_le_controller(destination_address)
        connection = sender_controller.le_connections.get(destination_address)
        if receiver is None or connection is None:
            return
        asyncio.get_running_loop().call_soon(receiver.on_link_acl_data, connection.self_address, transport, data)


@dataclass
class ScannableInd(ll.AdvInd):
    """An advertisement, with what its sender says when it is asked for more."""

    scan_response: bytes = b""


class Chip(Controller):
    """A Controller with scan responses, that says no more than there is room for, and really gives up a connection
    it is told to give up; bumble's would make it later."""

    def send_advertising_pdu(self, packet: ll.AdvertisingPdu) -> None:
        """Bumble's leaves the scan response out."""
        if isinstance(packet, ll.AdvInd):
            more = self.le_legacy_advertiser.scan_response_data
            packet = ScannableInd(packet.advertiser_address, packet.data, more)
        super().send_advertising_pdu(packet)

    def on_advertising_pdu(self, pdu: ll.AdvInd | ll.AdvExtInd) -> None:
        """Bumble's reports the advertisement as its own scan response."""
        if self.le_scan_enable:
            self._report(hci.HCI_LE_Advertising_Report_Event.EventType.ADV_IND, pdu.advertiser_address, pdu.data)
            if self.le_scan_type == ACTIVE_SCAN and isinstance(pdu, ScannableInd):
                kind = hci.HCI_LE_Advertising_Report_Event.EventType.SCAN_RSP
                self._report(kind, pdu.advertiser_address, pdu.scan_response)
        pending = self.pending_le_connection
        if pending is not None and pending.peer_address == pdu.advertiser_address:
            self.create_le_connection(pdu.advertiser_address)

    def _report(self, kind: int, address: hci.Address, data: bytes) -> None:
        report = hci.HCI_LE_Advertising_Report_Event.Report(
            event_type=kind, address_type=address.address_type, address=address, data=data, rssi=RSSI_DBM
        )
        self.send_hci_packet(hci.HCI_LE_Advertising_Report_Event([report]))

    def on_hci_le_set_advertising_data_command(
        self, command: hci.HCI_LE_Set_Advertising_Data_Command
    ) -> hci.HCI_StatusReturnParameters:
        """Core Specification, Vol 4 Part E, 7.8.7."""
        if len(command.advertising_data) > LONGEST_ADVERTISEMENT:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.INVALID_COMMAND_PARAMETERS_ERROR)
        return super().on_hci_le_set_advertising_data_command(command)

    def on_hci_le_set_scan_response_data_command(
        self, command: hci.HCI_LE_Set_Scan_Response_Data_Command
    ) -> hci.HCI_StatusReturnParameters:
        """Core Specification, Vol 4 Part E, 7.8.8."""
        if len(command.scan_response_data) > LONGEST_ADVERTISEMENT:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.INVALID_COMMAND_PARAMETERS_ERROR)
        return super().on_hci_le_set_scan_response_data_command(command)

    def on_hci_le_create_connection_cancel_command(
        self, command: hci.HCI_LE_Create_Connection_Cancel_Command
    ) -> hci.HCI_StatusReturnParameters:
        """Core Specification, Vol 4 Part E, 7.8.13: a connection complete event says it was cancelled."""
        pending, self.pending_le_connection = self.pending_le_connection, None
        if pending is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        event = hci.HCI_LE_Connection_Complete_Event(
            status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
            connection_handle=0,
            role=hci.Role.CENTRAL,
            peer_address_type=pending.peer_address_type,
            peer_address=pending.peer_address,
            connection_interval=0,
            peripheral_latency=0,
            supervision_timeout=0,
            central_clock_accuracy=0,
        )
        asyncio.get_running_loop().call_soon(self.send_hci_packet, event)
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)


async def radio(
    air: LocalLink, *, name: str, address: str, delegate: PairingDelegate, mitm: bool = False
) -> Device:
    """A powered radio on `air` at the random static `address`, which pairs as `delegate` says."""
    controller = Chip(name, link=air)
    controller.le_features &= ~UNSUPPORTED
    device = Device(config=DeviceConfiguration(name=name, address=hci.Address(address)), host=Host())
    device.host.set_packet_sink(controller)
    controller.set_packet_sink(device.host)
    device.pairing_config_factory = lambda _: PairingConfig(sc=True, mitm=mitm, bonding=True, delegate=delegate)
    await device.power_on()
    return device


def unplug(air: LocalLink, device: Device) -> None:
    """Takes a radio off the air, as pulling the adapter does."""
    for controller in list(air.controllers):
        if controller.random_address == device.random_address:
            controller.le_legacy_advertiser.stop()
            air.remove_controller(controller)
