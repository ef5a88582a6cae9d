"""A driver's conversation over a link: what is journalled, when a record counts, how it ends."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from gateway.conversation import Context, Lost, Record, Refused, Sighting, Talk, note, time_to_set, wait
from gateway.converse import converse
from gateway.drivers import ble_blood_pressure
from gateway.journalled import journalled

CUFF = Sighting(
    transport="ble", address="C4:64:E3:12:00:01", name="Yuwell BP-YE680A", services=frozenset({"1810"})
)
INDICATION = bytes.fromhex("1e8a0058006900ea070302091f004800010000")


class _Cuff:
    """A link to a cuff that indicates what it has, then hangs up."""

    def __init__(self, *indications: bytes) -> None:
        self._coming: Iterator[bytes] = iter(indications)

    async def pair(self) -> None: ...

    async def subscribe(self, channel: str) -> None: ...

    async def read(self, channel: str) -> bytes:
        raise Refused("attribute_not_found")

    async def write(self, channel: str, data: bytes, acknowledged: bool) -> None: ...

    async def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        for data in self._coming:
            await asyncio.sleep(0)
            return "2a35", data
        raise Lost("the cuff hung up")


class _Keeper:
    def __init__(self) -> None:
        self.kept: list[tuple[str, object]] = []

    async def journal(self, channel: str, data: bytes) -> None:
        self.kept.append(("raw", data))

    async def save(self, record: Record) -> None:
        self.kept.append(("record", record.key))

    async def note(self, what: str, value: str) -> None:
        self.kept.append((what, value))

    async def remember(self, value: str) -> None: ...


def _converse(*indications: bytes) -> _Keeper:
    keeper = _Keeper()
    context = Context(sighting=CUFF, now=datetime(2026, 3, 2, 1, 32, tzinfo=UTC))

    async def play() -> None:
        async with journalled(_Cuff(*indications), keeper.journal) as link:
            await converse(ble_blood_pressure.talk(context), link, keeper)

    asyncio.run(play())
    return keeper


def test_the_raw_bytes_are_kept_before_anybody_reads_them() -> None:
    kept = _converse(INDICATION, b"\x02\x03").kept
    record, error = ("record", "2026-03-02T09:31:00#1#138/88/72"), ("error", "garbled_truncated")
    assert sorted(kept, key=str) == sorted([("raw", INDICATION), record, ("raw", b"\x02\x03"), error], key=str)
    assert kept.index(("raw", INDICATION)) < kept.index(record)
    assert kept.index(("raw", b"\x02\x03")) < kept.index(error)


def test_a_cuff_that_hangs_up_after_its_last_record_has_simply_finished() -> None:
    assert len(_converse(INDICATION).kept) == 2


def test_a_cuff_that_hangs_up_before_it_told_anything_was_lost() -> None:
    with pytest.raises(Lost):
        _converse()


def test_a_clock_is_set_to_the_time_at_which_it_is_written(monkeypatch: pytest.MonkeyPatch):
    context = Context(
        sighting=CUFF,
        now=datetime(2026, 3, 2, 1, 32, tzinfo=UTC),
        set_clock_to=datetime.fromisoformat("2026-03-02T09:32:00"),
    )

    def talk() -> Talk:
        yield from wait(10.0)  # a long memory
        moment = yield from time_to_set(context)
        yield from note("clock_set", moment.isoformat())

    async def main() -> _Keeper:
        loop, keeper = asyncio.get_running_loop(), _Keeper()
        began_s = loop.time()

        class Slow(_Cuff):
            async def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
                monkeypatch.setattr(loop, "time", lambda: began_s + 95.5)
                return None

        await converse(talk(), Slow(), keeper)
        monkeypatch.undo()
        return keeper

    assert asyncio.run(main()).kept == [("clock_set", "2026-03-02T09:33:35")]
