"""Whatever a meter or an attacker sends: fields or a named error, readings or an end, and never a hang."""

import contextlib
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.conversation import (
    Arrived,
    Context,
    ConversationError,
    Done,
    Emit,
    Garbled,
    Lost,
    Pair,
    Read,
    Record,
    Refused,
    Sighting,
    Silence,
    Subscribe,
    Wait,
    Write,
)
from gateway.decode import decode
from gateway.drivers import DECODERS, DRIVERS
from gateway.transcript_text import Malformed, parse, write
from gateway.vouch import Circumstances, vouch
from gateway.wire.codec import decode_reading, encode
from gateway.wire.messages import Device
from tests.gateway.drivers.vectors import VECTORS

NOW = datetime(2026, 3, 2, 1, 32, tzinfo=UTC)
REAL_FRAMES = sorted({bytes.fromhex(vector["hex"]) for vector in VECTORS})


@st.composite
def _bent_frames(draw: st.DrawFn) -> bytes:
    """A real frame with some bytes changed, cut off or added: bad luck looks more like this than like noise."""
    data = bytearray(draw(st.sampled_from(REAL_FRAMES)))
    for _ in range(draw(st.integers(0, 3))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data) + draw(
        st.binary(max_size=2)
    )


FRAMES = st.binary(max_size=40) | _bent_frames()


@pytest.mark.parametrize("protocol", sorted(DECODERS))
@settings(max_examples=100, deadline=None)
@given(data=FRAMES)
def test_any_bytes_decode_or_are_named(protocol: str, data: bytes) -> None:
    answer = decode(protocol, data.hex())
    if answer["valid"]:
        assert answer["fields"]
    else:
        assert answer["error"].isidentifier()


CHANNELS = (
    "2a18",
    "2a34",
    "2a52",
    "2a35",
    "2a36",
    "2a1c",
    "2a1e",
    "2a19",
    "",
    "2a2b",
    "49123040-aee8-11e1-a74d-0002a5d5c51b",
    "b305b680-aee7-11e1-a730-0002a5d5c51b",
    "1002",
    "81eb77bd-89b8-4494-8a09-7f83d986ddc7",
    "cdeacd81-5235-4c07-8846-93a37ee6b86d",
    "00010203-0405-0607-0809-0a0b0c0d2b10",
    "fff1",
    "c4dea3bc-5a9d-11e9-8647-d663bd873d93",
    "ffe1",
    "ffb1",
    "00001524-1212-efde-1523-785feabcd123",
    "fee2",
    "2af0",
    "02005970-6d75-4753-5053-676e6f6c7553",
    "ff01",
    "fff4",
    "af9df7a3-e595-11e3-96b4-0002a5d5c51b",
)
ARRIVALS = st.builds(Arrived, st.sampled_from(CHANNELS), FRAMES)
ANSWERS = st.one_of(
    ARRIVALS,
    ARRIVALS,
    ARRIVALS,
    st.just(Silence()),
    st.just(Refused("attribute_not_found")),
    st.just(Lost("gone")),
)
CIRCUMSTANCES = Circumstances(
    device=Device(key="any"),
    driver="any",
    conversation=UUID(int=1),
    received=NOW,
    clock_offset_s=None,
    gateway_clock_trusted=True,
    local_utc_offset_min=480,
    visit=None,
    arrival=0,
)


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
@settings(max_examples=150, deadline=None)
@given(
    answers=st.lists(ANSWERS, max_size=60),
    last_record=st.none() | st.text(max_size=30) | st.integers(0, 70000).map(lambda n: f"{n}@2026-03-01T09:10:40"),
    name=st.text(max_size=12),
    failures=st.lists(st.sampled_from([Done()] * 12 + [Refused("procedure_already_in_progress"), Lost("gone")])),
)
def test_any_conversation_ends_and_what_it_brings_can_be_sent(
    driver, answers, last_record, name, failures
) -> None:
    """After the answers run out there is only silence; a driver must come to its end by itself."""
    context = Context(
        sighting=Sighting(transport=driver.transport, address="C4:64:E3:12:00:01", name=name),
        now=NOW,
        last_record=last_record,
    )
    talk = driver.talk(context)
    coming, done = iter(answers), iter(failures)
    exchanges = []
    error: ConversationError | None = None
    brought: list[Record] = []
    try:
        action = next(talk)
        for _ in range(1000):
            answer = _answer(action, coming, done)
            exchanges.append((action, answer))
            if isinstance(action, Emit):
                brought.append(action.record)
            action = talk.throw(answer) if isinstance(answer, Exception) else talk.send(answer)
        pytest.fail("1000 actions after the last answer, and still talking")
    except StopIteration:
        pass
    except ConversationError as raised:
        error = raised
    for record in brought:
        reading = vouch(record, CIRCUMSTANCES)
        assert decode_reading(encode(reading)) == reading
    # Whatever happened can be written down and read again.
    written = parse(write(driver.name, context, exchanges, error))
    assert written.context.sighting == context.sighting
    assert written.context.last_record == (context.last_record or None)


def _answer(action, coming, done):
    match action:
        case Wait():
            answer = next(coming, Silence())
            return Silence() if isinstance(answer, Refused) else answer
        case Read(channel):
            answer = next(coming, Refused("attribute_not_found"))
            if isinstance(answer, Silence):
                return Refused("attribute_not_found")
            return Arrived(channel, answer.data) if isinstance(answer, Arrived) else answer
        case Pair() | Subscribe() | Write():
            return next(done, Done())
        case _:
            return Done()


@given(st.text(max_size=60))
def test_any_text_is_a_transcript_or_is_not(text: str) -> None:
    with contextlib.suppress(Malformed):
        parse("# driver: x\n# received: 2026-03-02T09:31:50+08:00\n" + text)


def test_a_decoders_error_is_a_garbled() -> None:
    with pytest.raises(Garbled):
        DECODERS["ble.gls.measurement"](b"")
    assert DECODERS["ble.sfloat"](bytes.fromhex("70f1"))["value"] == Decimal("36.8")
