"""The transports that the settings ask for: Bluetooth and serial ports, made but not started.

Who watches them is `gateway.app`'s and `gateway.capture`'s business.
"""

from collections.abc import Callable, Sequence

from gateway.config import Config
from gateway.conversation import Driver, Sighting
from gateway.transports import Transport
from gateway.transports.serial_port import SerialPorts


def lines_of(
    config: Config, drivers: Sequence[Driver], recognise: Callable[[Sighting], Driver | None]
) -> list[Transport]:
    """Every transport of `config`, for meters of `drivers`."""
    lines: list[Transport] = []
    if config.ble.enabled:
        from gateway.transports.ble import Ble  # a gateway without a radio does not load bleak

        ours = [driver for driver in drivers if driver.transport == "ble"]
        ble = Ble(
            frozenset[str]().union(*(driver.services for driver in ours)),
            names=[name for driver in ours for name in driver.names],
            adapter=config.ble.adapter,
            passkeys=config.ble.passkeys,
        )
        lines.append(ble)
    lines.append(SerialPorts(config.serial, recognise))
    return lines
