"""The transport's tests against a real bluetoothd, so that the one of our own that they run on daily cannot drift.

Kernel and bluetoothd are real; the adapter is a virtual one on /dev/vhci, with virtual meters within its reach.
That wants root and a machine whose Bluetooth nobody uses: KANGDOCK_BLUETOOTHD=1 says that this is one. Else a
guest is made, where there is what it takes.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from gateway.transports import bluez
from hil_tests import guest

VHCI = Path("/dev/vhci")
TESTS = "tests/gateway/transports"
KERNEL_BUGS = (("6.1.", "forgot_its_bond", "breaks down (list_del in hci_chan_del) when a bond was forgotten"),)
"""By kernel: a test's name, and why it cannot be run there."""


def main() -> int:
    """Prints what is skipped and why; 1 if a test failed."""
    why = reason_to_skip()
    if why is None:
        return subprocess.run(_tests(os.uname().release), check=False).returncode
    print(f"  bluetoothd here: skipped: {why}", flush=True)
    try:
        return guest.run(_tests(guest.kernel_version()))
    except guest.Missing as missing:
        print(f"  bluetoothd in a guest: skipped: {missing}", flush=True)
        return 0


def _tests(kernel: str) -> list[str]:
    which = "bluetoothd"
    for version, test, bug in KERNEL_BUGS:
        if kernel.startswith(version):
            print(f"  {test}: skipped: Linux {version}x {bug}", flush=True)
            which += f" and not {test}"
    pytest = [sys.executable, "-m", "pytest", TESTS, "-v", "--color=no", "-k", which, "-p", "no:cacheprovider"]
    return ["env", "KANGDOCK_BLUETOOTHD=1", *pytest]


def reason_to_skip() -> str | None:
    """What is missing here; None where nothing is."""
    if os.environ.get("KANGDOCK_BLUETOOTHD") != "1":
        return "KANGDOCK_BLUETOOTHD=1 is not set: only a machine whose Bluetooth nobody uses may be tested on"
    if not os.access(VHCI, os.R_OK | os.W_OK):
        return f"{VHCI} cannot be opened: run as root, after `modprobe hci_vhci`"
    if not is_there():
        return "no bluetoothd is running"
    return None


def is_there() -> bool:
    """Whether a bluetoothd answers on the system bus."""

    async def ask() -> None:
        async with bluez.system_bus() as bus:
            await bluez.managed(bus)

    try:
        asyncio.run(ask())
    except bluez.BluezError:
        return False
    return True
