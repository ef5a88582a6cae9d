"""The tiers of virtual Bluetooth; see tests.gateway.transports.rig and .bluetoothd."""

import shutil
from collections.abc import Iterator
from functools import partial

import pytest

from tests.gateway.transports.bluetoothd import BluetoothdService, bluetoothd_bench
from tests.gateway.transports.rig import IN_A_GUEST, BlueZService, bluez_bench, bumble_bench


@pytest.fixture(scope="session")
def bluez_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlueZService]:
    """Our `org.bluez` on a private bus."""
    if shutil.which("dbus-daemon") is None:
        pytest.skip("tier B needs dbus-daemon (Debian package dbus-daemon), which is not installed")
    with BlueZService(tmp_path_factory.mktemp("bus")).running() as service:
        yield service


@pytest.fixture(scope="session")
def bluetoothd_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlueZService]:
    """An adapter and meters for the machine's own bluetoothd."""
    with BluetoothdService(tmp_path_factory.mktemp("vhci")).running() as service:
        yield service


BLUEZ_TIERS = ["bluez", "bluetoothd"] if IN_A_GUEST else ["bluez"]


def _bench_of(request: pytest.FixtureRequest):
    match request.param:
        case "bumble":
            return bumble_bench
        case "bluez":
            return partial(bluez_bench, request.getfixturevalue("bluez_service"))
        case _:
            return partial(bluetoothd_bench, request.getfixturevalue("bluetoothd_service"))


@pytest.fixture(params=["bumble", *BLUEZ_TIERS])
def bench_of(request: pytest.FixtureRequest):
    """Makes a bench of virtual meters, in every tier."""
    return _bench_of(request)


@pytest.fixture(params=BLUEZ_TIERS)
def bluez_bench_of(request: pytest.FixtureRequest):
    """The same where BlueZ is: what only BlueZ does."""
    return _bench_of(request)
