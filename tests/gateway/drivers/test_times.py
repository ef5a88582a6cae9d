"""How well each driver knows when a measurement was taken: a new one is a row here, and somebody has to decide."""

import ast
from enum import Enum
from pathlib import Path

import pytest

import gateway.drivers
from gateway.conversation import Record
from gateway.drivers import DRIVERS
from gateway.transcript import play
from gateway.transcript_text import parse

FOLDER = Path(__file__).parent / "transcripts"


class Tells(Enum):
    """To how much a record's time is told, or the clock that it is compared with, whichever is coarser."""

    NOTHING = "no time"
    MINUTES = "whole minutes, always"
    SECONDS = "seconds, unless they are 0: such a time may be cut off to the minute"


class Live(Enum):
    """When a record is of the moment it arrives, because the measurement ended just now."""

    NEVER = "it is told whenever the meter is asked, or may be told late"
    SEEN = "after steps of this very measurement, told in this conversation"
    UNDATED = "where it tells no time: the service has such a meter keep nothing"
    AT_ONCE = "always, as the meter keeps nothing; but what waited in the port is of no known time"


KNOWS = {
    "ble.taidoc": (Tells.MINUTES, Live.SEEN),  # an oximeter, on a finger
    "serial.taidoc": (Tells.MINUTES, Live.SEEN),
    "ble.benecheck": (Tells.SECONDS, Live.NEVER),
    "ble.benecheck_dongle": (Tells.MINUTES, Live.NEVER),
    "serial.benecheck": (Tells.MINUTES, Live.NEVER),
    "ble.acon_oncall": (Tells.SECONDS, Live.NEVER),
    "serial.acon_oncall": (Tells.SECONDS, Live.NEVER),
    "ble.microlife": (Tells.MINUTES, Live.NEVER),
    "ble.poctor": (Tells.MINUTES, Live.NEVER),
    "ble.yonker": (Tells.MINUTES, Live.SEEN),
    "ble.glucose": (Tells.SECONDS, Live.NEVER),
    "ble.omron": (Tells.SECONDS, Live.NEVER),
    "ble.and_ua651": (Tells.SECONDS, Live.UNDATED),
    "ble.blood_pressure": (Tells.SECONDS, Live.UNDATED),
    "ble.thermometer": (Tells.SECONDS, Live.UNDATED),
    "serial.cardiochek": (Tells.SECONDS, Live.NEVER),  # its memory can be printed again
    "ble.sinocare": (Tells.SECONDS, Live.SEEN),
    "ble.lpm311": (Tells.SECONDS, Live.NEVER),
    "ble.bionime": (Tells.MINUTES, Live.NEVER),
    "ble.jxh": (Tells.MINUTES, Live.SEEN),
    "ble.pc300": (Tells.NOTHING, Live.SEEN),
    "ble.pangao": (Tells.NOTHING, Live.SEEN),
    "serial.pangao": (Tells.NOTHING, Live.SEEN),
    "serial.astm": (Tells.SECONDS, Live.NEVER),  # a message may have waited in the analyser
    "serial.omron_hbp": (Tells.MINUTES, Live.AT_ONCE),
    "serial.and_tm": (Tells.MINUTES, Live.AT_ONCE),
    "serial.terumo": (Tells.SECONDS, Live.AT_ONCE),
    "ble.bioland": (Tells.MINUTES, Live.SEEN),
    "ble.raycome": (Tells.NOTHING, Live.SEEN),
    "serial.lifescan_ultra2": (Tells.SECONDS, Live.NEVER),
    "serial.lifescan_ultraeasy": (Tells.SECONDS, Live.NEVER),
    "ble.lifescan": (Tells.SECONDS, Live.NEVER),
    "ble.blt": (Tells.SECONDS, Live.SEEN),
    "serial.fdk": (Tells.NOTHING, Live.AT_ONCE),
    "serial.ak_bu": (Tells.SECONDS, Live.NEVER),
}


def _played(name: str) -> list[tuple[str, bool, list[Record]]]:
    """Each transcript of a driver: its name, whether its bytes had waited in the port, and its records."""
    (driver,) = (one for one in DRIVERS if one.name == name)
    played = []
    for path in sorted(FOLDER.glob(f"{name}/*.txt")):
        transcript = parse(path.read_text("utf-8"))
        played.append((path.stem, transcript.context.sighting.waited, play(transcript, driver).records))
    return played


def test_somebody_decided_it_for_every_driver():
    assert set(KNOWS) == {driver.name for driver in DRIVERS}


@pytest.mark.parametrize("name", KNOWS)
def test_a_time_is_told_no_finer_than_it_is_known(name: str):
    tells, _ = KNOWS[name]
    for _, _, records in _played(name):
        for record in records:
            match record.device_time:
                case None:
                    continue
                case _ if tells is Tells.NOTHING:
                    pytest.fail(f"{name} tells a time")
                case at if tells is Tells.MINUTES or at.second == 0:
                    assert record.time_step_s >= 60
                case _:
                    assert record.time_step_s == 1


@pytest.mark.parametrize("name", KNOWS)
def test_a_record_is_of_now_only_where_the_measurement_ended_just_now(name: str):
    _, live = KNOWS[name]
    transcripts = _played(name)
    is_live = {record.live for _, waited, records in transcripts for record in records if not waited}
    match live:
        case Live.NEVER:
            assert is_live <= {False}
        case Live.UNDATED:
            dated = {record.live for _, _, records in transcripts for record in records if record.device_time}
            assert dated == {False}
        case Live.SEEN:
            assert True in is_live or name == "serial.taidoc"  # its oximeters are ble.taidoc's
        case Live.AT_ONCE:
            assert is_live == {True}
    late = [record.live for stem, _, records in transcripts for record in records if stem == "told_late"]
    assert live in (Live.NEVER, Live.UNDATED) or late or name in ("ble.taidoc", "serial.taidoc", "serial.pangao")
    assert not (late and late[0])


def test_no_clock_is_told_but_one_that_was_read():
    """A result may be told late: what it says is no clock."""
    for name in (
        "ble.sinocare",
        "ble.bioland",
        "serial.astm",
        "serial.omron_hbp",
        "serial.and_tm",
        "serial.terumo",
    ):
        (driver,) = (one for one in DRIVERS if one.name == name)
        for path in FOLDER.glob(f"{name}/*.txt"):
            assert "clock" not in dict(play(parse(path.read_text("utf-8")), driver).notes), path


def test_no_clock_is_set_to_the_time_at_which_the_conversation_began():
    """`Context.set_clock_to` only says that staff want it: what is written is asked for when it is written."""
    for file in sorted(Path(gateway.drivers.__file__).parent.glob("*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        compared = [node.left for node in ast.walk(tree) if isinstance(node, ast.Compare)]
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "set_clock_to":
                assert node in compared, f"{file.name}:{node.lineno}"
