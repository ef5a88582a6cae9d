"""Whose meter is it?"""

import pytest

from gateway.conversation import Sighting
from gateway.drivers import DECODERS, DRIVERS, recognise


def _sighting(*services: str, name: str = "", transport: str = "ble") -> Sighting:
    return Sighting(transport=transport, address="C4:64:E3:12:00:01", name=name, services=frozenset(services))


@pytest.mark.parametrize(
    ("sighting", "driver"),
    [
        (_sighting("1808", name="Yuwell Glucose"), "ble.glucose"),
        (_sighting("1808", "180a", name="meter+01234567"), "ble.glucose"),
        (_sighting("1810", name="Yuwell BP-YE680A"), "ble.blood_pressure"),
        (_sighting("1810", "180a", name="A&D_UA-651BLE_5D9F1C"), "ble.and_ua651"),
        (_sighting("1810", "fe4a", name="BLESmart_00000481E1997D271C0A"), "ble.omron"),
        (_sighting("1809", name="FORA IR20"), "ble.thermometer"),
        (_sighting("1808", name="BeneCheck-1234"), "ble.benecheck"),  # its uric acid would be called glucose
        (_sighting("1808", name="BeneCheck GL-0F8B0C"), "ble.benecheck"),
        (_sighting("1808", name="GL-0042"), "ble.benecheck"),
        (_sighting("1808"), None),  # it may yet turn out to be a BeneCheck
        (_sighting("1000", name="BeneCheck TC-B DONGLE"), "ble.benecheck_dongle"),
        (_sighting("1000", name="somebody else"), None),
        (_sighting("c14d2c0a-401f-b7a9-841f-e2e93b80f631", name="101C00028D9"), "ble.acon_oncall"),
        (_sighting("c14d2c0a-401f-b7a9-841f-e2e93b80f631", name="Azufier"), None),  # anybody's module
        (_sighting("cdeacd80-5235-4c07-8846-93a37ee6b86d", name="YK-IBPA1"), "ble.yonker"),
        (_sighting("cdeacd80-5235-4c07-8846-93a37ee6b86d", name="BleModuleA"), None),  # an oximeter
        (_sighting("fff0", name="BP3GY1-2N"), "ble.microlife"),
        (_sighting("00010203-0405-0607-0809-0a0b0c0d1910", name="PoctorM3102"), "ble.poctor"),
        (_sighting(name="A6 BT"), "ble.microlife"),
        (_sighting(transport="serial"), None),
        (_sighting("ffe0", name="Sinocare"), "ble.sinocare"),
        (_sighting("ffb0", name="BDE_WEIXIN_TTM"), "ble.sinocare"),
        (_sighting(name="SN-6W"), "ble.sinocare"),
        (_sighting("ffe0", name="HMSoft"), None),  # anybody's module
        (_sighting("00005970-6d75-4753-5053-676e6f6c7553"), "ble.pangao"),
        (_sighting(name="ClinkBlood"), "ble.pangao"),
        (_sighting("1000", name="Bioland-BGM"), "ble.bioland"),
        (_sighting("1000", name="Bioland-BPM"), None),  # the same maker's cuff, and another layout
        (_sighting("fff0", name="RBP-9804"), "ble.raycome"),
        (_sighting("fff0", name="BLT_WBP"), "ble.blt"),
        (_sighting("1808", "180a", name="FORA 6 CONNECT"), "ble.taidoc"),  # its glucose service carries nothing
        (_sighting("1810", name="TAIDOC TD3128"), "ble.taidoc"),
        (_sighting("00001523-1212-efde-1523-785feabcd123", name="TNG VOICE"), "ble.taidoc"),
        (_sighting("00001523-1212-efde-1523-785feabcd123", "1808", name="GlucoRx HCT"), "ble.taidoc"),
        (_sighting("00001523-1212-efde-1523-785feabcd123", name="Nordic_Blinky"), None),  # a hobby board
        (_sighting("00001523-1212-efde-1523-785feabcd123"), None),
        (_sighting("ffe0", name="LPM311"), "ble.lpm311"),
        (_sighting("fee0", name="2782WBC1987(C)"), "ble.bionime"),
        (_sighting("fee0", name="Mi Smart Band 6"), None),  # the same service
        (_sighting("18f0", name="BPM-188"), "ble.jxh"),
        (_sighting("18f0", name="Vgate iCar"), None),  # an adapter for cars
        (_sighting("fff0", name="PC_300SNT"), "ble.pc300"),  # the module of Raycome's cuffs
        (_sighting("180d", name="heart rate strap"), None),
        (_sighting("1808", transport="serial"), None),
        (_sighting(name="CardioChek PA", transport="serial"), "serial.cardiochek"),
        (_sighting(name="OMRON HBP-9030", transport="serial"), "serial.omron_hbp"),
        (Sighting(transport="serial", address="usb-1", driver="serial.astm"), "serial.astm"),
        (Sighting(transport="serial", address="usb-1", driver="serial.ak_bu"), "serial.ak_bu"),
        (_sighting("af9df7a1-e595-11e3-96b4-0002a5d5c51b", name="OneTouch Z7QX"), "ble.lifescan"),
        (_sighting(name="OneTouch Z7QX"), "ble.lifescan"),
        (Sighting(transport="serial", address="usb-1", driver="serial.lifescan_ultra2"), "serial.lifescan_ultra2"),
    ],
)
def test_a_meter_goes_to_the_driver_that_understands_it(sighting: Sighting, driver: str | None) -> None:
    recognised = recognise(sighting)
    assert (recognised and recognised.name) == driver


def test_a_serial_meter_is_the_one_the_settings_name() -> None:
    sighting = Sighting(transport="serial", address="usb-1.2", usb_id="1a86:7523", driver="serial.benecheck")
    driver = recognise(sighting)
    assert driver is not None
    assert driver.name == "serial.benecheck"


@pytest.mark.parametrize(
    ("usb_id", "named", "driver"),
    [
        ("0590:00ab", "", "serial.omron_hbp"),
        ("1a86:7523", "", None),  # anybody's adapter
        ("1a86:7523", "serial.and_tm", "serial.and_tm"),
        ("1a86:7523", "serial.terumo", "serial.terumo"),
        ("0590:00ab", "serial.terumo", "serial.terumo"),
    ],
)
def test_a_tunnel_monitor_is_known_by_its_usb_port_or_by_the_settings(usb_id: str, named: str, driver) -> None:
    sighting = Sighting(transport="serial", address="1-1.2", usb_id=usb_id, driver=named)
    recognised = recognise(sighting)
    assert (recognised and recognised.name) == driver


def test_every_driver_says_where_it_comes_from_and_what_proves_it() -> None:
    for driver in DRIVERS:
        assert all((driver.devices, driver.source, driver.quirks, driver.proven_by))
        assert driver.services or driver.transport != "ble", "the scanner would never see it"
        assert driver.decoders.keys() <= DECODERS.keys()
    assert len({driver.name for driver in DRIVERS}) == len(DRIVERS)
