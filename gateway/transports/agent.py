"""The gateway's own pairing agent on BlueZ: bleak brings none, and without one BlueZ refuses even just works.

Pairing itself is started by a driver's `Pair` through `gatt`; passkeys come from the settings.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from dbus_fast import BusType, ErrorType, Message, MessageType
from dbus_fast.aio import MessageBus

from gateway.transports.uuids import address_of

BLUEZ = "org.bluez"
AGENT = "org.bluez.Agent1"
AGENT_PATH = "/org/kangdock/agent"
REJECTED = "org.bluez.Error.Rejected"


class NoAgent(OSError):
    """BlueZ did not take the agent (or is not there); meters that need a bond cannot be read until it does."""


@asynccontextmanager
async def agent(passkeys: Mapping[str, int]) -> AsyncIterator[None]:
    """An agent for as long as the block runs; `passkeys` by Bluetooth address. Raises NoAgent.

    It is the default agent, because bleak calls Pair from a bus connection of its own.
    """
    bus = MessageBus(bus_type=BusType.SYSTEM)
    try:
        try:
            await bus.connect()
        except Exception as error:  # dbus-fast raises whatever the socket, the file or the handshake did
            raise NoAgent(f"no system bus: {type(error).__name__}") from None
        bus.add_message_handler(lambda message: answer(message, passkeys))
        await _call(bus, "RegisterAgent", "os", [AGENT_PATH, "KeyboardOnly" if passkeys else "NoInputNoOutput"])
        await _call(bus, "RequestDefaultAgent", "o", [AGENT_PATH])
        yield
    finally:
        bus.disconnect()


def answer(message: Message, passkeys: Mapping[str, int]) -> Message | None:
    """What the agent says to one D-Bus message; None where it is not for the agent."""
    if message.message_type is not MessageType.METHOD_CALL or message.interface != AGENT:
        return None
    passkey = passkeys.get(address_of(str(message.body[0]))) if message.body else None
    match message.member:
        case "Release" | "Cancel":
            return Message.new_method_return(message)
        case "RequestPasskey" if passkey is not None:
            return Message.new_method_return(message, "u", [passkey])
        case "RequestPinCode" if passkey is not None:
            return Message.new_method_return(message, "s", [f"{passkey:06d}"])
        case "RequestAuthorization":
            # Asked when a protected value is touched before the bond; only a gateway's own connection does that.
            return Message.new_method_return(message)
        case "RequestPasskey" | "RequestPinCode":
            return Message.new_error(message, REJECTED, "no passkey is kept for this meter")
        case "RequestConfirmation" | "DisplayPasskey" | "DisplayPinCode" | "AuthorizeService":
            return Message.new_error(message, REJECTED, "nobody is looking")
        case _:
            return Message.new_error(message, ErrorType.UNKNOWN_METHOD, f"an agent has no {message.member}")


async def _call(bus: MessageBus, member: str, signature: str, body: list[str]) -> None:
    reply = await bus.call(
        Message(
            destination=BLUEZ,
            path="/org/bluez",
            interface="org.bluez.AgentManager1",
            member=member,
            signature=signature,
            body=body,
        )
    )
    if reply is None or reply.message_type is MessageType.ERROR:
        raise NoAgent(f"{member}: {reply.error_name if reply else 'no reply'}")
