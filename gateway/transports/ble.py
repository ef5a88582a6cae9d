"""Bluetooth LE through bleak: one scanner that runs for ever, and lines to the meters it hears.

Pairing's questions are answered by `agent` (BlueZ) or the backend (bumble), the adapter itself is handled through
`bluez`; what is said is the drivers'.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Mapping
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
from gateway.transports.bluez import Bluez, BluezError, Known, NoAdapter, word_of
from gateway.transports.gatt import BleLink
from gateway.transports.uuids import long_uuid, short_uuid

log = logging.getLogger(__name__)

SILENT_AFTER_S = 90.0
"""A scanner that hears nothing for so long is started afresh: BlueZ's can fall silent without an error (bluez
issue 807). A quiet shop is silent too; a restart costs it 50 ms of listening."""
START_SCAN_TIMEOUT_S = 20.0
"""BlueZ starts a scan within a second, or has stopped answering; each of its answers is waited for 5 s."""
CYCLE_AFTER = 2
"""Scanners in a row that heard nothing, or would not start, before the adapter is switched off and on."""
CYCLE_REST_S = 900.0
"""A shop at night is silent too, and must not have its adapter switched all the time. It never refuses to scan."""
TIDY_EVERY_S = 3600.0
NO_STRENGTH = -127
"""bleak's word for a device that BlueZ only tells something new of, and has not heard."""
IN_PROGRESS = "InProgress"
"""BlueZ's word for what somebody else has begun, and often will never end."""
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
CALLERS_REMEMBERED = 4096
"""Phones change their address every quarter of an hour: this is a crowded shop's last five hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Which bleak backend to use; the default is the platform's own, BlueZ."""

    scanner: type[BaseBleakScanner] | None = None
    client: type[BaseBleakClient] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # keyword arguments of both


