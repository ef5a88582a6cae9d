"""The cuff A&D UA-651BLE: the Bluetooth SIG Blood Pressure Service, and a clock that must be written at once.

The measurements are `ble_blood_pressure`'s. The commands of its own service are decoded here and never sent: they
delete, disconnect and unpair.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gateway.conversation import (
    Context,
    Decoder,
    Driver,
    Garbled,
    Refused,
    Sighting,
    Step,
    Talk,
    note,
    read_if_there,
    time_to_set,
    write,
)
from gateway.drivers import ble_blood_pressure
from gateway.drivers import ble_pressure_frames as frames
from gateway.drivers.ble_blood_pressure import MEASUREMENT, record_of
from gateway.drivers.ble_common import DATE_TIME, bond, introduce
from gateway.drivers.ble_time import date_time
from gateway.drivers.ble_told import emit_what_is_told
from gateway.drivers.cursor import Cursor, name_of
from gateway.proof import Doubt, Proof

OWN_SERVICE = "233bf000-5a34-1b6d-975c-000d5690abe4"
NAMES = ("A&D_UA-651BLE", "UA-651BLE")

READ, WRITE, REPLY = range(3)
SET_TIME = 0x01
COMMANDS = {
    SET_TIME: "set_time",
    0x03: "disconnect",
    0x10: "unpair",
    0x12: "delete_all",
    0xA6: "set_buffer_size",
    0xD6: "buffer_size",
    0xE1: "request_all",
}
_TYPES = {READ: "read", WRITE: "write", REPLY: "reply"}


def recognise(sighting: Sighting) -> bool:
    """A blood pressure service and its name, or its own service."""
    named = sighting.name.startswith(NAMES) and ble_blood_pressure.recognise(sighting)
    return named or OWN_SERVICE in sighting.services


def talk(context: Context) -> Talk:
    """Pair, satisfy its wish for a clock, introduce, listen, and set the clock where staff asked for it."""
    yield from bond()
    yield from _wind_up(context)
    yield from introduce()
    yield from emit_what_is_told(MEASUREMENT, lambda data: record_of(frames.measurement(data)))
    if context.set_clock_to is not None:
        yield from _set_clock((yield from time_to_set(context)))


def _wind_up(context: Context) -> Step[None]:
    """Writes the clock, without which the cuff hangs up after five seconds: the time it says itself, so that what
    it has stored and what it says the time is stay of one clock. Only a cuff that has no time is given ours."""
    told = yield from read_if_there(DATE_TIME)
    if told is not None and _is_a_time(told):
        yield from _write_clock(told)
    else:
        yield from _set_clock((yield from time_to_set(context)))


def _set_clock(moment: datetime) -> Step[None]:
    if (yield from _write_clock(_date_time_bytes(moment))):
        yield from note("clock_set", moment.isoformat())


def _write_clock(data: bytes) -> Step[bool]:
    try:
        yield from write(DATE_TIME, data)
    except Refused:
        yield from note("error", "clock_refused")
        return False
    return True


def _is_a_time(data: bytes) -> bool:
    try:
        return date_time(data).naive() is not None
    except Garbled:
        return False


def _date_time_bytes(moment: datetime) -> bytes:
    clock = (moment.month, moment.day, moment.hour, moment.minute, moment.second)
    return moment.year.to_bytes(2, "little") + bytes(clock)


def decode_custom(data: bytes) -> dict[str, Any]:
    """A packet of its own service as fields: length, type, command, value, and zeros up to 20 bytes."""
    cursor = Cursor(data)
    body = Cursor(cursor.take(cursor.u8()))
    kind, command, value = body.u8(), body.u8(), body.rest()
    if any(cursor.rest()):
        raise Garbled("trailing_bytes")
    fields: dict[str, Any] = {
        "type": kind,
        "type_name": name_of(kind, _TYPES),
        "command": command,
        "command_name": name_of(command, COMMANDS),
    }
    if command == SET_TIME and kind == WRITE:
        fields["time"] = _time(value).isoformat()
    elif value:
        fields["value_hex"] = value.hex()
        if len(value) == 1:
            fields["value"] = value[0]
    return fields


def _time(value: bytes) -> datetime:
    cursor = Cursor(value)
    year, month, day, hour, minute, second = (cursor.u8() for _ in range(6))
    cursor.end()
    try:
        return datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001 - naive, as the cuff has it
    except ValueError:
        raise Garbled("datetime_range") from None


DECODERS: Mapping[str, Decoder] = {"and.ua651ble.custom": decode_custom}

DRIVER = Driver(
    name="ble.and_ua651",
    transport="ble",
    recognise=recognise,
    talk=talk,
    devices="A&D UA-651BLE.",
    source="A&D's SDK as shawn-gxp/sh3-pi quotes it (clock within five seconds, commands), and Bluetooth SIG "
    "Blood Pressure Service 1.0.",
    quirks="It hangs up unless its clock is written within five seconds: it gets its own time back, so that its "
    "stored records and its clock keep agreeing; where it has none, ours. NaN is a failed measurement, NRes a "
    "pulse it could not count. A delivered record never comes again. Its commands to delete and unpair are never "
    "sent.",
    proven_by="Commands of the maker's SDK, unit tests of one public library, transcripts written by hand, a "
    "virtual cuff. The five seconds are from one source. No conversation with a real one yet.",
    proof=Proof.AGREED,
    doubts=frozenset({Doubt.ASKING}),
    services=frozenset({ble_blood_pressure.SERVICE, OWN_SERVICE}),
    sets_clock=True,
    decoders=DECODERS,
)
