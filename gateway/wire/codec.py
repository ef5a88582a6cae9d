"""Messages to bytes and back: JSON, decimals as strings, times as RFC 3339 with an offset.

How the contract evolves. A field may be added if it has a default; a reader ignores fields it does not know; an
enum may gain a word only together with a new `VERSION`. A field is never renamed, retyped or reused. `VERSION`
changes when an old reader would misunderstand, and the cloud reads the last two versions. The golden files in
tests/gateway/wire/golden are one message of every shape that was ever sent; they are only added to.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from gateway.wire.messages import (
    MAX_BATCH_BYTES,
    MAX_BATCH_READINGS,
    VERSION,
    Message,
    Reading,
    Receipt,
    Status,
)
from gateway.wire.vocabulary import KINDS

MAX_MAGNITUDE = 9
MAX_DIGITS = 28
"""No quantity comes near 10^9 or 28 digits; beyond them decimal arithmetic and database columns misbehave."""


MAX_READING_BYTES = MAX_BATCH_BYTES // 2
"""A reading is under 2 kB; whatever is in it, one alone must fit into a batch."""

FIRST_YEAR, LAST_YEAR = 1900, 9998
"""A year off either end of Python's calendar cannot be brought to UTC, nor be read back from PostgreSQL."""


class Undecodable(ValueError):
    """These bytes are not the message they should be. `error` is the class a dead letter is filed under:

    oversized, not_json, unknown_version, malformed, empty, too_many, unknown_quantity, no_value, naive_time.
    """

    def __init__(self, error: str, detail: str) -> None:
        super().__init__(f"{error}: {detail}")
        self.error = error
        self.detail = detail


class _Version(msgspec.Struct):
    v: int = VERSION


class _Envelope(msgspec.Struct):
    """A batch whose readings have not been looked at yet, so that one bad reading cannot sink the others."""

    id: UUID
    gateway: str
    sent: datetime
    readings: list[msgspec.Raw]


_encoder = msgspec.json.Encoder(decimal_format="string", uuid_format="canonical")
_version = msgspec.json.Decoder(_Version)
_envelope = msgspec.json.Decoder(_Envelope)
_reading = msgspec.json.Decoder(Reading)
_receipt = msgspec.json.Decoder(Receipt)
_status = msgspec.json.Decoder(Status)


def encode(message: Message) -> bytes:
    """`message` as compact JSON."""
    return _encoder.encode(message)


def encode_reading(reading: Reading) -> bytes:
    """`reading` as compact JSON that `decode_reading` takes; raises Undecodable for what it would refuse."""
    try:
        payload = _encoder.encode(reading)
    except UnicodeEncodeError:
        raise Undecodable("malformed", "half a surrogate pair") from None
    if len(payload) > MAX_READING_BYTES:
        raise Undecodable("oversized", f"{len(payload)} bytes, {MAX_READING_BYTES} allowed")
    decode_reading(payload)
    return payload


def join_batch(*, id: UUID, gateway: str, sent: datetime, readings: Iterable[bytes]) -> bytes:
    """A batch of readings already encoded, as the outbox keeps them; the same bytes as `encode(Batch(...))`."""
    return _encoder.encode(_Envelope(id=id, gateway=gateway, sent=sent, readings=[*map(msgspec.Raw, readings)]))


def decode_batch(payload: bytes) -> tuple[_Envelope, list[Reading | Undecodable]]:
    """The envelope of a batch and, in order, each reading or why it is none; raises Undecodable for the whole."""
    if len(payload) > MAX_BATCH_BYTES:
        raise Undecodable("oversized", f"{len(payload)} bytes, {MAX_BATCH_BYTES} allowed")
    _check_version(payload)
    envelope: _Envelope = _decode(_envelope, payload)
    if not envelope.readings:
        raise Undecodable("empty", "a batch without readings")
    if len(envelope.readings) > MAX_BATCH_READINGS:
        raise Undecodable("too_many", f"{len(envelope.readings)} readings, {MAX_BATCH_READINGS} allowed")
    if _has_nul(payload):
        return envelope, [_reading_or_error(bytes(raw)) for raw in envelope.readings]
    return envelope, [_reading_or_error(raw) for raw in envelope.readings]


