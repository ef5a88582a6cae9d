"""What virtual radios say of themselves, and that they say no more than real ones can: Linux drops the rest."""

import asyncio

import pytest
from bumble.core import UUID, AdvertisingData
from bumble.hci import HCI_Error

from gateway.simulators.air import BONDING_KEYS, LONGEST_ADVERTISEMENT, Air, radio
from gateway.simulators.bumble_meter import BumbleMeter, advertisement
from gateway.simulators.glucose_meter import GlucoseMeter
from gateway.transports.bumble_backend import Typist
from tests.gateway.transports.rig import WITHIN_S, noon

LONG = "af9df7a1-e595-11e3-96b4-0002a5d5c51b"
NAME, SHORT_UUIDS, LONG_UUIDS = (
    AdvertisingData.COMPLETE_LOCAL_NAME,
    AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
    AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS,
)


async def heard(name: str, services: tuple[str, ...], *, active: bool) -> AdvertisingData:
    """What a scanner makes of a meter's call."""
    air = Air()
    meter = BumbleMeter(GlucoseMeter(name=name, address="C4:5E:00:00:00:01", now=noon, advertised=services))
    await meter.power_on(air)
    listener = await radio(air, name="it", address="C0:00:00:00:00:01", delegate=Typist({}, BONDING_KEYS))
    told = asyncio.get_running_loop().create_future()
    listener.on("advertisement", lambda one: told.done() or told.set_result(one.data))
    await listener.start_scanning(active=active, filter_duplicates=False)
    await meter.advertise()
    async with asyncio.timeout(WITHIN_S):
        try:
            return await told
        finally:
            await meter.power_off()


@pytest.mark.parametrize(("name", "services"), [("VGM", ("1808",)), ("OneTouch Z7QX", (LONG,)), ("x" * 29, ())])
def test_a_meter_is_heard_with_its_name_and_its_services_and_never_with_more_than_31_bytes(name, services):
    for said in advertisement(name, services):
        assert len(said) <= LONGEST_ADVERTISEMENT
    data = asyncio.run(heard(name, services, active=True))
    assert data.get(NAME) == name
    listed = [*(data.get(SHORT_UUIDS) or []), *(data.get(LONG_UUIDS) or [])]
    assert listed == [UUID(service) for service in services]


def test_who_only_listens_hears_no_scan_response():
    data = asyncio.run(heard("OneTouch Z7QX", (LONG,), active=False))
    assert data.get(LONG_UUIDS) == [UUID(LONG)]
    assert data.get(NAME) is None


@pytest.mark.parametrize(("name", "services"), [("x" * 30, ()), ("VGM", (LONG, LONG))])
def test_no_radio_says_more_than_there_is_room_for(name, services):
    with pytest.raises(HCI_Error):
        asyncio.run(heard(name, services, active=True))