class Ble:
    """See `Transport`. A meter lists one of `services` (short UUIDs), or its name begins with one of `names`.

    Without `names` BlueZ filters by itself. With them it cannot, and every phone that walks by is looked at here.
    """

    name = "ble"

    def __init__(
        self,
        services: frozenset[str],
        *,
        names: Collection[str] = (),
        backend: Backend | None = None,
        adapter: str = "",
        passkeys: Mapping[str, int] | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        silent_after_s: float = SILENT_AFTER_S,
    ) -> None:
        self.state = "ok"
        self._services = frozenset(long_uuid(short) for short in services)
        self._names = tuple(sorted({name.casefold() for name in names if name}))
        self._backend = backend or Backend()
        self._adapter = adapter
        self._bluez = Bluez(adapter) if self._backend.scanner is None else None
        self._passkeys = passkeys or {}
        self._connect_timeout_s = connect_timeout_s
        self._silent_after_s = silent_after_s
        self._devices: OrderedDict[str, BLEDevice] = OrderedDict()
        self._heard: asyncio.Queue[Sighting | None] = asyncio.Queue(SIGHTINGS_WAITING)
        self._awaited: dict[str, asyncio.Event] = {}
        self._heard_at: dict[str, float] = {}  # every caller, meter or not
        self._anything_at = 0.0
        self._since = 0.0  # when listening began
        self._in_vain = 0
        self._cycled_at: float | None = None
        self._bonded: set[str] = set()
        self._connecting = asyncio.Lock()
        self._lines = asyncio.Semaphore(OPEN_LINES)
        self._talking: list[str] = []

    async def sightings(self) -> AsyncGenerator[Sighting, None]:
        """See Transport."""
        failures = 0
        self._since = self._since or asyncio.get_running_loop().time()
        while True:
            async with AsyncExitStack() as scan:
                try:
                    async with asyncio.timeout(START_SCAN_TIMEOUT_S):
                        await self._start(scan)
                except (BleakError, OSError, EOFError, TimeoutError) as error:
                    absent = isinstance(error, BleakBluetoothNotAvailableError | NoAdapter)
                    self.state = "absent" if absent else "failed"
                    pause_s = RETRY_SCAN_S[min(failures, len(RETRY_SCAN_S) - 1)]
                    log.warning("ble.scan_failed error=%s retry_s=%.0f", word_of(error), pause_s)
                    failures += 1
                else:
                    failures, pause_s = 0, 0.0
                    async for sighting in self._until_silent():
                        yield sighting
            self._in_vain += 1
            if self._in_vain >= CYCLE_AFTER:
                await self._power_cycle(rest_s=0.0 if failures else CYCLE_REST_S)
            await asyncio.sleep(pause_s)

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
        heard = self._awaited[address] = asyncio.Event()
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
            self._awaited.pop(address, None)

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
            self._talking.append(sighting.address)
            try:
                link = BleLink(self, sighting.address)
                try:
                    await link.connect()
                    yield link
                finally:
                    await link.close()
            finally:
                self._talking.remove(sighting.address)

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
                    log.info("ble.connect_failed attempt=%d error=%s", attempt, word_of(error))
                    hung_up = hung_up and lost.is_set()
                    if word_of(error) == IN_PROGRESS:
                        await self._end_attempt(address)
                    if isinstance(error, TimeoutError):
                        break  # BlueZ has tried all the while
                    if attempt < attempts:
                        await asyncio.sleep(RETRY_CONNECT_S)
                else:
                    return client
        if hung_up:
            return None
        raise Lost("no connection")

    async def _end_attempt(self, address: str) -> None:
        """Ends what another program began to connect and, having been killed, will never end."""
        details = self._device(address).details
        if self._bluez is not None and isinstance(details, dict):
            with suppress(BluezError):
                await self._bluez.hang_up(str(details["path"]))

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
            service_uuids=None if self._names else sorted(self._services),
            backend=self._backend.scanner,
            bluez=bluez,
            **self._backend.options,
        )

    async def _until_silent(self) -> AsyncIterator[Sighting]:
        loop = asyncio.get_running_loop()
        self._anything_at = loop.time()
        while True:
            try:
                async with asyncio.timeout(self._silent_after_s):
                    sighting = await self._heard.get()
            except TimeoutError:
                if self._talking or loop.time() - self._anything_at < self._silent_after_s:
                    continue  # a connected meter does not advertise, and its line must not be disturbed
                self.state = "silent"
                log.info("ble.scanner_restarted silent_s=%.0f", self._silent_after_s)
                return
            if sighting is None:
                self.state = "failed"
                log.warning("ble.bluez_died")
                return
            yield sighting

    async def _start(self, scan: AsyncExitStack) -> None:
        """Agent and scanner, both anew: a bluetoothd that was restarted has forgotten either."""
        if self._bluez is not None:
            try:
                await scan.enter_async_context(agent(self._passkeys, self._on_bluez_died))
            except NoAgent as error:
                log.warning("ble.no_agent error=%s", error)  # meters without a bond can still be read
            if await self._bluez.ready(self._is_meter, self._talking):
                # Who was killed while it read was discovering, too, and may have left BlueZ deaf (bluez issue 807,
                # seen with 5.66): then only this helps, and no scanner started anew.
                await self._power_cycle()
        scanner = self._scanner()
        await scanner.start()
        scan.push_async_callback(self._stop, scanner)
        if self._bluez is not None:
            tidying = asyncio.create_task(self._keep_tidy(self._bluez))
            scan.callback(tidying.cancel)
        if self.state in ("absent", "failed"):
            self.state = "ok"

    async def _stop(self, scanner: BleakScanner) -> None:
        try:
            async with asyncio.timeout(DISCONNECT_TIMEOUT_S):
                await scanner.stop()
        except (BleakError, OSError, EOFError, TimeoutError) as error:
            log.warning("ble.scan_stop_failed error=%s", word_of(error))

    async def _power_cycle(self, rest_s: float = CYCLE_REST_S) -> None:
        """Switches the adapter off and on, unless somebody is being read or it was done `rest_s` ago or less."""
        now = asyncio.get_running_loop().time()
        recently = self._cycled_at is not None and now - self._cycled_at < rest_s
        if self._bluez is None or self._talking or recently:
            return
        async with self._connecting:  # whoever wants a line meanwhile waits for it
            if self._talking:
                return
            self._in_vain = 0
            try:
                await self._bluez.power_cycle()
            except BluezError as error:
                log.warning("ble.power_cycle_failed error=%s", error.word)
            else:
                self._cycled_at = now
                log.warning("ble.power_cycled")

    async def _keep_tidy(self, bluez: Bluez) -> None:
        """Over weeks BlueZ keeps every phone that walked by, and becomes slow; and lines that nobody owns."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TIDY_EVERY_S)
            try:
                gone = await bluez.tidy(
                    self._is_meter, self._talking, self._heard_at, since=self._since, now=loop.time()
                )
            except BluezError as error:
                log.warning("ble.tidy_failed error=%s", error.word)
            else:
                log.info("ble.tidied removed=%d", gone)

    def _on_bluez_died(self) -> None:
        if self._heard.full():
            self._heard.get_nowait()
        self._heard.put_nowait(None)

    def _note_heard(self, address: str, now: float) -> None:
        """The latest stand last; who falls out counts as unheard, and comes back as new."""
        self._heard_at.pop(address, None)
        self._heard_at[address] = now
        if len(self._heard_at) > CALLERS_REMEMBERED:
            del self._heard_at[next(iter(self._heard_at))]

    def _is_meter(self, one: Known) -> bool:
        return self._wants(map(long_uuid, one.services), one.name)

    def _wants(self, services: Iterable[str], name: str) -> bool:
        return not self._services.isdisjoint(services) or (
            bool(self._names) and name.casefold().startswith(self._names)
        )

    def _on_advertisement(self, device: BLEDevice, data: AdvertisementData) -> None:
        """Comes hundreds of times a second in a crowded shop: what is no meter's ends here."""
        now = asyncio.get_running_loop().time()
        if data.rssi != NO_STRENGTH:
            self._anything_at, self._in_vain = now, 0
        self._note_heard(device.address, now)
        if self.state == "silent":
            self.state = "ok"
        name = data.local_name or device.name or ""
        if not self._wants(data.service_uuids, name):
            return
        self._devices[device.address] = device
        self._devices.move_to_end(device.address)
        if len(self._devices) > DEVICES_REMEMBERED:
            self._devices.popitem(last=False)
        if (awaited := self._awaited.get(device.address)) is not None:
            awaited.set()
        if self._heard.full():
            self._heard.get_nowait()
        self._heard.put_nowait(
            Sighting(
                transport=self.name,
                address=device.address,
                name=name,
                services=frozenset(map(short_uuid, data.service_uuids)),
                rssi=data.rssi,
            )
        )
