"""Every meter Kangdock can talk to: the drivers in the order they are asked, and their decoders by protocol key.

Each driver is a module that ends in `DRIVER`; adding one is a line in `DRIVERS`. Who carries a conversation is
`gateway.converse`'s business.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points

from gateway.conversation import Decoder, Driver, Sighting
from gateway.drivers import (
    acon_oncall,
    ak_bu,
    and_tm,
    and_ua651,
    astm,
    benecheck,
    benecheck_gls,
    bioland,
    bionime,
    ble_blood_pressure,
    ble_glucose,
    ble_thermometer,
    ble_time,
    blt,
    cardiochek,
    fdk,
    ieee11073,
    jxh,
    lepu_lpm311,
    lepu_pc300,
    lifescan_ultra2,
    lifescan_ultraeasy,
    lifescan_verio,
    microlife,
    omron,
    omron_hbp,
    pangao,
    poctor,
    raycome,
    sinocare,
    taidoc,
    terumo,
    yonker,
)

DRIVERS: tuple[Driver, ...] = (
    taidoc.DRIVER,
    taidoc.SERIAL_DRIVER,
    benecheck_gls.DRIVER,
    benecheck.DONGLE_DRIVER,
    benecheck.SERIAL_DRIVER,
    acon_oncall.BLE_DRIVER,
    acon_oncall.SERIAL_DRIVER,
    microlife.DRIVER,
    poctor.DRIVER,
    yonker.DRIVER,
    ble_glucose.DRIVER,
    omron.DRIVER,
    and_ua651.DRIVER,
    ble_blood_pressure.DRIVER,
    ble_thermometer.DRIVER,
    cardiochek.DRIVER,
    sinocare.DRIVER,
    lepu_lpm311.DRIVER,
    bionime.DRIVER,
    jxh.DRIVER,
    lepu_pc300.DRIVER,
    pangao.DRIVER,
    pangao.WIRE_DRIVER,
    astm.DRIVER,
    omron_hbp.DRIVER,
    and_tm.DRIVER,
    terumo.DRIVER,
    bioland.DRIVER,
    raycome.DRIVER,
    lifescan_ultra2.DRIVER,
    lifescan_ultraeasy.DRIVER,
    lifescan_verio.DRIVER,
    blt.DRIVER,
    fdk.DRIVER,
    ak_bu.DRIVER,
)
"""The first that recognises a sighting has it, so the particular stand before the general."""

ENTRY_POINTS = "kangdock.drivers"


def recognise(sighting: Sighting, drivers: Sequence[Driver] = DRIVERS) -> Driver | None:
    """The driver for what was sighted, or None if it is nobody's. One named in the settings is not asked."""
    for driver in drivers:
        if driver.transport != sighting.transport:
            continue
        if driver.name == sighting.driver or (not sighting.driver and driver.recognise(sighting)):
            return driver
    return None


def decoders_of(drivers: Sequence[Driver]) -> Mapping[str, Decoder]:
    """The frame decoders of `drivers`, and of the building blocks they share, by protocol key."""
    decoders: dict[str, Decoder] = {**ieee11073.DECODERS, **ble_time.DECODERS}
    for driver in drivers:
        decoders.update(driver.decoders)
    return decoders


DECODERS: Mapping[str, Decoder] = decoders_of(DRIVERS)


class NotADriver(Exception):
    """An installed package offers a driver that is none."""


def load_installed() -> tuple[Driver, ...]:
    """Drivers of other installed packages, by name, to stand before DRIVERS; raises NotADriver with its name."""
    loaded = []
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        try:
            driver = entry.load()
        except Exception as error:  # whatever another package does while it is imported
            raise NotADriver(f"{entry.name} ({entry.value}) cannot be loaded: {error}") from error
        if not isinstance(driver, Driver):
            raise NotADriver(f"{entry.name} ({entry.value}) is a {type(driver).__name__}, not a Driver")
        loaded.append(driver)
    return tuple(loaded)


def known_drivers() -> tuple[Driver, ...]:
    """Every driver there is here, those of other installed packages first; raises NotADriver."""
    return (*load_installed(), *DRIVERS)
