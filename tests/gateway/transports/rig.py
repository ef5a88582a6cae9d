"""Virtual meters on virtual air, and the gateway's `Ble` transport that reaches them: the bench of these tests."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from gateway.conversation import Sighting
from gateway.simulators.air import BONDING_KEYS, Air, radio
from gateway.simulators.bumble_meter import BumbleMeter
from gateway.simulators.glucose_meter import GlucoseMeter
from gateway.simulators.meter import VirtualMeter
from gateway.simulators.pressure_cuff import PressureCuff
from gateway.transports.ble import Backend, Ble
from gateway.transports.bumble_backend import BumbleClient, BumbleScanner, Typist

SERVICES = frozenset({"1808", "1810"})
NOON = datetime.fromisoformat("2026-03-05T12:00")
WITHIN_S = 20.0
"""Ends a test that hangs; none is judged by it."""


def glucose_meter(**options) -> GlucoseMeter:
    return GlucoseMeter(name="VGM", address="C4:5E:00:00:00:01", now=lambda: NOON, **options)


def pressure_cuff(**options) -> PressureCuff:
    return PressureCuff(name="VBP", address="C4:5E:00:00:00:02", now=lambda: NOON, **options)


@dataclass
class Bench:
    """What a test holds: the transport, the meters by name, and who typed passkeys."""

    ble: Ble
    meters: dict[str, BumbleMeter]
    typist: Typist | None = None

    async def sighting_of(self, name: str) -> Sighting:
        async with asyncio.timeout(WITHIN_S), aclosing(self.ble.sightings()) as sightings:
            async for sighting in sightings:
                if sighting.name == name:
                    return sighting
        raise AssertionError("sightings never end")


@asynccontextmanager
async def bumble_bench(
    *meters: VirtualMeter, passkeys: Mapping[str, int] | None = None, keeps_advertising: bool = False, **options
) -> AsyncIterator[Bench]:
    """Tier A: bleak on the bumble backend; nothing but pip is needed."""
    air = Air()
    served = {meter.name: BumbleMeter(meter, keeps_advertising=keeps_advertising) for meter in meters}
    for meter in served.values():
        await meter.power_on(air)
    typist = Typist(passkeys or {}, BONDING_KEYS)
    adapter = await radio(air, name="gateway", address="C0:00:00:00:00:01", delegate=typist)
    backend = Backend(scanner=BumbleScanner, client=BumbleClient, options={"radio": adapter, "typist": typist})
    for meter in served.values():
        await meter.advertise()
    try:
        yield Bench(Ble(SERVICES, backend=backend, **options), served, typist)
    finally:
        for meter in served.values():
            await meter.power_off()
