"""The virtual Omron and A&D cuffs, byte by byte against what was published of them."""

from datetime import datetime, timedelta
from decimal import Decimal

from gateway.simulators.omron_cuff import NOTIFY, UNLOCK, WRITE, OmronCuff
from gateway.simulators.ua651_cuff import Ua651

MAY = datetime.fromisoformat("2026-05-20T18:18:59")
START, SETTINGS, FOUR_RECORDS, END = "0800000000100018", "080100028c18009f", "08010002e83800db", "080f000000000007"


def omron(**options) -> OmronCuff:
    return OmronCuff(name="BLESmart_1", address="C4:5E:00:00:00:04", now=lambda: MAY, **options)


def said(meter: OmronCuff, request: str, channel: str = WRITE) -> list[str]:
    return [
        f"{one.channel[:4]} {one.data.hex()}" for one in meter.write(channel, bytes.fromhex(request), frozenset())
    ]


def test_an_omron_record_is_the_one_that_was_captured():
    record = omron(measured=0x5A).measure(106, 66, 81)
    assert record[:8].hex() == "5142511a9216bb14"  # the bytes behind them nobody has explained, but for a number
    assert record[10:12].hex() == "5a00"


def test_an_omron_answers_only_once_it_is_unlocked_and_gives_the_token_back():
    meter = omron()
    assert said(meter, START) == []
    assert said(meter, "11cd0237b7" + "00" * 15, UNLOCK) == ["b305 9100cd0237b7" + "00" * 14]
    assert said(meter, START) == ["4912 0880000000100098"]
    assert said(meter, END) == ["4912 088f000000000087"]
    assert said(meter, START[:-2] + "19") == []  # a wrong check byte
    meter.on_link_lost()
    assert said(meter, START) == []


def test_an_omron_tells_its_clock_and_its_records_by_address():
    meter = omron(unlocked=True, started=True)
    meter.measure(106, 66, 81)
    (settings,) = said(meter, SETTINGS)
    assert settings.startswith("4912 208100028c18c0500000000000001a0514121")
    (records,) = said(meter, FOUR_RECORDS)
    assert records.startswith("4912 40810002e8385142511a9216bb14")
    assert records[5 + 12 + 28 : 5 + 12 + 112] == "ff" * 42


def test_an_omron_overwrites_its_oldest_record():
    meter = omron(slots=2)
    for systolic in (101, 102, 103):
        meter.measure(systolic, 60, 70)
    assert [record[0] + 25 for record in meter.records] == [103, 102]
    assert NOTIFY in meter.measurement_channels()


def test_a_ua651_says_nothing_before_its_clock_is_written():
    meter = Ua651(address="C4:5E:00:00:00:05", now=lambda: MAY, clock_error=timedelta(days=-1))
    meter.measure(Decimal(121), Decimal(80), Decimal(66))
    assert list(meter.on_subscribed(frozenset({"2a35"}))) == []
    told = meter.write("2a08", bytes.fromhex("ea07051412123b"), frozenset({"2a35"}))
    assert [one.data.hex() for one in told] == ["16790008105e00ea07051312123b42000000"]
    assert meter.clock() == MAY