def with_readings(envelope: _Envelope, readings: Iterable[bytes | msgspec.Raw]) -> bytes:
    """The batch of `envelope` with only these undecoded readings, so that what is set aside can be replayed."""
    part = msgspec.structs.replace(envelope, readings=[msgspec.Raw(bytes(raw)) for raw in readings])
    return _encoder.encode(part)


def decode_reading(payload: bytes) -> Reading:
    """One reading on its own, as the outbox and the ledger keep it; raises Undecodable."""
    _check_nul(payload)
    return _checked(payload)


def decode_receipt(payload: bytes) -> Receipt:
    """A receipt; raises Undecodable."""
    _check_version(payload)
    receipt: Receipt = _decode(_receipt, payload)
    return receipt


def decode_status(payload: bytes) -> Status:
    """A gateway's status; raises Undecodable."""
    if len(payload) > MAX_BATCH_BYTES:
        raise Undecodable("oversized", f"{len(payload)} bytes, {MAX_BATCH_BYTES} allowed")
    _check_nul(payload)
    _check_version(payload)
    status: Status = _decode(_status, payload)
    return status


def _reading_or_error(raw: bytes | msgspec.Raw) -> Reading | Undecodable:
    # A Raw is part of a payload that was looked through for NULs as a whole; to look at it alone is to copy it.
    try:
        return _checked(raw) if isinstance(raw, msgspec.Raw) else decode_reading(raw)
    except Undecodable as error:
        return error


def _checked(payload: bytes | msgspec.Raw) -> Reading:
    reading: Reading = _decode(_reading, payload)
    _check_reading(reading)
    return reading


def _has_nul(payload: bytes) -> bool:
    return b"\\u0000" in payload


def _check_nul(payload: bytes) -> None:
    if _has_nul(payload):
        raise Undecodable("malformed", "a NUL character, which no database column can keep")


def _check_version(payload: bytes) -> None:
    version: _Version = _decode(_version, payload)
    if version.v != VERSION:
        raise Undecodable("unknown_version", f"version {version.v}, this reader knows {VERSION}")


def _decode(decoder: msgspec.json.Decoder[Any], payload: bytes | msgspec.Raw) -> Any:
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise Undecodable("malformed", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable("not_json", str(error)) from None


_MAY_CARRY = {kind: frozenset(info.quantities) for kind, info in KINDS.items()}
_MUST_CARRY = {kind: frozenset(info.required) for kind, info in KINDS.items()}


def _check_reading(reading: Reading) -> None:
    present = reading.values.keys() | reading.off_scale.keys()
    if not present <= _MAY_CARRY[reading.kind]:
        (name, *_) = present - _MAY_CARRY[reading.kind]
        raise Undecodable("unknown_quantity", f"a {reading.kind} reading has no {name[:40]!r}")
    if not present or not present >= _MUST_CARRY[reading.kind]:
        info = KINDS[reading.kind]
        raise Undecodable(
            "no_value", f"a {reading.kind} reading needs {', '.join(info.required or info.optional)}"
        )
    for name, value in reading.values.items():
        if (
            not value.is_finite()
            or abs(value.adjusted()) > MAX_MAGNITUDE
            or len(value.as_tuple().digits) > MAX_DIGITS
        ):
            raise Undecodable("malformed", f"{name} is not a number a meter can show")
    _check_time(reading.time.at)
    _check_time(reading.time.received)
    if reading.visit is not None:
        _check_time(reading.visit.opened)
        if reading.visit.closed is not None:
            _check_time(reading.visit.closed)


def _check_time(moment: datetime) -> None:
    if moment.tzinfo is None:
        raise Undecodable("naive_time", "times carry an offset")
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise Undecodable("malformed", f"a time outside the years {FIRST_YEAR} to {LAST_YEAR}")
