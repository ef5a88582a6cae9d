"""A store without a store: virtual meters on virtual air, a transport that hears them, and customers.

For the demo and the bench. Who the customers are is `customers`', how a meter works `glucose_meter`'s and its
neighbours'. A real gateway never imports it: it brings bumble.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from gateway.config import VIRTUAL_METERS
from gateway.conversation import Sighting
from gateway.converse import Link
from gateway.simulators import sinocare_meter, taidoc_meter
from gateway.simulators.air import BONDING_KEYS, Air, radio
from gateway.simulators.benecheck_meter import BeneCheckGlucoseService
from gateway.simulators.bumble_meter import BumbleMeter
from gateway.simulators.customers import trade
from gateway.simulators.glucose_meter import GlucoseMeter
from gateway.simulators.line import BleLine
from gateway.simulators.meter import Security, VirtualMeter
from gateway.simulators.pressure_cuff import PressureCuff
from gateway.simulators.thermometer import Thermometer
from gateway.transports import Transport
from gateway.transports.ble import Backend, Ble
from gateway.transports.bumble_backend import BumbleClient, BumbleScanner, Typist

GATEWAY_ADDRESS = "C0:00:00:00:00:01"


class VirtualStore:
    """`meters`: words of VIRTUAL_METERS. `cards`: a file of card codes, one a line. `seed`: one per store."""

    def __init__(self, meters: Sequence[str], cards: Path, pace_s: float, seed: int) -> None:
        """Raises ValueError for an unknown meter or a file without cards, OSError for none."""
        self._meters = [
            BumbleMeter(virtual_meter(kind, number, seed)) for number, kind in enumerate(meters, start=1)
        ]
        self._cards = [line for line in map(str.strip, cards.read_text("utf-8").splitlines()) if line]
        if not self._cards:
            raise ValueError(f"{cards} holds no card code")
        self._pace_s = pace_s
        self._random = Random(seed)  # noqa: S311 - play-acting
        self._ble: Ble | None = None
        self._opening = asyncio.Lock()
        self.transport: Transport = _VirtualTransport(self)

    async def run(self, open_visit: Callable[[str], None]) -> None:
        """Customers, for ever; `open_visit` is told the card each of them scans, or "" of one who forgot it."""
        await self.ble()
        await trade(self._meters, open_visit, self._cards, pace_s=self._pace_s, random=self._random)

    async def ble(self) -> Ble:
        """The gateway's radio on this store's air, switched on with the meters when first asked for."""
        async with self._opening:
            if self._ble is None:
                self._ble = await self._power_on()
            return self._ble

    async def _power_on(self) -> Ble:
        air = Air()
        for meter in self._meters:
            await meter.power_on(air)
        typist = Typist({}, BONDING_KEYS)
        adapter = await radio(air, name="gateway", address=GATEWAY_ADDRESS, delegate=typist)
        return Ble(
            frozenset(service for meter in self._meters for service in meter.meter.advertised),
            backend=Backend(
                scanner=BumbleScanner, client=BumbleClient, options={"radio": adapter, "typist": typist}
            ),
        )


class _VirtualTransport:
    """See Transport. Its sightings say "ble": to a driver they are no different."""

    name = "virtual"

    def __init__(self, store: VirtualStore) -> None:
        self._store = store
        self._ble: Ble | None = None

    @property
    def state(self) -> str:
        """See Transport."""
        return self._ble.state if self._ble else "absent"

    async def sightings(self) -> AsyncGenerator[Sighting, None]:
        """See Transport."""
        self._ble = await self._store.ble()
        async with aclosing(self._ble.sightings()) as sightings:
            async for sighting in sightings:
                yield sighting

    def open(self, sighting: Sighting) -> AbstractAsyncContextManager[Link]:
        """See Transport."""
        return self._open(sighting)

    @asynccontextmanager
    async def _open(self, sighting: Sighting) -> AsyncIterator[Link]:
        ble = await self._store.ble()
        async with ble.open(sighting) as link:
            yield link


def virtual_meter(kind: str, number: int, seed: int) -> VirtualMeter:
    """Meter `number` of the store `seed`; its serial is its own in the whole chain. Raises ValueError."""
    address = f"C4:5E:{seed >> 8 & 0xFF:02X}:{seed & 0xFF:02X}:00:{number:02X}"
    serial = f"V{seed:05d}-{number:02d}"
    match kind:
        case "glucose":
            return GlucoseMeter(
                name=f"VGM-{number}", model="VGM-1", address=address, serial=serial, now=store_time
            )
        case "pressure":
            return PressureCuff(
                name=f"VBP-{number}",
                model="VBP-1",
                address=address,
                serial=serial,
                now=store_time,
                security=Security.JUST_WORKS,
            )
        case "temperature":
            return Thermometer(
                name=f"VTH-{number}",
                model="VTH-1",
                address=address,
                serial=serial,
                now=store_time,
                security=Security.JUST_WORKS,
            )
        case "three_in_one":
            return BeneCheckGlucoseService(
                name=f"BeneCheck-{number:04}", model="V31-1", address=address, serial=serial, now=store_time
            )
        case "sinocare":
            return BleLine(
                name=f"SN-6W-{number}",
                maker="Sinocare",
                model="UG Plus",
                address=address,
                serial=serial,
                now=store_time,
                line=sinocare_meter.SinocareMeter(now=store_time),
                service=sinocare_meter.SERVICE,
                notify=sinocare_meter.NOTIFY,
                write_to=sinocare_meter.WRITE,
                advertised=(sinocare_meter.SERVICE,),
            )
        case "taidoc":
            return BleLine(
                name="FORA 6 CONNECT",
                maker="TaiDoc",
                model="FORA 6 CONNECT",
                address=address,
                serial="Serial Number",  # as real ones say; the bus knows better
                now=store_time,
                line=taidoc_meter.TaiDocMeter(now=store_time, serial=f"4183{seed:08d}{number:04d}"),
                service=taidoc_meter.SERVICE,
                notify=taidoc_meter.CHANNEL,
                write_to=taidoc_meter.CHANNEL,
                advertised=(taidoc_meter.SERVICE,),
            )
        case _:
            raise ValueError(f"no virtual meter {kind!r}; there are: {', '.join(VIRTUAL_METERS)}")


def store_time() -> datetime:
    """The time on the wall of a store in China: naive, as meters have it."""
    return (datetime.now(UTC) + timedelta(hours=8)).replace(tzinfo=None, microsecond=0)
