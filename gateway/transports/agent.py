"""The gateway's own pairing agent on BlueZ: bleak brings none, and without one BlueZ refuses even just works.

Pairing itself is started by a driver's `Pair` through `gatt`; passkeys come from the settings.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from dbus_fast import ErrorType, Message, MessageType

from gateway.transports.bluez import BLUEZ, BluezError, call, system_bus
from gateway.transports.uuids import address_of

AGENT, AGENT_MANAGER1 = "org.bluez.Agent1", "org.bluez.AgentManager1"
AGENT_PATH = "/org/kangdock/agent"
DBUS = "org.freedesktop.DBus"
REJECTED = "org.bluez.Error.Rejected"


class NoAgent(OSError):
    """BlueZ did not take the agent (or is not there); meters that need a bond cannot be read until it does."""


@asynccontextmanager
async def agent(passkeys: Mapping[str, int], died: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
    """An agent for as long as the block runs; `passkeys` by Bluetooth address. Raises NoAgent.

    It is the default agent, because bleak calls Pair from a bus connection of its own. `died` is called when BlueZ
    goes away: with it go the agent and every discovery, and nobody else would notice before the silence is long.
    """
    async with AsyncExitStack() as registered:
        try:
            bus = await registered.enter_async_context(system_bus())
            bus.add_message_handler(lambda message: answer(message, passkeys))
            bus.add_message_handler(lambda message: died() if _says_bluez_died(message) else None)
            await bus.call(_tell_when_bluez_dies())
            capability = "KeyboardOnly" if passkeys else "NoInputNoOutput"
            await call(bus, "/org/bluez", AGENT_MANAGER1, "RegisterAgent", "os", [AGENT_PATH, capability])
            await call(bus, "/org/bluez", AGENT_MANAGER1, "RequestDefaultAgent", "o", [AGENT_PATH])
        except BluezError as error:
            raise NoAgent(error.word) from None
        yield


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


def _says_bluez_died(message: Message) -> bool:
    return message.member == "NameOwnerChanged" and message.body[0] == BLUEZ and not message.body[2]


def _tell_when_bluez_dies() -> Message:
    return Message(
        destination=DBUS,
        path="/org/freedesktop/DBus",
        interface=DBUS,
        member="AddMatch",
        signature="s",
        body=[f"type='signal',sender='{DBUS}',member='NameOwnerChanged',arg0='{BLUEZ}'"],
    )
