"""How sure a driver says it is: no surer than its public frames allow, and nothing of it is left to prose."""

import pytest

from gateway.conversation import Driver
from gateway.drivers import DRIVERS
from gateway.proof import Doubt, Proof, to_compare
from tests.gateway.drivers.vectors import VECTORS

EXAMPLES = ("device_capture", "vendor_sample")


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
def test_who_says_captured_has_a_captured_frame(driver: Driver) -> None:
    captured = [one["id"] for one in VECTORS if one["protocol"] in driver.decoders and one["kind"] in EXAMPLES]
    assert captured or driver.proof is not Proof.CAPTURED


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
def test_what_rests_on_no_published_frame_is_compared_with_the_display(driver: Driver) -> None:
    public = [one for one in VECTORS if one["protocol"] in driver.decoders and one["kind"] != "worked_out"]
    assert public or to_compare(driver.proof, driver.doubts)


def test_a_doubt_about_the_value_asks_for_a_look_at_the_display() -> None:
    assert not to_compare(Proof.CAPTURED, frozenset())
    assert not to_compare(Proof.CAPTURED, frozenset({Doubt.CLOCK, Doubt.MEMORY, Doubt.OFF_SCALE}))
    assert to_compare(Proof.CAPTURED, frozenset({Doubt.CLOCK, Doubt.VALUES}))
    assert to_compare(Proof.AGREED, frozenset())
    assert to_compare(Proof.ONE_SOURCE, frozenset())
