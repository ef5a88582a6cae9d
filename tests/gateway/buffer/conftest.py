"""What the outbox promises holds on a slow disk and on a quick one, where no thread saves for a lone caller."""

import pytest


@pytest.fixture(params=["thread", "here"])
def lone_callers_are_saved(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways, whatever disk the test runs on."""
    monkeypatch.setattr("gateway.buffer.writer.QUICK_IN_A_ROW", 0)
    monkeypatch.setattr("gateway.buffer.writer.QUICK_S", 3600.0)
    if request.param == "thread":
        monkeypatch.setattr("gateway.buffer.writer.SMALL_BYTES", 0)
