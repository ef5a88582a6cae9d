"""The two tiers of virtual Bluetooth; see tests.gateway.transports.rig."""

import shutil
from collections.abc import Iterator
from functools import partial

import pytest

from tests.gateway.transports.rig import BlueZService, bluez_bench, bumble_bench


@pytest.fixture(scope="session")
def bluez_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlueZService]:
    """Our `org.bluez` on a private bus."""
    if shutil.which("dbus-daemon") is None:
        pytest.skip("tier B needs dbus-daemon (Debian package dbus-daemon), which is not installed")
    with BlueZService(tmp_path_factory.mktemp("bus")).running() as service:
        yield service


@pytest.fixture(params=["bumble", "bluez"])
def bench_of(request: pytest.FixtureRequest):
    """Makes a bench of virtual meters, in either tier."""
    if request.param == "bumble":
        return bumble_bench
    return partial(bluez_bench, request.getfixturevalue("bluez_service"))
