"""Whatever a meter says of itself: what is kept of it is what the cloud can read."""

import asyncio
import logging
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.buffer.outbox import Outbox
from gateway.conversation import Context, Record, Sighting
from gateway.custody import Custody, printable
from gateway.docking import header
from gateway.visits import BadCode, BadName, Visits, normalise_code, normalise_name
from gateway.wire import codec
from gateway.wire.messages import Reading, TimeQuality, Visit
from gateway.wire.vocabulary import Kind
from tests.gateway.readings import NOON, reading

ODD = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=40),  # with half surrogate pairs
    st.sampled_from(["", "\0", "GM-77\0\0\0", "\ud800", "x" * 5000, "\x1b[2J", "鱼跃"]),
)


class Kept:
    """Keeps readings as the outbox does, without a disk."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def put(self, readings: list[Reading]) -> int:
        self.bodies += map(codec.encode_reading, readings)
        return len(readings)

    async def mark(self, driver: str, device_key: str) -> str | None:
        return None

    async def set_mark(self, driver: str, device_key: str, value: str) -> None:
        pass


def custody_of(outbox: Any, **changes: Any) -> Custody:
    """The custody of one conversation with the meter AA:01 at noon, by a trusted clock, with no visit open."""
    usual: dict[str, Any] = {
        "driver": "ble.test",
        "sighting": Sighting(transport="ble", address="AA:01"),
        "conversation": UUID(int=2),
        "clock": lambda: NOON,
        "clock_trusted": lambda: True,
        "visit_at": lambda moment: None,
        "local_utc_offset_min": 480,
        "saved": lambda reading: None,
        "handed": lambda: 1,
    }
    return Custody(outbox=outbox, **(usual | changes))


@given(maker=ODD, model=ODD, serial=ODD, firmware=ODD, name=ODD, staff=ODD, code=ODD)
def test_a_reading_decodes_whatever_meter_and_counter_say(
    maker: str, model: str, serial: str, firmware: str, name: str, staff: str, code: str
) -> None:
    visits, visit = Visits({"one": ()}), None
    with suppress(BadCode, BadName):
        visit = visits.open("one", normalise_code(code), NOON, id=UUID(int=1), staff=normalise_name(staff))
    sighting = Sighting(transport="ble", address="AA:01", name=name)
    kept = Kept()
    custody = custody_of(kept, sighting=sighting, visit_at=lambda moment: visit)

    async def talk() -> None:
        for what, value in (("maker", maker), ("model", model), ("serial", serial), ("firmware", firmware)):
            await custody.note(what, value)
        await custody.save(Record(kind=Kind.GLUCOSE, key="1", values={"glucose_mmol_l": Decimal("5.4")}))

    asyncio.run(talk())
    (body,) = kept.bodies
    assert codec.decode_reading(body).visit == visit
    msgspec.json.decode(header("ble.test", Context(sighting=sighting, now=NOON), visit, clock_trusted=True))


@pytest.mark.parametrize(
    ("serials", "readings"),
    [
        (["X-1", ""], 1),  # the second time it was refused: a bond was lost
        (["", "X-1"], 1),  # the first time nobody had paired yet
        (["", "X-1", "", "X-1"], 1),
        (["X-1", "X-2"], 2),  # another meter behind the same radio
    ],
)
def test_a_memory_read_again_is_no_news_although_the_serial_number_was_told_only_once(
    tmp_path, serials, readings
) -> None:
    async def main() -> int:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        for number, serial in enumerate(serials):
            custody = custody_of(outbox, conversation=UUID(int=number + 1))
            if serial:
                await custody.note("serial", serial)
            await custody.save(Record(kind=Kind.GLUCOSE, key="1", values={"glucose_mmol_l": Decimal("5.4")}))
        held = await outbox.recent(10)
        await outbox.close()
        return len(held)

    assert asyncio.run(main()) == readings


def test_two_meters_that_print_on_one_line_keep_their_own_names() -> None:
    """Staff print from one meter, and from the next before the line has fallen silent."""
    kept = Kept()
    custody = custody_of(
        kept, driver="serial.test", sighting=Sighting(transport="serial", address="usb-1-1"), gateway="store-1"
    )

    async def talk() -> None:
        for serial in ("3093537", "3093537", "", "4104648"):
            await custody.note("serial", serial)
            await custody.save(Record(kind=Kind.GLUCOSE, key="1", values={"glucose_mmol_l": Decimal("5.4")}))

    asyncio.run(talk())
    readings = [codec.decode_reading(body) for body in kept.bodies]
    assert [each.device.key for each in readings] == ["3093537", "3093537", "store-1/usb-1-1", "4104648"]
    assert len({each.id for each in readings}) == 3


def test_why_a_record_was_no_reading_is_found_beside_the_conversation_whose_bytes_are_kept(caplog) -> None:
    """A memory goes on behind a record nobody can read, and the screen forgets it: who mends the decoder needs to
    know which conversations to play again."""
    caplog.set_level(logging.INFO, "gateway.custody")
    custody = custody_of(Kept(), conversation=UUID(int=4))

    async def talk() -> None:
        await custody.note("battery_percent", "80")
        await custody.note("error", "garbled_truncated")
        await custody.note("records", "3")

    asyncio.run(talk())
    assert [record.getMessage() for record in caplog.records] == [
        f"custody.noted driver=ble.test conversation={UUID(int=4)} error=garbled_truncated"
    ]


def visit(**changes: str) -> Visit:
    return msgspec.structs.replace(Visit(id=UUID(int=1), code="M1", slot="one", opened=NOON), **changes)


@pytest.mark.parametrize(
    "refused",
    [
        {"record_key": "\0"},
        {"user_slot": "\ud800"},
        {"visit": visit(staff="\0")},
        {"flags": ("x" * codec.MAX_READING_BYTES,)},
        {"values": {"ketone_mmol_l": Decimal(1)}},
        {"values": {}},
        {"values": {"glucose_mmol_l": Decimal("NaN")}},
    ],
)
def test_what_the_cloud_would_refuse_is_an_error_at_its_source_and_not_saved(tmp_path, refused) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        with pytest.raises(codec.Undecodable):
            await outbox.put([reading(), reading(**refused)])
        assert await outbox.recent(10) == []
        await outbox.close()

    asyncio.run(main())


def test_the_padding_of_a_meters_text_is_not_part_of_it() -> None:
    assert printable("GM-77\0\0\0") == "GM-77"


def test_a_meters_clock_that_was_compared_with_a_clock_that_was_wrong_says_nothing_when_that_has_jumped() -> None:
    """A Pi wakes up where it was switched off yesterday; NTP answers while a meter is being read."""
    waking, now = NOON - timedelta(hours=14), NOON
    gateway = {"clock": waking, "trusted": False}
    kept = Kept()
    custody = custody_of(kept, clock=lambda: gateway["clock"], clock_trusted=lambda: gateway["trusted"])

    async def talk() -> None:
        await custody.note("clock", "2025-01-01T00:00:00")  # the meter's own clock is not right either
        gateway.update(clock=now, trusted=True)
        record = Record(
            kind=Kind.GLUCOSE,
            key="1",
            values={"glucose_mmol_l": Decimal("5.4")},
            device_time=datetime.fromisoformat("2025-01-01"),
        )
        await custody.save(record)

    asyncio.run(talk())
    (body,) = kept.bodies
    time = codec.decode_reading(body).time
    assert (time.quality, time.offset_s) == (TimeQuality.UNTRUSTED, None)
