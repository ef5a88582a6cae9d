"""Frames out of a stream: however it is cut, and whatever stands between."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from gateway.conversation import Arrived, Lost, Silence, Step
from gateway.drivers.framing import MAX_BUFFERED_BYTES, Framer, counted, enclosed, ending, next_frame

SN = counted((b"\x53\x4e",), lambda buffer: buffer[2] + 3 if len(buffer) > 2 else 0)


def frames(framer: Framer, *pieces: bytes) -> list[bytes]:
    """What comes out."""
    for piece in pieces:
        framer.feed(piece)
    out = []
    while (frame := framer.take()) is not None:
        out.append(frame)
    return out


def test_two_lines_in_one_read_and_one_line_in_three():
    framer = Framer(ending(b"\r\n"))
    assert frames(framer, b"a,1\r\nb,2\r\nc", b",3\r", b"\n") == [b"a,1\r\n", b"b,2\r\n", b"c,3\r\n"]


def test_a_frame_is_found_behind_garbage_and_the_garbage_is_counted():
    framer = Framer(enclosed(b"\x02", b"\x03", after=1))
    assert frames(framer, b"xyz\x02R1\x03", b"\x41\xff\x02R2\x03B") == [b"\x02R1\x03\x41", b"\x02R2\x03B"]
    assert framer.skipped == 4


def test_half_a_head_at_the_end_is_kept():
    framer = Framer(SN)
    assert frames(framer, b"\x00\x53", b"\x4e\x02\xaa\xbb\x53") == [b"\x53\x4e\x02\xaa\xbb"]
    assert framer.skipped == 1
    assert framer.flush() == b"\x53"


def test_a_frame_that_was_cut_off_does_not_take_the_next_one_with_it():
    framer = Framer(enclosed(b"\x02", b"\x03"))
    assert frames(framer, b"\x02R1,12", b"\x02R2,130\x03") == [b"\x02R2,130\x03"]
    assert framer.skipped == 6


def test_a_length_that_cannot_be_is_skipped_and_the_next_frame_found():
    framer = Framer(counted((b"$",), lambda buffer: -1 if buffer[1:2] == b"!" else (3 if len(buffer) > 1 else 0)))
    assert frames(framer, b"$!$ab") == [b"$ab"]


def heard(*events: bytes | None) -> tuple[list[bytes | None], Framer]:
    """What `next_frame` makes of what arrives; None is a silence, and behind the last of them the line is lost."""
    framer, out = Framer(SN), []

    def listen() -> Step[None]:
        while True:
            out.append((yield from next_frame(framer, 1.0)))

    steps = listen()
    next(steps)
    for data in events:
        steps.send(Silence() if data is None else Arrived("", data))
    with suppress(Lost):
        while True:
            steps.throw(Lost())
    return out, framer


CUT_OFF = b"SN\xff\x01"
WHOLE = b"SN\x02\xaa\xbb"


def test_frames_behind_a_long_one_that_was_cut_off_are_found_when_nothing_more_comes():
    out, framer = heard(CUT_OFF + WHOLE, WHOLE, None)
    assert out == [WHOLE, WHOLE]
    assert framer.skipped == len(CUT_OFF)


def test_frames_behind_a_long_one_that_was_cut_off_are_found_when_the_line_is_lost():
    out, framer = heard(CUT_OFF + WHOLE)
    assert out == [WHOLE]
    assert framer.skipped == len(CUT_OFF)


def test_a_frame_that_comes_with_a_long_pause_in_it_is_whole():
    out, framer = heard(WHOLE[:4], None, WHOLE[4:])
    assert out == [None, WHOLE]
    assert framer.skipped == 0


def test_a_frame_that_never_ends_does_not_fill_the_memory():
    framer = Framer(ending(b"\n"))
    framer.feed(b"x" * (MAX_BUFFERED_BYTES + 5))
    assert len(framer.flush()) == MAX_BUFFERED_BYTES


@given(st.lists(st.binary(max_size=9), max_size=6), st.data())
def test_frames_do_not_depend_on_where_the_stream_was_cut(payloads, data):
    stream = b"".join(b"\x53\x4e" + bytes([len(payload)]) + payload for payload in payloads)
    at = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    pieces = [stream[a:b] for a, b in zip([0, *at], [*at, len(stream)], strict=True)]
    assert [frame[3:] for frame in frames(Framer(SN), *pieces)] == payloads


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_any_bytes_are_taken(pieces):
    for cut in (SN, ending(b"\r\n", b"\n"), enclosed(b"\x02", b"\x03", after=2)):
        framer = Framer(cut)
        out = frames(framer, *pieces)
        assert sum(map(len, out)) + framer.skipped + len(framer.flush()) == sum(map(len, pieces))
