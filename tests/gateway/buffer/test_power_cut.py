"""The power goes at every moment of a store's work, and everything it was promised is there afterwards."""

import asyncio
import random
from pathlib import Path

import pytest

from gateway.buffer.outbox import Outbox
from hil_tests.powercut.rig import cut_everywhere
from hil_tests.powercut.store import Weakness
from hil_tests.powercut.trace import available
from hil_tests.readings import reading

pytestmark = pytest.mark.skipif(available() is not None, reason=f"power cuts cannot be recorded: {available()}")

# Only a card that spoils its neighbours, or tears a frame's 24-byte header, may make a sound outbox look damaged;
# even then nothing may be lost.
CLEAN = ("all", "half", "unsynced_lost", "names_lost", "names_lost_data_kept", "reordered")


def test_no_power_cut_loses_what_the_store_was_promised(tmp_path: Path) -> None:
    verdict = cut_everywhere(tmp_path, alone=8)
    assert verdict.states.total() > 500
    assert verdict.lossy.total() == 0, verdict
    assert not any(verdict.damaged[sort] for sort in CLEAN), verdict


@pytest.mark.parametrize("weakness", [Weakness.NORMAL, Weakness.OFF])
def test_the_rig_notices_an_outbox_that_does_not_wait_for_the_disk(tmp_path: Path, weakness: Weakness) -> None:
    verdict = cut_everywhere(tmp_path, weakness=weakness, alone=4)
    assert verdict.lossy["unsynced_lost"] > 10, verdict


def test_the_rig_notices_an_outbox_that_believes_its_card_spoils_no_neighbours(tmp_path: Path) -> None:
    verdict = cut_everywhere(tmp_path, weakness=Weakness.TRUSTING, alone=8)
    assert verdict.lossy["spoiled_4096"] > 0, verdict


def test_no_power_cut_during_a_salvage_loses_what_was_salvaged(tmp_path: Path) -> None:
    def spoiled_header(directory: Path) -> set[str]:
        async def fill() -> None:
            outbox = await Outbox.open(directory, gateway="store-1")
            await outbox.put([reading(number) for number in range(5000, 5040)])
            await outbox.close()

        asyncio.run(fill())
        with (directory / "live" / "outbox.sqlite").open("r+b") as opened:
            opened.write(random.Random(1).randbytes(100))
        return {f"reading:{number}" for number in range(5000, 5040)}

    verdict = cut_everywhere(tmp_path, alone=2, prepare=spoiled_header)
    assert verdict.lossy.total() == 0, verdict
