"""A reader over one frame's bytes: takes fields off the front, and knows a frame that is too short or too long.

What the fields mean is the decoders'; this only refuses to read past the end, or to leave anything unread.
"""

from collections.abc import Mapping, Sequence

from gateway.conversation import Garbled


class Cursor:
    """Takes little-endian fields from `data`; raises Garbled("truncated") where there is no such field left."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise Garbled("truncated")
        self._at += count
        return taken

    def u8(self) -> int:
        """An unsigned byte."""
        return self.take(1)[0]

    def u16(self) -> int:
        """An unsigned 16-bit number, little-endian."""
        return int.from_bytes(self.take(2), "little")

    def s16(self) -> int:
        """A signed 16-bit number, little-endian."""
        return int.from_bytes(self.take(2), "little", signed=True)

    def u32(self) -> int:
        """An unsigned 32-bit number, little-endian."""
        return int.from_bytes(self.take(4), "little")

    def rest(self) -> bytes:
        """Everything not taken yet."""
        return self.take(len(self._data) - self._at)

    def end(self) -> None:
        """Raises Garbled("trailing_bytes") if anything is left: a longer frame is another frame than we think."""
        if self._at != len(self._data):
            raise Garbled("trailing_bytes")


def exactly(data: bytes, count: int) -> bytes:
    """`data`, if it is `count` bytes; raises Garbled("length"). For values that have one size only."""
    if len(data) != count:
        raise Garbled("length")
    return data


def name_of(number: int, names: Mapping[int, str]) -> str:
    """The word for an enumerated value; "reserved" for one the specification leaves open."""
    return names.get(number, "reserved")


def names_of_bits(bitmap: int, names: Sequence[str]) -> list[str]:
    """The words of the set bits, lowest first. Bits without a word are reserved for future use and ignored."""
    return [name for bit, name in enumerate(names) if bitmap >> bit & 1]
