"""The transport's tests against a real bluetoothd, so that the one of our own that they run on daily cannot drift.

    python -m hil_tests.conformance

Kernel and bluetoothd are real; the adapter is a virtual one on /dev/vhci, with virtual meters within its reach.
That wants root and a machine whose Bluetooth nobody uses: KANGDOCK_BLUETOOTHD=1 says that this is one. Else a
guest is made, where there is what it takes; KANGDOCK_GUEST may name the folder that has it.
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
ONES = "[bluetoothd"
"""Of each test, the one in that tier."""
KERNEL_BUGS = {
    "6.1.": (
        ("forgot_its_bond", "an_attempt_a_killed_program"),
        "breaks down (list_del in hci_chan_del) when a line goes while bluetoothd has it open; 6.12 does not",
    )
}
"""By kernel: tests that cannot be run there, and why."""


def main() -> int:
    """Prints what is skipped and why; 1 if a test failed."""
    if (lacking := missing()) is not None:
        print(f"  skipped: {lacking}", flush=True)
        return 0
    if (why := here()) is None:
        return subprocess.run(_tests(os.uname().release), check=False).returncode
    print(f"  in a guest, and not here: {why}", flush=True)
    return guest.run(_tests(guest.kernel_version()))


def missing() -> str | None:
    """Why it can run neither here nor in a guest; None where it can."""
    why, lacking = here(), guest.missing()
    return None if why is None or lacking is None else f"here: {why}; in a guest: {lacking}"


def on() -> str:
    """What it runs on."""
    kernel = f"Linux {os.uname().release}" if here() is None else f"Linux {guest.kernel_version()} in a guest"
    return f"real bluetoothd and {kernel}, virtual adapter, virtual meters"


def here() -> str | None:
    """What is missing to run it on this machine; None where nothing is."""
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


def _tests(kernel: str) -> list[str]:
    which = ONES
    for version, (tests, bug) in KERNEL_BUGS.items():
        if kernel.startswith(version):
            for test in tests:
                print(f"  {test}: skipped: Linux {version}x {bug}", flush=True)
                which += f" and not {test}"
    options = ["-v", "--color=no", "--log-level=INFO", "-p", "no:cacheprovider"]
    return ["env", "KANGDOCK_BLUETOOTHD=1", sys.executable, "-m", "pytest", TESTS, *options, "-k", which]


if __name__ == "__main__":
    sys.exit(main())
