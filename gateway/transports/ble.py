"""Bluetooth LE through bleak: one scanner that runs for ever, and lines to the meters it hears.

Pairing's questions are answered by `agent` (BlueZ) or the backend (bumble); what is said is the drivers'.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from bleak import BleakClient, BleakScanner
from bleak.args.bluez import BlueZScannerArgs
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.exc import BleakBluetoothNotAvailableError, BleakDeviceNotFoundError, BleakError

from gateway.conversation import Lost, Sighting
from gateway.converse import Link
from gateway.transports.agent import NoAgent, agent
from gateway.transports.gatt import BleLink
from gateway.transports.uuids import long_uuid, short_uuid

log = logging.getLogger(__name__)

SILENT_AFTER_S = 90.0
"""A scanner that hears nothing for so long is started afresh: BlueZ's can fall silent without an error (bluez
issue 807). A quiet shop is silent too; a restart costs it 50 ms of listening."""
START_SCAN_TIMEOUT_S = 10.0
"""BlueZ starts a scan within a second, or has stopped answering."""
RETRY_SCAN_S = (2.0, 5.0, 15.0, 60.0)
"""Pauses between attempts to start a scanner that will not start: a plug being re-seated, then a broken one."""
CONNECT_TIMEOUT_S = 20.0
"""BlueZ answers a reachable meter within 1 to 5 s; a meter is not held in the hand for longer than this."""
CONNECT_ATTEMPTS = 3
RETRY_CONNECT_S = 0.5
"""Most failed connections are one lost packet and work the second time, soon."""
DISCONNECT_TIMEOUT_S = 10.0
"""BlueZ takes 2 s for an orderly disconnect (its own timer)."""
RESCAN_TIMEOUT_S = 15.0
"""After a bond was removed BlueZ must hear the meter again; BlueZ's own scan cycle is about 10 s."""
OPEN_LINES = 4
"""Lines open at once on one adapter. Connecting is serialised (BlueZ's controllers cannot do two at a time)."""
SIGHTINGS_WAITING = 256
"""Sightings repeat several times a second, so the oldest may be dropped."""
DEVICES_REMEMBERED = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Which bleak backend to use; the default is the platform's own, BlueZ."""

    scanner: type[BaseBleakScanner] | None = None
    client: type[BaseBleakClient] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # keyword arguments of both


