"""One open line to a Bluetooth meter: GATT calls with a deadline, and a bounded queue of what arrives.

Connecting and bonds are `ble`'s. Here every error becomes one of two: Lost (the line is gone) or Refused.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.exc import (
    BleakCharacteristicNotFoundError,
    BleakDBusError,
    BleakError,
    BleakGATTProtocolError,
    BleakGATTProtocolErrorCode,
)

from gateway.conversation import Lost, Refused
from gateway.transports.uuids import long_uuid, short_uuid

log = logging.getLogger(__name__)

GATT_TIMEOUT_S = 15.0
"""BlueZ can leave a protected write unanswered for ever; ATT itself gives up after 30 s (Core, Vol 3 F 3.3.3)."""
PAIR_TIMEOUT_S = 30.0
"""SMP gives up after 30 s (Core, Vol 3 H 3.4)."""
ARRIVALS_WAITING = 4096
"""Records a meter may send while the disk is busy: the largest memories known hold 1000, with a context each."""
LOSS_SETTLES_S = 1.0
"""A dying link refuses what was pending before it is reported gone (seen as ATT 0x0e); wait for that report."""

GONE = frozenset({"NoReply", "ServiceUnknown", "UnknownObject", "NotConnected", "Disconnected", "DoesNotExist"})
"""Last words of D-Bus error names that mean the line is gone, not that the meter declined."""

T = TypeVar("T")


class Lines(Protocol):
    """What a line needs of the transport it runs on."""

    async def connect(self, address: str, lost: asyncio.Event) -> BleakClient:
        """A connected client that sets `lost` when the link goes; raises Lost."""

    def bonded(self, address: str) -> None:
        """The meter at `address` has been paired."""

    async def forget(self, address: str) -> None:
        """Removes a bond; raises Lost where the meter is not heard again."""

    async def disconnect(self, client: BleakClient) -> None:
        """Hangs up."""


class BleLink:
    """See `converse.Link`."""

    def __init__(self, lines: Lines, address: str) -> None:
        self._lines = lines
        self._address = address
        self._client: BleakClient | None = None
        self._lost = asyncio.Event()
        self._overrun = False
        self._arrivals: deque[tuple[str, bytes]] = deque()
        self._news = asyncio.Event()

    async def connect(self) -> None:
        """Opens the line; raises Lost."""
        self._lost = asyncio.Event()
        self._client = await self._lines.connect(self._address, self._lost)

    async def close(self) -> None:
        """Hangs up."""
        if self._client is not None:
            await self._lines.disconnect(self._client)

    async def pair(self) -> None:
        """See Link. A meter that no longer knows this gateway is forgotten and paired again, once."""
        try:
            await self._call(self._live().pair(), PAIR_TIMEOUT_S)
        except Lost:
            # Refusing the old key, many meters hang up. If that was not it, the second attempt says so.
            log.info("ble.bond_renewed")
            await self.close()
            await self._lines.forget(self._address)
            await self.connect()
            await self._call(self._live().pair(), PAIR_TIMEOUT_S)
        self._lines.bonded(self._address)

    async def subscribe(self, channel: str) -> None:
        """See Link."""
        await self._call(self._live().start_notify(long_uuid(channel), self._on_arrival), GATT_TIMEOUT_S)

    async def read(self, channel: str) -> bytes:
        """See Link."""
        return bytes(await self._call(self._live().read_gatt_char(long_uuid(channel)), GATT_TIMEOUT_S))

    async def write(self, channel: str, data: bytes, acknowledged: bool) -> None:
        """See Link."""
        writing = self._live().write_gatt_char(long_uuid(channel), data, response=acknowledged)
        await self._call(writing, GATT_TIMEOUT_S)

    async def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        """See Link; what arrived before a loss is handed out before the loss is reported."""
        if not self._arrivals:
            self._news.clear()
            waits = {asyncio.ensure_future(event.wait()) for event in (self._news, self._lost)}
            try:
                await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        if self._arrivals:
            return self._arrivals.popleft()
        if self._lost.is_set():
            raise Lost("overrun" if self._overrun else "the link is gone")
        return None

    def _on_arrival(self, characteristic: BleakGATTCharacteristic, data: bytearray) -> None:
        if len(self._arrivals) >= ARRIVALS_WAITING:
            # Never drop one record and go on as if nothing had happened: end here, and resume from the last saved.
            self._overrun = True
            self._lost.set()
            return
        self._arrivals.append((short_uuid(characteristic.uuid), bytes(data)))
        self._news.set()

    def _live(self) -> BleakClient:
        if self._client is None or self._lost.is_set():
            raise Lost("the link is gone")
        return self._client

    async def _call(self, call: Coroutine[Any, Any, T], timeout_s: float) -> T:
        try:
            async with asyncio.timeout(timeout_s):
                return await call
        except TimeoutError:
            raise Lost(f"no answer within {timeout_s:.0f} s") from None
        except (OSError, EOFError) as error:
            raise Lost(f"the Bluetooth service is gone: {type(error).__name__}") from None
        except BleakError as error:
            reason = refusal(error)
            if reason is None or await self._is_going(reason):
                raise Lost("the link is gone") from None
            raise Refused(reason) from None

    async def _is_going(self, reason: str) -> bool:
        if reason == BleakGATTProtocolErrorCode.UNLIKELY_ERROR.name.lower():
            try:
                async with asyncio.timeout(LOSS_SETTLES_S):
                    await self._lost.wait()
            except TimeoutError:
                return False
        return self._client is None or not self._client.is_connected


def refusal(error: BleakError) -> str | None:
    """Why a meter declined: an ATT error's name in lower case or its number, or BlueZ's word. None: it is gone."""
    match error:
        case BleakGATTProtocolError():
            code = error.code
            known = code in BleakGATTProtocolErrorCode.__members__.values()
            return code.name.lower() if known else f"0x{int(code):02x}"
        case BleakCharacteristicNotFoundError():
            return "attribute_not_found"
        case BleakDBusError():
            word = error.dbus_error.rpartition(".")[2]
            return None if word in GONE else word
        case _:
            return None if "onnected" in str(error) else str(error)
