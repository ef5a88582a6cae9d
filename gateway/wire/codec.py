"""Messages to bytes and back: JSON, decimals as strings, times as RFC 3339 with an offset.

How the contract evolves. A field may be added if it has a default; a reader ignores fields it does not know; an
enum may gain a word only together with a new `VERSION`. A field is never renamed, retyped or reused. `VERSION`
changes when an old reader would misunderstand, and the cloud reads the last two versions. The golden files in
tests/gateway/wire/golden are one message of every shape that was ever sent; they are only added to.

Version 2 is version 1 with answers: a batch that carries some says 2, everything else still says 1.
"""

import re
from collections.abc import Iterable, Set
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from gateway.wire.messages import (
    MAX_BATCH_BYTES,
    MAX_BATCH_READINGS,
    SOMEBODY_ELSE,
    VERSION,
    VISITOR,
    WITH_ANSWERS,
    Answer,
    Ask,
    Asked,
    Message,
    Reading,
    Receipt,
    Status,
    Told,
)
from gateway.wire.vocabulary import KINDS, Meal

MAX_MAGNITUDE = 9
MAX_DIGITS = 28
"""No quantity comes near 10^9 or 28 digits; beyond them decimal arithmetic and database columns misbehave."""


MAX_READING_BYTES = MAX_BATCH_BYTES // 2
"""A reading is under 2 kB, an answer under 1 kB; whatever is in it, one alone must fit into a batch."""
MAX_QUESTION_BYTES = 4096
"""A question, and a handful of candidates."""
CARD_CODE = re.compile(r"[0-9A-Z][0-9A-Z-]{2,31}")
"""What a dock makes of a scanned card; a member with a code of another form would never be found."""
TAIL = re.compile(r"[0-9]{4}")
"""Of a phone number: what people say when asked for it, and what is printed on receipts."""
MAX_ANSWER_VALUES = 64
LONGEST_ANSWER_VALUE = 64
"""There are three dozen symptoms, and no code has more letters."""

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


class Envelope(msgspec.Struct, omit_defaults=True):
    """A batch whose readings and answers have not been looked at yet, so that a bad one cannot sink the others."""

    id: UUID
    gateway: str
    sent: datetime
    readings: list[msgspec.Raw]
    answers: list[msgspec.Raw] = []
    v: int = VERSION


class _Readings(msgspec.Struct):
    """The same batch, all of whose readings are what they should be: decoded in one go."""

    readings: list[Reading]


_encoder = msgspec.json.Encoder(decimal_format="string", uuid_format="canonical")
_version = msgspec.json.Decoder(_Version)
_envelope = msgspec.json.Decoder(Envelope)
_readings = msgspec.json.Decoder(_Readings)
_reading = msgspec.json.Decoder(Reading)
_answer = msgspec.json.Decoder(Answer)
_receipt = msgspec.json.Decoder(Receipt)
_status = msgspec.json.Decoder(Status)
_ask = msgspec.json.Decoder(Ask)
_told = msgspec.json.Decoder(Told)


def encode(message: Message) -> bytes:
    """`message` as compact JSON."""
    return _encoder.encode(message)


def encode_reading(reading: Reading) -> bytes:
    """`reading` as compact JSON that `decode_reading` takes; raises Undecodable for what it would refuse."""
    payload = _encoded(reading)
    decode_reading(payload)
    return payload


def encode_answer(answer: Answer) -> bytes:
    """`answer` as compact JSON that `decode_answer` takes; raises Undecodable for what it would refuse."""
    payload = _encoded(answer)
    decode_answer(payload)
    return payload


def join_batch(
    *, id: UUID, gateway: str, sent: datetime, readings: Iterable[bytes], answers: Iterable[bytes] = ()
) -> bytes:
    """A batch of readings and answers already encoded, as the outbox keeps them; as `encode(Batch(...))` would."""
    said = [*map(msgspec.Raw, answers)]
    return _encoder.encode(
        Envelope(
            id=id,
            gateway=gateway,
            sent=sent,
            readings=[*map(msgspec.Raw, readings)],
            answers=said,
            v=WITH_ANSWERS if said else VERSION,
        )
    )


def decode_batch(payload: bytes) -> tuple[Envelope, list[Reading | Undecodable]]:
    """The envelope of a batch and, in order, each reading or why it is none; raises Undecodable for the whole.

    There may be none: what else is in it, `decode_answers` reads.
    """
    if len(payload) > MAX_BATCH_BYTES:
        raise Undecodable("oversized", f"{len(payload)} bytes, {MAX_BATCH_BYTES} allowed")
    try:
        envelope: Envelope = _decode(_envelope, payload)
    except Undecodable:
        _check_version(payload, WITH_ANSWERS)  # what a newer gateway sends is not malformed
        raise
    if not VERSION <= envelope.v <= WITH_ANSWERS:
        raise _unknown_version(envelope.v, WITH_ANSWERS)
    count = len(envelope.readings) + len(envelope.answers)
    if not count:
        raise Undecodable("empty", "a batch without readings")
    if count > MAX_BATCH_READINGS:
        raise Undecodable("too_many", f"{count} readings and answers, {MAX_BATCH_READINGS} allowed")
    try:
        return envelope, _all_readings(payload)
    except Undecodable:  # at least one is bad: which?
        return envelope, [_reading_or_error(bytes(raw)) for raw in envelope.readings]