class Ble:
    """See `Transport`. `services` are the drivers' short UUIDs, the scanner's filter."""

    name = "ble"

    def __init__(
        self,
        services: frozenset[str],
        *,
        backend: Backend | None = None,
        adapter: str = "",
        passkeys: Mapping[str, int] | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        silent_after_s: float = SILENT_AFTER_S,
    ) -> None:
        self.state = "ok"
        self._services = sorted(long_uuid(short) for short in services)
        self._backend = backend or Backend()
        self._adapter = adapter
        self._passkeys = passkeys or {}
        self._connect_timeout_s = connect_timeout_s
        self._silent_after_s = silent_after_s
        self._devices: OrderedDict[str, BLEDevice] = OrderedDict()
        self._heard: asyncio.Queue[Sighting] = asyncio.Queue(SIGHTINGS_WAITING)
        self._heard_at: dict[str, asyncio.Event] = {}
        self._bonded: set[str] = set()
        self._connecting = asyncio.Lock()
        self._lines = asyncio.Semaphore(OPEN_LINES)
        self._talking = 0

    async def sightings(self) -> AsyncGenerator[Sighting, None]:
        """See Transport."""
        failures = 0
        while True:
            async with AsyncExitStack() as scan:
                try:
                    async with asyncio.timeout(START_SCAN_TIMEOUT_S):
                        await self._start(scan)
                except (BleakError, OSError, EOFError, TimeoutError) as error:
                    self.state = "absent" if isinstance(error, BleakBluetoothNotAvailableError) else "failed"
                    pause_s = RETRY_SCAN_S[min(failures, len(RETRY_SCAN_S) - 1)]
                    log.warning("ble.scan_failed error=%s retry_s=%.0f", type(error).__name__, pause_s)
                    failures += 1
                    await asyncio.sleep(pause_s)
                    continue
                failures = 0
                async for sighting in self._until_silent():
                    self.state = "ok"
                    yield sighting
            self.state = "silent"
            log.info("ble.scanner_restarted silent_s=%.0f", self._silent_after_s)

    def open(self, sighting: Sighting) -> AbstractAsyncContextManager[Link]:
        """See Transport."""
        return self._open(sighting)

    async def connect(self, address: str, lost: asyncio.Event) -> BleakClient:
        """A connected client that sets `lost` when its link goes; raises Lost.

        A bond that only this side remembers is removed, once.
        """
        client = await self._connect(address, lost)
        if client is None and self._is_bonded(address):
            # A meter that forgot its bond (reset, new battery) lets BlueZ connect and then refuses its key, over
            # and over, until the time is up. Forgetting the bond here too and pairing afresh is the way out.
            log.info("ble.bond_renewed")
            await self.forget(address)
            client = await self._connect(address, lost, attempts=1)
        if client is None:
            raise Lost("the meter hangs up")
        return client

    def bonded(self, address: str) -> None:
        """A line has been paired."""
        self._bonded.add(address)

    async def forget(self, address: str) -> None:
        """Removes the bond and everything the stack knows of a meter, and waits until it is heard again."""
        heard = self._heard_at[address] = asyncio.Event()
        try:
            with suppress(BleakDeviceNotFoundError):
                async with asyncio.timeout(DISCONNECT_TIMEOUT_S):
                    await self._client(self._device(address), asyncio.Event()).unpair()
            self._bonded.discard(address)
            self._devices.pop(address, None)
            heard.clear()
            async with asyncio.timeout(RESCAN_TIMEOUT_S):
                await heard.wait()
        except (BleakError, OSError, TimeoutError) as error:
            raise Lost(f"the meter was not heard again: {type(error).__name__}") from None
        finally:
            self._heard_at.pop(address, None)

    async def disconnect(self, client: BleakClient) -> None:
        """Hangs up; a failure to do so is only logged, everything that mattered is on disk."""
        try:
            async with asyncio.timeout(DISCONNECT_TIMEOUT_S):
                await client.disconnect()
        except (BleakError, OSError, EOFError, TimeoutError) as error:
            log.warning("ble.disconnect_failed error=%s", type(error).__name__)

    @asynccontextmanager
    async def _open(self, sighting: Sighting) -> AsyncIterator[Link]:
        async with self._lines:
            self._talking += 1
            try:
                link = BleLink(self, sighting.address)
                try:
                    await link.connect()
                    yield link
                finally:
                    await link.close()
            finally:
                self._talking -= 1

    async def _connect(
        self, address: str, lost: asyncio.Event, attempts: int = CONNECT_ATTEMPTS
    ) -> BleakClient | None:
        """None where the meter hung up every time: the mark of a forgotten bond. Raises Lost where it is away.

        The difference matters: whoever is merely out of reach must not lose the bond.
        """
        async with self._connecting:
            hung_up = True
            for attempt in range(1, attempts + 1):
                lost.clear()
                client = self._client(self._device(address), lost)
                try:
                    # bleak bounds the connection; the second bound is for a D-Bus that does not answer at all.
                    async with asyncio.timeout(self._connect_timeout_s + DISCONNECT_TIMEOUT_S):
                        await client.connect()
                except (BleakError, OSError, EOFError, TimeoutError) as error:
                    log.info("ble.connect_failed attempt=%d error=%s", attempt, type(error).__name__)
                    hung_up = hung_up and lost.is_set()
                    if isinstance(error, TimeoutError):
                        break  # BlueZ has tried all the while
                    if attempt < attempts:
                        await asyncio.sleep(RETRY_CONNECT_S)
                else:
                    return client
        if hung_up:
            return None
        raise Lost("no connection")

    def _client(self, device: BLEDevice, lost: asyncio.Event) -> BleakClient:
        return BleakClient(
            device,
            disconnected_callback=lambda _: lost.set(),
            timeout=self._connect_timeout_s,
            backend=self._backend.client,
            bluez={"adapter": self._adapter} if self._adapter else {},
            **self._backend.options,
        )

    def _device(self, address: str) -> BLEDevice:
        device = self._devices.get(address)
        if device is None:
            raise Lost("not within reach")
        return device

    def _is_bonded(self, address: str) -> bool:
        # BlueZ keeps bonds over restarts and says so in its properties; else what this process has paired.
        details = self._device(address).details
        props = details.get("props", {}) if isinstance(details, dict) else {}
        return address in self._bonded or bool(props.get("Paired"))

    def _scanner(self) -> BleakScanner:
        # DuplicateData: a meter that is used twice must be seen twice; without it BlueZ stays quiet for seconds.
        bluez: BlueZScannerArgs = {"filters": {"DuplicateData": True}}
        if self._adapter:
            bluez["adapter"] = self._adapter
        return BleakScanner(
            self._on_advertisement,
            service_uuids=self._services,
            backend=self._backend.scanner,
            bluez=bluez,
            **self._backend.options,
        )

    async def _until_silent(self) -> AsyncIterator[Sighting]:
        while True:
            try:
                async with asyncio.timeout(self._silent_after_s):
                    sighting = await self._heard.get()
            except TimeoutError:
                if self._talking:
                    continue  # a connected meter does not advertise, and its line must not be disturbed
                return
            yield sighting

    async def _start(self, scan: AsyncExitStack) -> None:
        """Agent and scanner, both anew: a bluetoothd that was restarted has forgotten either."""
        if self._backend.scanner is None:
            try:
                await scan.enter_async_context(agent(self._passkeys))
            except NoAgent as error:
                log.warning("ble.no_agent error=%s", error)  # meters without a bond can still be read
        scanner = self._scanner()
        await scanner.start()
        scan.push_async_callback(self._stop, scanner)
        if self.state in ("absent", "failed"):
            self.state = "ok"

    async def _stop(self, scanner: BleakScanner) -> None:
        try:
            async with asyncio.timeout(DISCONNECT_TIMEOUT_S):
                await scanner.stop()
        except (BleakError, OSError, EOFError, TimeoutError) as error:
            log.warning("ble.scan_stop_failed error=%s", type(error).__name__)

    def _on_advertisement(self, device: BLEDevice, data: AdvertisementData) -> None:
        self._devices[device.address] = device
        self._devices.move_to_end(device.address)
        if len(self._devices) > DEVICES_REMEMBERED:
            self._devices.popitem(last=False)
        if (heard := self._heard_at.get(device.address)) is not None:
            heard.set()
        if self._heard.full():
            self._heard.get_nowait()
        self._heard.put_nowait(
            Sighting(
                transport=self.name,
                address=device.address,
                name=data.local_name or device.name or "",
                services=frozenset(map(short_uuid, data.service_uuids)),
                rssi=data.rssi,
            )
        )
