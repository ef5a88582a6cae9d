"""A gateway that died knows who stood there, and never takes a stranger for them."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from gateway.buffer.limits import OutboxFull
from gateway.buffer.outbox import Outbox
from gateway.standing import Standing
from gateway.visits import IDLE_CLOSES_AFTER, Visits
from gateway.wire.messages import Reading, TakenAt, TimeQuality
from tests.gateway.readings import NOON, reading

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
SLOTS = {"one": (), "two": ()}
BOOT = "the machine's present run"


def died(directory: Path, *, boot: str = BOOT, closed: bool = False, stopped: bool = False) -> None:
    """A gateway where M001 stood at slot one from noon on, until it died."""

    async def main() -> None:
        outbox = await Outbox.open(directory, gateway="gw-1")
        visits = Visits(SLOTS)
        standing = Standing(outbox, visits, boot=boot)
        visits.open("one", "M001", NOON, id=UUID(int=1))
        await standing.keep("one", NOON)
        if closed:
            visits.close("one", NOON + MINUTE)
            await standing.keep("one", NOON + MINUTE)
        if stopped:
            await standing.forget()
        await outbox.close()

    asyncio.run(main())


def stands(
    directory: Path, now: datetime, *, boot: str = BOOT, lately: tuple[Reading, ...] = ()
) -> dict[str, str | None]:
    """Whose visit is open where after the next start at `now`."""

    async def main() -> Visits:
        outbox = await Outbox.open(directory, gateway="gw-1")
        visits = Visits(SLOTS)
        await Standing(outbox, visits, boot=boot).take_up(lately, now)
        await outbox.close()
        return visits

    visits = asyncio.run(main())
    return {slot: visit.code if (visit := visits.at(slot, now)) else None for slot in SLOTS}


def test_whoever_stood_there_when_the_process_died_still_does(tmp_path: Path):
    died(tmp_path)
    assert stands(tmp_path, NOON + 5 * SECOND) == {"one": "M001", "two": None}


@pytest.mark.parametrize(
    ("now", "changes"),
    [
        (NOON + 2 * MINUTE, {"closed": True}),
        (NOON + 2 * MINUTE, {"stopped": True}),
        (NOON + IDLE_CLOSES_AFTER, {}),
        (NOON - MINUTE, {}),
    ],
    ids=["the visit was closed", "the gateway was stopped", "too long ago", "a clock that jumped back"],
)
def test_nobody_stands_there_after(tmp_path: Path, now: datetime, changes: dict[str, bool]):
    died(tmp_path, **changes)
    assert stands(tmp_path, now) == {"one": None, "two": None}


@pytest.mark.parametrize(("before", "after"), [(BOOT, "another run"), ("", "")])
def test_after_a_power_cut_a_card_is_scanned_again(tmp_path: Path, before: str, after: str):
    died(tmp_path, boot=before)
    assert stands(tmp_path, NOON + MINUTE, boot=after) == {"one": None, "two": None}


def test_a_visit_stays_open_from_its_last_reading_on(tmp_path: Path):
    died(tmp_path)
    visits = Visits(SLOTS)
    visit = visits.open("one", "M001", NOON, id=UUID(int=1))
    at = NOON + 9 * MINUTE
    last = reading(at=at, visit=visit, time=TakenAt(at=at, quality=TimeQuality.DEVICE, received=at))
    assert stands(tmp_path, NOON + 12 * MINUTE) == {"one": None, "two": None}
    assert stands(tmp_path, NOON + 12 * MINUTE, lately=(last,)) == {"one": "M001", "two": None}


def test_a_disk_without_room_costs_only_the_memory_of_who_stands_there():
    class Full:
        async def mark(self, driver: str, device_key: str) -> str | None:
            return None

        async def set_mark(self, driver: str, device_key: str, value: str) -> None:
            raise OutboxFull

    visits = Visits(SLOTS)
    visits.open("one", "M001", NOON, id=UUID(int=1))
    asyncio.run(Standing(Full(), visits, boot=BOOT).keep("one", NOON))
    assert visits.at("one", NOON) is not None
