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
    """An installed package offers a driver that is none or could never be used: which package, and why."""


def load_installed() -> tuple[Driver, ...]:
    """Drivers of other installed packages, by name, to stand before DRIVERS; raises NotADriver."""
    loaded: list[Driver] = []
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        which = f"{entry.name} = {entry.value!r} of package {entry.dist.name if entry.dist else 'unknown'}"
        try:
            driver = entry.load()
        except (Exception, SystemExit) as error:  # whatever another package does while it is imported
            raise NotADriver(f"{which} cannot be loaded: {type(error).__name__}: {error}") from error
        if not isinstance(driver, Driver):
            raise NotADriver(f"{which} is a {type(driver).__name__}, not a Driver")
        if wrong := _unusable(driver, (*loaded, *DRIVERS)):
            raise NotADriver(f"{which} {wrong}")
        loaded.append(driver)
    return tuple(loaded)


def _unusable(driver: Driver, others: Sequence[Driver]) -> str:
    """Why `driver` would never meet a meter, or be mistaken for one of `others`; "" where nothing is wrong."""
    if driver.transport not in ("ble", "serial"):
        return f"has the transport {driver.transport!r}, not ble or serial"
    if driver.transport == "ble" and not (driver.services or driver.names):
        return "has neither services nor names: the scanner would never see its meters"
    if any(service != service.lower() for service in driver.services):
        return "has services in capitals: the scanner would never see its meters"
    if any(driver.name == other.name for other in others):  # a journal names the driver it is read again with
        return f"is called {driver.name!r}, as another driver is"
    return ""


def known_drivers() -> tuple[Driver, ...]:
    """Every driver there is here, those of other installed packages first; raises NotADriver."""
    return (*load_installed(), *DRIVERS)
