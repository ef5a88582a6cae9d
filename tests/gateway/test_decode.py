"""`python -m gateway decode`, as somebody with a table of bytes uses it."""

import io
import json
import sys

import pytest

from gateway import decode
from tests.gateway.drivers.vectors import VECTORS


def _lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str) -> tuple[int, list]:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    status = decode.main(["--lines"])
    return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_table_of_bytes_is_answered_line_by_line(monkeypatch, capsys) -> None:
    table = "".join(f"{vector['protocol']} {vector['hex']}\n" for vector in VECTORS)
    status, answers = _lines(monkeypatch, capsys, table)
    assert status == 1  # some of them are meant to be refused
    assert [answer["protocol"] for answer in answers] == [vector["protocol"] for vector in VECTORS]
    assert [answer["valid"] for answer in answers] == [vector["expected"].get("valid", True) for vector in VECTORS]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("ble.date_time", "length"),
        ("ble.date_time ", "length"),
        ("ble.date_time\te20704", "length"),
        ("ble.date_time zz", "hex"),
        ("ble.date_time e20", "hex"),
        ("ble.date_time e20704110f33 00 00", "length"),
        ("ble.nothing 00", "unknown_protocol"),
        ("", "unknown_protocol"),
        ("\ufffd\ufffd", "unknown_protocol"),
    ],
)
def test_a_line_nobody_can_decode_is_answered_too(monkeypatch, capsys, line: str, error: str) -> None:
    status, answers = _lines(monkeypatch, capsys, f"{line}\nble.racp 06000101\n")
    assert status == 1
    assert answers[0]["error"] == error
    assert answers[1]["valid"] is True  # and the next line is decoded all the same


def test_all_good_is_exit_status_0(monkeypatch, capsys) -> None:
    assert _lines(monkeypatch, capsys, "ble.racp 06000101\nble.dst_offset ff\n")[0] == 0


@pytest.mark.parametrize(
    ("protocol", "text", "number"),
    [
        ("ble.sfloat", "70f1", "36.8"),
        ("ble.sfloat", "0102", "513"),
        ("ble.sfloat", "0110", "10"),
        ("ble.float32", "01020304", "1971210000"),
        ("ble.sfloat", "ff0f", "-1"),
        ("ble.float32", "0100007f", "1E+127"),
        ("ble.sfloat", "ff07", '"NaN"'),
        ("ble.sfloat", "0108", '"reserved"'),
    ],
)
def test_numbers_are_exact_and_plain(capsys, protocol: str, text: str, number: str) -> None:
    decode.main([protocol, text])
    assert f'"value":{number}}}' in capsys.readouterr().out


def test_a_command_without_a_protocol_is_explained(capsys) -> None:
    with pytest.raises(SystemExit):
        decode.main([])
    assert "PROTOCOL" in capsys.readouterr().err


# Frames the public sources leave out, worked out from the specifications.
@pytest.mark.parametrize(
    ("protocol", "text", "expected"),
    [
        ("ble.date_time", "00000411140000", {"iso": None, "year": None, "month": 4, "day": 17, "hour": 20}),
        ("ble.date_time", "e7070200000000", {"iso": None, "year": 2023, "month": 2, "day": None}),
        (
            "ble.current_time",
            "e907010f0e1e2d03210e",
            {"external_reference_time_update": True, "change_of_dst": True},
        ),
        ("ble.time_zone", "80", {"offset_minutes": None}),
        ("ble.time_zone", "d0", {"offset_minutes": -720}),
        ("ble.dst_offset", "08", {"dst_offset_minutes": 120}),
        ("ble.racp", "0103010500", {"op": 1, "operator": 3, "filter_type": 1, "sequence_number": 5}),
        ("ble.racp", "01040102000800", {"sequence_number_min": 2, "sequence_number_max": 8}),
        ("ble.racp", "010202ea0703020a1e00", {"user_facing_time": "2026-03-02T10:30:00"}),
        ("ble.racp", "0401", {"op_name": "report_number", "operator_name": "all"}),
        ("ble.racp", "05000000", {"count": 0, "operand_bytes": 2}),
        ("ble.racp", "06000106", {"response_name": "no_records_found"}),
        ("ble.bls.enhanced", "5e7800500060000000000046000100000100000000", "trailing_bytes"),
        ("ble.bls.enhanced", "428c005a006a0000000000", {"time_stamp": "2000-01-01T00:00:00", "epoch_start": 2000}),
        (
            "ble.bls.enhanced",
            "3e78005000600080510100460001080010000000",
            {"time_stamp_s": 86400, "time_stamp": "1900-01-02T00:00:00", "pulse": 70, "user_id": 1, "status": 8}
            | {"pulse_range": "above_upper", "user_facing_time_s": 16},
        ),
        ("ble.bls.measurement", "01a0f06bf07df0", {"unit": "kPa", "systolic": 16.0, "diastolic": 10.7}),
        ("ble.bls.feature", "c001", {"supported": ["e2e_crc", "user_data_service", "user_facing_time"]}),
        ("ble.gls.measurement", "020100ea0703020a1e0076b011", {"unit": "kg/L", "mg_dL": 118}),
        ("ble.gls.measurement", "020100ea0703020a1e00ff07f1", {"concentration": "NaN", "location": 15}),
        ("ble.gls.measurement", "01ffff0f270c1f173b3bff7f", {"user_facing_time": None}),
        ("ble.gls.measurement", "", "truncated"),
        ("ble.gls.measurement", "000100ea070d020a1e00", "datetime_range"),
        ("ble.gls.context", "02", "truncated"),
        ("ble.gls.context", "002a0000", "trailing_bytes"),
        ("ble.gls.feature", "00", "length"),
        ("ble.racp", "", "truncated"),
        ("ble.racp", "06", "truncated"),
        ("ble.racp", "060001", "truncated"),
        ("ble.racp", "0500", "truncated"),
        ("ble.racp", "0500010203", "length"),
        ("ble.racp", "0501", "operator_must_be_null"),
        ("ble.racp", "0301", "operator_must_be_null"),
        ("ble.racp", "0600010100", "trailing_bytes"),
        ("ble.racp", "0700", "range"),
        ("ble.racp", "0109", "range"),
        ("ble.racp", "0103030000", "range"),
        ("ble.date_time", "2d0601010000ff", "datetime_range"),
        ("ble.date_time", "e607021d000000", "datetime_range"),
        ("ble.current_time", "e907010f0e1e2d0321", "length"),
        ("ble.bls.record", "01000000", "truncated"),
    ],
)
def test_a_frame_decodes_as_its_specification_says(capsys, protocol: str, text: str, expected) -> None:
    decode.main([protocol, text])
    answer = json.loads(capsys.readouterr().out)
    if isinstance(expected, str):
        assert answer.get("error") == expected
    else:
        assert {name: answer["fields"].get(name, "missing") for name in expected} == expected
