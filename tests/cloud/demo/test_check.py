"""Clocks, chance and the outside world are found in code that should be handed them."""

import pytest

from cloud.demo.check import impure_calls


@pytest.mark.parametrize(
    "source",
    ["at = datetime.now(UTC)", "at = datetime.datetime.now()", "i = uuid4()", "t = time.monotonic()", "open('x')"],
)
def test_a_call_of_the_clock_is_found(source: str) -> None:
    assert [line for line, _called in impure_calls(f"import x\n{source}\n")] == [2]


def test_a_time_that_is_an_argument_is_fine() -> None:
    assert not list(impure_calls("def age(now: datetime) -> int:\n    return (now - datetime(2000, 1, 1)).days\n"))