def decode_answers(envelope: Envelope) -> list[Answer | Undecodable]:
    """The answers in a batch, in order, each or why it is none."""
    return [_answer_or_error(bytes(raw)) for raw in envelope.answers]


def with_only(
    envelope: Envelope,
    *,
    readings: Iterable[bytes | msgspec.Raw] = (),
    answers: Iterable[bytes | msgspec.Raw] = (),
) -> bytes:
    """The batch of `envelope` with only these undecoded parts, so that what is set aside can be replayed."""
    return join_batch(
        id=envelope.id,
        gateway=envelope.gateway,
        sent=envelope.sent,
        readings=map(bytes, readings),
        answers=map(bytes, answers),
    )


def decode_reading(payload: bytes) -> Reading:
    """One reading on its own, as the outbox and the ledger keep it; raises Undecodable."""
    _check_nul(payload)
    reading: Reading = _decode(_reading, payload)
    _check_reading(reading)
    return reading


def decode_answer(payload: bytes) -> Answer:
    """One answer on its own, as the outbox keeps it; raises Undecodable."""
    _check_nul(payload)
    answer: Answer = _decode(_answer, payload)
    _check_time(answer.at)
    if len(answer.values) > MAX_ANSWER_VALUES or any(len(code) > LONGEST_ANSWER_VALUE for code in answer.values):
        raise Undecodable("malformed", "an answer is a few short codes")
    if answer.what is Asked.MEAL and not (len(answer.values) == 1 and answer.values[0] in _MEALS):
        raise Undecodable("malformed", "a meal is one word that says when")
    if answer.what is Asked.WHOSE and not (len(answer.values) == 2 and answer.values[0] in _WHOSE):
        raise Undecodable("malformed", "whose it is takes one word and a code")
    return answer


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


def decode_ask(payload: bytes) -> Ask:
    """A dock's question; raises Undecodable."""
    _check_small(payload)
    ask: Ask = _decode(_ask, payload)
    if not TAIL.fullmatch(ask.tail):
        raise Undecodable("malformed", "the end of a phone number is four digits")
    return ask


def decode_told(payload: bytes) -> Told:
    """The answer to one; raises Undecodable."""
    _check_small(payload)
    told: Told = _decode(_told, payload)
    return told


def _check_small(payload: bytes) -> None:
    if len(payload) > MAX_QUESTION_BYTES:
        raise Undecodable("oversized", f"{len(payload)} bytes, {MAX_QUESTION_BYTES} allowed")
    _check_nul(payload)
    _check_version(payload)


def _all_readings(payload: bytes) -> list[Reading | Undecodable]:
    _check_nul(payload)
    decoded: _Readings = _decode(_readings, payload)
    for reading in decoded.readings:
        _check_reading(reading)
    return [*decoded.readings]


def _reading_or_error(raw: bytes) -> Reading | Undecodable:
    try:
        return decode_reading(raw)
    except Undecodable as error:
        return error


def _answer_or_error(raw: bytes) -> Answer | Undecodable:
    try:
        return decode_answer(raw)
    except Undecodable as error:
        return error


def _encoded(message: Message) -> bytes:
    try:
        payload = _encoder.encode(message)
    except UnicodeEncodeError:
        raise Undecodable("malformed", "half a surrogate pair") from None
    if len(payload) > MAX_READING_BYTES:
        raise Undecodable("oversized", f"{len(payload)} bytes, {MAX_READING_BYTES} allowed")
    return payload


def _check_nul(payload: bytes) -> None:
    if b"\\u0000" in payload:
        raise Undecodable("malformed", "a NUL character, which no database column can keep")


def _check_version(payload: bytes, newest: int = VERSION) -> None:
    version: _Version = _decode(_version, payload)
    if not VERSION <= version.v <= newest:
        raise _unknown_version(version.v, newest)


def _unknown_version(version: int, newest: int) -> Undecodable:
    return Undecodable("unknown_version", f"version {version}, this reader knows {newest}")


def _decode(decoder: msgspec.json.Decoder[Any], payload: bytes) -> Any:
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise Undecodable("malformed", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable("not_json", str(error)) from None


_MEALS = frozenset(Meal) - {Meal.UNKNOWN}
_WHOSE = frozenset((VISITOR, SOMEBODY_ELSE))
_MAY_CARRY = {kind: frozenset(info.quantities) for kind, info in KINDS.items()}
_MUST_CARRY = {kind: frozenset(info.required) for kind, info in KINDS.items()}


def _check_reading(reading: Reading) -> None:
    present: Set[str] = reading.values.keys()
    if reading.off_scale:
        present = present | reading.off_scale.keys()
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
            or (len(str(value)) > MAX_DIGITS and len(value.as_tuple().digits) > MAX_DIGITS)
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
