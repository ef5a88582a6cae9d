"""The transport's tests against a real bluetoothd, so that the one of our own that they run on daily cannot drift.

Kernel and bluetoothd are real; the adapter is a virtual one on /dev/vhci, with virtual meters within its reach. It
wants root and a machine whose Bluetooth nobody uses: a guest. KANGDOCK_BLUETOOTHD=1 says that this is one.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from gateway.transports import bluez

VHCI = Path("/dev/vhci")
TESTS = "tests/gateway/transports"


def main() -> int:
    """Prints what is skipped and why; 1 if a test failed."""
    if (why := reason_to_skip()) is not None:
        print(f"  bluetoothd: skipped: {why}", flush=True)
        return 0
    return subprocess.run(
        [sys.executable, "-m", "pytest", TESTS, "-q", "-k", "bluetoothd", "-p", "no:cacheprovider"],
        env={**os.environ, "KANGDOCK_BLUETOOTHD": "1"},
        check=False,
    ).returncode


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
