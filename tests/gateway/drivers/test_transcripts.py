"""Every transcript is played through its driver; the folder is the list of what the drivers are known to do."""

import re
from pathlib import Path
from uuid import UUID

import pytest

from gateway.drivers import DRIVERS
from gateway.transcript import Played, play
from gateway.transcript_text import Transcript, parse, write
from gateway.vouch import Circumstances, vouch
from gateway.wire.messages import Device

FOLDER = Path(__file__).parent / "transcripts"
TRANSCRIPTS = sorted(FOLDER.glob("*/*.txt"))
BY_NAME = {driver.name: driver for driver in DRIVERS}


def _play(path: Path) -> tuple[Transcript, Played]:
    transcript = parse(path.read_text("utf-8"))
    return transcript, play(transcript, BY_NAME[transcript.driver])


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_driver_says_what_its_transcript_says(path: Path) -> None:
    transcript, played = _play(path)
    assert transcript.driver == path.parent.name
    # What was played can be written down again: the file a field engineer captures is the file we test with.
    written = write(transcript.driver, transcript.context, played.exchanges, played.error)
    comment = re.compile(
        r"# (?!(driver|transport|name|address|services|usb_id|waited|received|last_record|set_clock_to):).*\n"
    )
    assert written == comment.sub("", path.read_text("utf-8"))


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
def test_every_driver_shows_what_happens_on_a_counter(driver) -> None:
    shown = {path.stem for path in FOLDER.glob(f"{driver.name}/*.txt")}
    assert shown >= {
        "happy_path",
        "several_records",
        "lost_midway",
        "resumed",
        "wrong_clock",
        "hi_and_lo",
        "garbage",
    }


def _readings(path: Path, conversation: int) -> list:
    transcript, played = _play(path)
    return [
        vouch(
            record,
            Circumstances(
                device=Device(key="YG20250117"),
                driver=transcript.driver,
                conversation=UUID(int=conversation),
                received=transcript.context.now,
                clock_offset_s=None,
                gateway_clock_trusted=True,
                local_utc_offset_min=480,
                visit=None,
                arrival=arrival,
            ),
        )
        for arrival, record in enumerate(played.records)
    ]


def test_a_glucose_memory_read_in_two_conversations_is_read_once() -> None:
    first = _readings(FOLDER / "ble.glucose" / "lost_midway.txt", 1)
    second = _readings(FOLDER / "ble.glucose" / "resumed.txt", 2)
    assert [reading.record_key.partition("@")[0] for reading in first + second] == ["0", "1", "2"]
    assert len({reading.id for reading in first + second}) == 3


@pytest.mark.parametrize(
    "driver",
    [
        "ble.blood_pressure",
        "ble.benecheck",
        "ble.benecheck_dongle",
        "ble.yonker",
        "ble.poctor",
        "ble.thermometer",
        "ble.sinocare",
        "ble.bioland",
        "ble.blt",
        "ble.and_ua651",
    ],
)
def test_a_record_told_twice_is_one_reading(driver: str) -> None:
    first = _readings(FOLDER / driver / "hangs_up.txt", 1)
    second = _readings(FOLDER / driver / "resumed.txt", 2)
    assert len(first) + len(second) == 3
    assert len({reading.id for reading in first + second}) == 2


def test_half_a_memory_and_then_all_of_it_are_the_same_readings() -> None:
    first = _readings(FOLDER / "ble.omron" / "lost_midway.txt", 1)
    second = _readings(FOLDER / "ble.omron" / "resumed.txt", 2)
    assert (len(first), len(second)) == (4, 5)
    assert len({reading.id for reading in first + second}) == 5


def test_the_next_conversation_begins_where_the_lost_one_ended() -> None:
    _, lost = _play(FOLDER / "ble.glucose" / "lost_midway.txt")
    resumed, _ = _play(FOLDER / "ble.glucose" / "resumed.txt")
    assert lost.remembered == resumed.context.last_record
