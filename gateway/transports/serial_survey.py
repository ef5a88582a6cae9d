"""What hangs on this machine's serial ports, and what keeps the gateway from it, in words: for `doctor`.

It opens each port that a meter hangs on and closes it again; it says nothing on the line.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.config import SerialSettings
from gateway.conversation import Driver, Sighting
from gateway.transports.serial_link import BUSY, DENIED, CannotOpen, open_tty
from gateway.transports.serial_port import Port, line_of, ports_there, setting_of, sighting_of, usb_ports

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """A port, the driver of the meter on it ("": nobody knows it), and why it cannot be opened ("": it can)."""

    port: Port
    driver: str = ""
    why: str = ""


def survey(
    settings: Sequence[SerialSettings],
    recognise: Callable[[Sighting], Driver | None],
    look: Callable[[], Sequence[Port]] = usb_ports,
) -> list[Surveyed]:
    """Every port there is; it may block."""
    return [_surveyed(port, settings, recognise) for port in ports_there(settings, look())]


def _surveyed(
    port: Port, settings: Sequence[SerialSettings], recognise: Callable[[Sighting], Driver | None]
) -> Surveyed:
    driver = recognise(sighting_of(port, settings))
    if driver is None:
        return Surveyed(port=port)
    try:
        open_tty(port.device, line_of(driver, port, settings)).close()
    except CannotOpen as error:
        return Surveyed(port=port, driver=driver.name, why=error.why)
    return Surveyed(port=port, driver=driver.name)


def unknown_drivers(settings: Sequence[SerialSettings], drivers: Sequence[Driver]) -> list[str]:
    """What is wrong with the drivers the settings name, ready for a person to read."""
    serial = sorted(driver.name for driver in drivers if driver.transport == "serial")
    return [
        f"serial[{number}].driver: no serial driver {one.driver!r}; there are: {', '.join(serial)}"
        for number, one in enumerate(settings, start=1)
        if one.driver not in serial
    ]


def judge(
    surveyed: Sequence[Surveyed], settings: Sequence[SerialSettings], *, gateway_runs: bool
) -> tuple[str, str, str]:
    """How it is (ok, warn, fail), what was found, and what to do about the worst of it."""
    found = "; ".join(map(_words, surveyed)) or "no serial port is plugged in"
    for one in surveyed:
        match one.why:
            case x if x == BUSY and not gateway_runs:
                why = "is in use by another program"
                todo = f"find who has it: fuser -v {one.port.device}. ModemManager lets go with 60-kangdock.rules"
            case x if x == DENIED:
                why = "may not be opened by this user"
                todo = "put this user into the group that may: usermod -aG dialout kangdock; then start it again"
            case x if x not in ("", BUSY):
                why = f"cannot be opened ({x})"
                todo = "pull its plug and plug it in again"
            case _:
                continue
        return FAIL, f"{one.port.address} {why}; {found}", todo
    for setting in settings:
        if not any(setting_of(one.port, (setting,)) for one in surveyed):
            meant = setting.device or " ".join(filter(None, (setting.usb_path, setting.usb_id)))
            todo = "plug it in where it was, or correct [[serial]] in the settings"
            return WARN, f"no port {meant} for {setting.driver}; {found}", todo
    return OK, found, ""


def _words(one: Surveyed) -> str:
    what = " ".join(filter(None, (one.port.usb_id, one.port.product)))
    where = f"{one.port.address} ({what})" if what else one.port.address
    return (
        f"{where}: {one.driver}" if one.driver else f"{where}: no driver; if it is a meter, name it in [[serial]]"
    )
