"""The contract's bytes: what was ever sent is still understood, and what is not a message is named."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import codec, topics
from gateway.wire.codec import Undecodable
from gateway.wire.messages import (
    MAX_BATCH_BYTES,
    MAX_BATCH_READINGS,
    WITH_ANSWERS,
    Answer,
    Ask,
    Asked,
    Batch,
    Candidate,
    Device,
    Found,
    Outcome,
    Purpose,
    Quality,
    Reading,
    Receipt,
    Shown,
    Status,
    TakenAt,
    TimeQuality,
    Told,
    Visit,
)
from gateway.wire.vocabulary import KINDS, QUANTITIES, Kind, Meal, OffScale

GOLDEN = Path(__file__).parent / "golden"
NOON = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
ID = UUID("5f0c8a52-7f4e-5d0c-9a3b-0d9f6f1c2e11")

FULL = Reading(
    id=ID,
    kind=Kind.GLUCOSE,
    device=Device(key="sn:VGM-001", maker="Kangdock", model="VGM", serial="VGM-001", address="C4:5E:00:00:00:01"),
    record_key="12|2026-11-21T11:59:30",
    time=TakenAt(
        at=NOON,
        quality=TimeQuality.CORRECTED,
        received=NOON,
        device="2026-11-21T11:50:00",
        offset_s=570.0,
    ),
    conversation=ID,
    driver="ble.glucose",
    values={"glucose_mmol_l": Decimal("5.4")},
    shown=(Shown(quantity="glucose_mmol_l", value="0.0054", unit="mol/L"),),
    meal=Meal.FASTING,
    quality=Quality.FLAGGED,
    quality_why=("glucose_mmol_l:unusual",),
    flags=("battery_low",),
    user_slot="1",
    visit=Visit(id=ID, code="M000001", slot="1", opened=NOON, staff="s01"),
)
HIGH = Reading(
    id=ID,
    kind=Kind.GLUCOSE,
    device=Device(key="sn:VGM-001"),
    record_key="13",
    time=TakenAt(at=NOON, quality=TimeQuality.GATEWAY, received=NOON),
    conversation=ID,
    driver="ble.glucose",
    off_scale={"glucose_mmol_l": OffScale.HI},
    purpose=Purpose.CONTROL,
)
MEAL = Answer(
    id=ID,
    reading=ID,
    what=Asked.MEAL,
    values=("post_meal_2h",),
    at=NOON,
    slot="counter-1",
    staff="s01",
    visit=ID,
)
NONE_OF_THESE = Answer(id=ID, reading=ID, what=Asked.SYMPTOMS, at=NOON, slot="counter-1")
CARD = Answer(id=ID, reading=ID, what=Asked.FIRST_AID, values=("GL-002",), at=NOON, slot="counter-1")
THEIRS = Answer(id=ID, reading=ID, what=Asked.WHOSE, values=("visitor", "M000001"), at=NOON, slot="counter-1")
ANSWERS = (MEAL, NONE_OF_THESE, CARD, THEIRS)
MESSAGES = {
    "batch": Batch(id=ID, gateway="gw-n01-1", sent=NOON, readings=(FULL, HIGH)),
    "receipt": Receipt(batch=ID, outcome=Outcome.ACCEPTED, stored=1, known=1),
    "receipt_set_aside": Receipt(batch=ID, outcome=Outcome.SET_ASIDE, set_aside=2, reason="malformed"),
    "status": Status(
        gateway="gw-n01-1",
        online=True,
        at=NOON,
        started=NOON,
        software="0.1.0",
        unsent=3,
        oldest_unsent_s=12,
        disk_free_mb=9000,
        clock_trusted=True,
        transports={"ble": "ok"},
        meters={"sn:VGM-001": NOON},
    ),
    "status_will": Status(gateway="gw-n01-1", online=False),
    "ask": Ask(id=ID, gateway="gw-n01-1", tail="5678", slot="counter-1", staff="s01"),
    "told": Told(
        ask=ID,
        found=Found.SOME,
        candidates=(Candidate(code="Q-MFRGGZDFMZTWQ-5678", name="王**", sex="female", born=1950),),
    ),
    "told_nobody": Told(ask=ID, found=Found.NOBODY),
}


def test_a_batch_with_answers_says_that_it_is_of_another_version() -> None:
    """A cloud that knows none must set it aside, not receipt what it passed over."""
    kept = (GOLDEN / "v2_batch.json").read_bytes().strip()
    whole = Batch(id=ID, gateway="gw-n01-1", sent=NOON, readings=(FULL, HIGH), answers=ANSWERS, v=WITH_ANSWERS)
    assert codec.encode(whole) == kept
    joined = codec.join_batch(
        id=ID,
        gateway="gw-n01-1",
        sent=NOON,
        readings=map(codec.encode_reading, (FULL, HIGH)),
        answers=map(codec.encode_answer, ANSWERS),
    )
    assert joined == kept
    envelope, readings = codec.decode_batch(kept)
    assert (envelope.v, readings) == (2, [FULL, HIGH])
    assert codec.decode_answers(envelope) == [*ANSWERS]


def test_a_batch_may_hold_answers_alone() -> None:
    sent = codec.join_batch(id=ID, gateway="gw-1", sent=NOON, readings=[], answers=[codec.encode_answer(MEAL)])
    envelope, readings = codec.decode_batch(sent)
    assert readings == []
    assert codec.decode_answers(envelope) == [MEAL]


def test_one_bad_answer_does_not_sink_the_others() -> None:
    batch = json.loads((GOLDEN / "v2_batch.json").read_bytes())
    batch["answers"][1]["what"] = "horoscope"
    envelope, readings = codec.decode_batch(json.dumps(batch).encode())
    good, bad, *also_good = codec.decode_answers(envelope)
    assert (readings, good, also_good) == ([FULL, HIGH], MEAL, [CARD, THEIRS])
    assert isinstance(bad, Undecodable)
    apart, _ = codec.decode_batch(codec.with_only(envelope, answers=[envelope.answers[1]]))
    assert (apart.readings, len(apart.answers)) == ([], 1)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"reading": 7}, "malformed"),
        ({"values": ["brunch"]}, "malformed"),
        ({"values": ["unknown"]}, "malformed"),
        ({"values": []}, "malformed"),
        ({"values": ["x" * 65]}, "malformed"),
        ({"what": "symptoms", "values": ["vomiting"] * 65}, "malformed"),
        ({"what": "whose", "values": ["visitor"]}, "malformed"),
        ({"what": "whose", "values": ["perhaps", "M000001"]}, "malformed"),
        ({"staff": "a\u0000b"}, "malformed"),
        ({"at": "2026-11-21T12:00:00"}, "naive_time"),
    ],
)
def test_what_is_not_an_answer_is_named(changes: dict[str, object], error: str) -> None:
    sent = json.loads(codec.encode(MEAL)) | changes
    with pytest.raises(Undecodable) as caught:
        codec.decode_answer(json.dumps(sent).encode())
    assert caught.value.error == error


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_of_every_shape_ever_sent_is_still_understood(name: str) -> None:
    kept = (GOLDEN / f"v1_{name}.json").read_bytes().strip()
    assert codec.encode(MESSAGES[name]) == kept
    match name.split("_")[0]:
        case "batch":
            envelope, readings = codec.decode_batch(kept)
            assert (envelope.id, envelope.gateway) == (ID, "gw-n01-1")
            assert readings == [FULL, HIGH]
        case "receipt":
            assert codec.decode_receipt(kept) == MESSAGES[name]
        case "status":
            assert codec.decode_status(kept) == MESSAGES[name]
        case "ask":
            assert codec.decode_ask(kept) == MESSAGES[name]
        case "told":
            assert codec.decode_told(kept) == MESSAGES[name]


def test_a_newer_gateway_may_add_a_field_and_an_older_cloud_still_reads_it() -> None:
    batch = json.loads(codec.encode(MESSAGES["batch"]))
    batch["mood"] = batch["readings"][0]["posture"] = "sitting"
    _, readings = codec.decode_batch(json.dumps(batch).encode())
    assert readings == [FULL, HIGH]


def test_values_stay_decimals_on_the_wire() -> None:
    value = Decimal("5.40")
    sent = json.loads(codec.encode(FULL.__replace__(values={"glucose_mmol_l": value})))
    assert sent["values"] == {"glucose_mmol_l": "5.40"}
    assert str(codec.decode_reading(json.dumps(sent).encode()).values["glucose_mmol_l"]) == "5.40"


def test_one_bad_reading_does_not_sink_the_others() -> None:
    batch = json.loads(codec.encode(MESSAGES["batch"]))
    batch["readings"][0]["values"] = {"glucose_mmol_l": "plenty"}
    _, (bad, good) = codec.decode_batch(json.dumps(batch).encode())
    assert isinstance(bad, Undecodable)
    assert bad.error == "malformed"
    assert good == HIGH


def _batch(**changes: object) -> bytes:
    return json.dumps(json.loads(codec.encode(MESSAGES["batch"])) | changes).encode()


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"", "not_json"),
        (b"\x00\xff", "not_json"),
        (b'{"x":' + b"[" * 100_000, "not_json"),
        (b"[]", "malformed"),
        (b"{}", "malformed"),
        (_batch(v=3), "unknown_version"),
        (_batch(v=0), "unknown_version"),
        (_batch(v="1"), "malformed"),
        (_batch(readings=[]), "empty"),
        (_batch(readings=[{}] * (MAX_BATCH_READINGS + 1)), "too_many"),
        (_batch(answers=[{}] * (MAX_BATCH_READINGS - 1)), "too_many"),
        (_batch(id="not-a-uuid"), "malformed"),
        (b" " * (MAX_BATCH_BYTES + 1), "oversized"),
    ],
)
def test_what_is_not_a_batch_is_named(payload: bytes, error: str) -> None:
    with pytest.raises(Undecodable) as caught:
        codec.decode_batch(payload)
    assert caught.value.error == error


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"kind": "horoscope"}, "malformed"),
        ({"values": {"systolic_mmhg": "120"}}, "unknown_quantity"),
        ({"values": {"glucose": "5.4"}}, "unknown_quantity"),
        ({"values": {}}, "no_value"),
        ({"values": {"glucose_mmol_l": "NaN"}}, "malformed"),
        ({"values": {"glucose_mmol_l": "Infinity"}}, "malformed"),
        ({"values": {"glucose_mmol_l": "1e400"}}, "malformed"),
        ({"values": {"glucose_mmol_l": "0." + "1" * 40}}, "malformed"),
        ({"record_key": "a\u0000b"}, "malformed"),
        (
            {"time": {"at": "2026-11-21T12:00:00", "quality": "device", "received": "2026-11-21T04:00:00Z"}},
            "naive_time",
        ),
        ({"id": 7}, "malformed"),
    ],
)
def test_what_is_not_a_reading_is_named(changes: dict[str, object], error: str) -> None:
    sent = json.loads(codec.encode(FULL)) | changes
    with pytest.raises(Undecodable) as caught:
        codec.decode_reading(json.dumps(sent).encode())
    assert caught.value.error == error


def test_half_a_character_is_not_text() -> None:
    with pytest.raises(Undecodable):
        codec.decode_reading(codec.encode(FULL).replace(b"ble.glucose", b"\\ud800"))


DECODERS = (
    codec.decode_batch,
    codec.decode_reading,
    codec.decode_answer,
    codec.decode_receipt,
    codec.decode_status,
    codec.decode_ask,
    codec.decode_told,
)


@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_message_or_a_named_error(payload: bytes) -> None:
    for decode in DECODERS:
        try:
            decode(payload)
        except Undecodable as error:
            assert error.error.isidentifier()


_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(json.loads(codec.encode(FULL)))), _json_values)
def test_any_field_may_hold_anything_and_the_answer_is_still_named(field: str, value: object) -> None:
    sent = json.loads(codec.encode(FULL)) | {field: value}
    try:
        reading = codec.decode_reading(json.dumps(sent).encode())
    except Undecodable:
        return
    assert set(reading.values) <= set(KINDS[reading.kind].quantities)


def test_a_topic_says_whose_batch_it_is() -> None:
    assert topics.read_batch(topics.batch("gw-n01-1", ID)) == ("gw-n01-1", ID)
    assert topics.read_receipt(topics.receipt("gw-n01-1", ID)) == ID
    assert topics.read_status(topics.status("gw-n01-1")) == "gw-n01-1"
    assert topics.read_ask(topics.ask("gw-n01-1", ID)) == ("gw-n01-1", ID)
    assert topics.read_told(topics.told("gw-n01-1", ID)) == ID


@pytest.mark.parametrize(
    "topic",
    ["", "kangdock/1", "kangdock/1/gw/batch/x", f"kangdock/2/gw-1/batch/{ID}", f"kangdock/1/GW/batch/{ID}"],
)
def test_another_topic_is_nobodys_batch(topic: str) -> None:
    assert topics.read_batch(topic) is None


def test_every_quantity_of_a_kind_is_in_the_vocabulary_and_ends_in_its_unit() -> None:
    assert {name for info in KINDS.values() for name in info.quantities} == set(QUANTITIES)
    for quantity in QUANTITIES.values():
        assert quantity.range.reject_below <= quantity.range.flag_below < quantity.range.flag_above
        assert quantity.range.flag_above <= quantity.range.reject_above
        assert quantity.zh
        assert quantity.en
    assert set(KINDS) == set(Kind)


@pytest.mark.parametrize(
    ("value", "rounded"), [("5.449", "5.4"), ("5.45", "5.5"), ("3.886", "3.9"), ("-0.05", "-0.1")]
)
def test_values_round_half_up_at_their_own_decimals(value: str, rounded: str) -> None:
    assert QUANTITIES["glucose_mmol_l"].rounded(Decimal(value)) == Decimal(rounded)
