"""`python -m gateway replay`, and what it says when a transcript and a driver disagree."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.conversation import Record, emit
from gateway.drivers import ble_glucose
from gateway.transcript import Mismatch, main_replay, play
from gateway.transcript_text import Malformed, parse, record_text
from gateway.wire.vocabulary import Kind

TRANSCRIPTS = Path(__file__).parent / "drivers" / "transcripts"
HAPPY = TRANSCRIPTS / "ble.glucose" / "happy_path.txt"


def test_replay_prints_the_records(capsys: pytest.CaptureFixture[str]) -> None:
    assert main_replay([str(HAPPY)]) == 0
    (record,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (record["kind"], record["values"]) == ("glucose", {"glucose_mmol_l": "3.6"})


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("> write 2a52 0101", "> write 2a52 0106", "the driver said: > write 2a52 0101"),
        ("glucose_mmol_l=3.6", "glucose_mmol_l=3.7", "the driver brought: = glucose key="),
        ("< 2a52 06000101\n", "", "after the last line the driver still waits"),
        ("< 2a18", "> pair\n< 2a18", "the driver waits"),
        ("< 2a52 06000101\n", "< 2a52 06000101\n. lost\n", "the driver has ended"),
        ("= remember", "= note battery_percent 3\n= remember", "the driver remembered"),
    ],
)
def test_a_driver_that_says_something_else_is_told_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, complaint: str
) -> None:
    text = HAPPY.read_text("utf-8")
    assert old in text
    changed = tmp_path / "changed.txt"
    changed.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert main_replay([str(changed)]) == 1
    said = capsys.readouterr().err
    assert complaint in said
    if "last line" not in complaint:
        assert "line " in said


def test_a_driver_that_goes_on_too_long_is_told_so() -> None:
    head = HAPPY.read_text("utf-8").partition("> subscribe")[0]
    with pytest.raises(Mismatch, match="after the last line the driver said: > subscribe 2a18"):
        play(parse(head), ble_glucose.DRIVER)


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (Record(kind=Kind.BODY_WEIGHT, key="1"), "incomplete_record"),
        (Record(kind=Kind.BODY_WEIGHT, key="1", values={"bmi": Decimal(23)}), "unknown_quantity"),
    ],
)
def test_a_driver_that_brings_what_no_reading_can_be_made_of_is_told_so(record: Record, why: str) -> None:
    driver = replace(ble_glucose.DRIVER, talk=lambda context: emit(record))
    head = "# driver: ble.acme.scale\n# received: 2026-03-02T09:32:00+08:00\n"
    with pytest.raises(Mismatch, match=why):
        play(parse(f"{head}= {record_text(record)}\n"), driver)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "driver"),
        ("# driver: ble.glucose\n", "received"),
        ("# driver: ble.glucose\n# received: yesterday\n", "no time"),
        ("# driver: ble.glucose\n# received: 2026-03-02T09:32:00\n", "offset"),
        ("# driver: ble.nobody\n# received: 2026-03-02T09:32:00+08:00\n", "ble.nobody"),
        ("# driver: ble.glucose\n# received: 2026-03-02T09:32:00+08:00\nhello\n", "line 3"),
        ("# driver: ble.glucose\n# received: 2026-03-02T09:32:00+08:00\n< 2a18 0x\n", "line 3"),
        ('# driver: ble.glucose\n# received: 2026-03-02T09:32:00+08:00\n< 2a29 "Yu\n', "line 3"),
        ("# driver: ble.glucose\n# received: 2026-03-02T09:32:00+08:00\n. thunder\n", "line 3"),
    ],
)
def test_a_file_that_is_no_transcript_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    path = tmp_path / "bad.txt"
    path.write_text(text, encoding="utf-8")
    assert main_replay([str(path)]) == 1
    assert complaint in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main_replay([str(tmp_path / "nothing.txt")]) == 1
    assert "nothing.txt" in capsys.readouterr().err
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    assert main_replay([str(tmp_path / "binary.txt")]) == 1


def test_a_serial_line_is_written_with_a_dash() -> None:
    transcript = parse("# driver: x\n# transport: serial\n# received: 2026-03-02T09:32:00+08:00\n< - 2450434c\n")
    assert transcript.context.sighting.transport == "serial"
    assert transcript.lines[0].text == "- 2450434c"


def test_text_in_quotes_must_close() -> None:
    with pytest.raises(Malformed):
        parse('# driver: x\n# name: "x\n# received: 2026-03-02T09:32:00+08:00\n')
