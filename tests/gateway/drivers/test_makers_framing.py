"""The framers of makers' own protocols: whatever came before, the next whole frame is found, however it is cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.decode import decode
from gateway.drivers import (
    bioland_frames,
    blt_frames,
    fdk,
    pangao_frames,
    raycome,
    sinocare_frames,
)
from gateway.drivers.framing import Cut, Framer

MAKERS = {
    "sinocare": (sinocare_frames.cut, "534e1b20000400b6160b010b05100000000001000001231e000022003cd8"),
    "sinocare_wl_1": (sinocare_frames.cut, "534e0e0004040b031e0807002f19012ec8"),
    "pangao": (pangao_frames.cut, "083ab80080504812"),
    "bioland": (bioland_frames.cut, "550c030e0101051700b10043"),
    "raycome": (raycome.cut, "fdfdfc8050480d0a"),
    "blt": (blt_frames.cut, "aa0d292000804c00444df93a210007"),
    "fdk": (fdk.cut, "fe6a735a00704242"),
}


def frames(cut: Cut, *pieces: bytes) -> tuple[list[bytes], int]:
    """What comes out, and how many bytes belonged to no frame."""
    framer, out = Framer(cut), []
    for piece in pieces:
        framer.feed(piece)
        while (frame := framer.take()) is not None:
            out.append(frame)
    return out, framer.skipped + len(framer.flush())


@pytest.mark.parametrize("maker", MAKERS)
@settings(max_examples=60, deadline=None)
@given(pieces=st.lists(st.binary(max_size=30), max_size=6))
def test_no_byte_is_lost_and_none_invented(maker: str, pieces: list[bytes]) -> None:
    cut, _ = MAKERS[maker]
    whole, rest = frames(cut, *pieces)
    assert sum(map(len, whole)) + rest == sum(map(len, pieces))


@pytest.mark.parametrize("maker", MAKERS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_frames_do_not_depend_on_where_the_line_cuts_them(maker: str, data: st.DataObject) -> None:
    cut, text = MAKERS[maker]
    frame = bytes.fromhex(text)
    stream = frame * 4
    at = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *at], [*at, len(stream)], strict=True)]
    assert frames(cut, *pieces) == ([frame] * 4, 0)


@pytest.mark.parametrize("maker", MAKERS)
def test_a_frame_that_was_cut_off_anywhere_does_not_take_the_two_behind_it(maker: str) -> None:
    cut, text = MAKERS[maker]
    frame = bytes.fromhex(text)
    for size in range(len(frame)):
        whole, _ = frames(cut, frame[:size] + frame + frame)
        assert whole.count(frame) == 2, f"cut off after {size}"


VALUES = {"value", "systolic", "mg_dL"}
PROTOCOLS = {
    "sinocare": "sinocare.sn",
    "sinocare_wl_1": "sinocare.sn",
    "pangao": "pangao.bp",
    "bioland": "bioland.g500",
    "raycome": "raycome.bp",
    "blt": "blt.bp",
    "fdk": "fdk.bp",
}


@pytest.mark.parametrize("maker", MAKERS)
def test_a_byte_lost_anywhere_never_makes_another_value(maker: str) -> None:
    cut, text = MAKERS[maker]
    frame = bytes.fromhex(text)
    for lost in range(len(frame)):
        whole, _ = frames(cut, frame[:lost] + frame[lost + 1 :] + frame + frame)
        assert frame in whole
        for other in whole:
            answer = decode(PROTOCOLS[maker], other.hex())
            assert (
                other == frame
                or not answer["valid"]
                or {"value", "systolic", "mg_dL"}.isdisjoint(answer["fields"])
            )
