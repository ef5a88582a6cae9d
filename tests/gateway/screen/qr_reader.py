"""Reads a QR code of level L from its SVG, by ISO/IEC 18004 and without the library that drew it.

Enough of the standard for a clean picture: no error correction, byte mode, versions 1 to 20.
"""

import re
from collections.abc import Iterator

ALIGNMENT = {
    1: (),
    **{version: (6, 10 + 4 * version) for version in range(2, 7)},
    **{version: (6, 8 + 2 * version, 10 + 4 * version) for version in range(7, 14)},
    14: (6, 26, 46, 66),
    15: (6, 26, 48, 70),
    16: (6, 26, 50, 74),
    17: (6, 30, 54, 78),
    18: (6, 30, 56, 82),
    19: (6, 30, 58, 86),
    20: (6, 34, 62, 90),
}
"""Annex E: centres of the alignment patterns."""
DATA_CODEWORDS = {
    **{1: [19], 2: [34], 3: [55], 4: [80], 5: [108], 6: [68] * 2, 7: [78] * 2, 8: [97] * 2, 9: [116] * 2},
    **{10: [68] * 2 + [69] * 2, 11: [81] * 4, 12: [92] * 2 + [93] * 2, 13: [107] * 4, 14: [115] * 3 + [116]},
    **{15: [87] * 5 + [88], 16: [98] * 5 + [99], 17: [107] + [108] * 5, 18: [120] * 5 + [121]},
    **{19: [113] * 3 + [114] * 4, 20: [107] * 3 + [108] * 5},
}
"""Table 9, level L: data codewords of each block."""
MASKS = (
    lambda r, c: (r + c) % 2,
    lambda r, c: r % 2,
    lambda r, c: c % 3,
    lambda r, c: (r + c) % 3,
    lambda r, c: (r // 2 + c // 3) % 2,
    lambda r, c: r * c % 2 + r * c % 3,
    lambda r, c: (r * c % 2 + r * c % 3) % 2,
    lambda r, c: ((r + c) % 2 + r * c % 3) % 2,
)
QUIET = 4
LEVEL_L = 0b01


def read(svg: str) -> str:
    """The text in the code."""
    dark, size = _modules(svg)
    version = (size - 17) // 4
    level, mask = _format(dark)
    assert level == LEVEL_L, "only level L is read here"
    bits = [((r, c) in dark) ^ (MASKS[mask](r, c) == 0) for r, c in _path(size, _function(size, version))]
    words = [int("".join("01"[bit] for bit in bits[i : i + 8]), 2) for i in range(0, len(bits) - 7, 8)]
    message = int.from_bytes(_data(words, DATA_CODEWORDS[version]))
    length_bits = 8 if version < 10 else 16
    left = 8 * sum(DATA_CODEWORDS[version])

    def take(count: int) -> int:
        nonlocal left
        left -= count
        return message >> left & (1 << count) - 1

    assert take(4) == 0b0100, "byte mode"
    return bytes(take(8) for _ in range(take(length_bits))).decode("utf-8")


def _modules(svg: str) -> tuple[set[tuple[int, int]], int]:
    size = int(re.search(r'viewBox="0 0 (\d+) \1"', svg)[1]) - 2 * QUIET
    strokes = re.search(r'stroke="#000"[^>]* d="([^"]+)"', svg)[1]
    dark: set[tuple[int, int]] = set()
    x = y = 0.0
    for command, one, _, two in re.findall(r"([Mmh])(-?[\d.]+)(\s(-?[\d.]+))?", strokes):
        match command:
            case "M":
                x, y = float(one), float(two)
            case "m":
                x, y = x + float(one), y + float(two)
            case "h":
                dark.update((int(y) - QUIET, int(x) - QUIET + i) for i in range(int(one)))
                x += float(one)
    return dark, size


def _format(dark: set[tuple[int, int]]) -> tuple[int, int]:
    places = [(8, c) for c in (0, 1, 2, 3, 4, 5, 7, 8)] + [(r, 8) for r in (7, 5, 4, 3, 2, 1, 0)]
    word = int("".join("01"[place in dark] for place in places), 2) ^ 0b101010000010010
    return word >> 13, word >> 10 & 0b111


def _function(size: int, version: int) -> set[tuple[int, int]]:
    """Modules that carry no data."""
    taken = {(r, c) for r in range(9) for c in range(9)}
    taken |= {(r, c) for r in range(9) for c in range(size - 8, size)}
    taken |= {(r, c) for r in range(size - 8, size) for c in range(9)}
    taken |= {(6, i) for i in range(size)} | {(i, 6) for i in range(size)}
    centres, last = ALIGNMENT[version], size - 7
    for r in centres:
        for c in centres:
            if (r, c) not in ((6, 6), (6, last), (last, 6)):
                taken |= {(r + i, c + j) for i in range(-2, 3) for j in range(-2, 3)}
    if version >= 7:
        block = {(r, c) for r in range(6) for c in range(size - 11, size - 8)}
        taken |= block | {(c, r) for r, c in block}
    return taken


def _path(size: int, taken: set[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Two columns at a time, from the right, up and down in turns; the timing column is stepped over."""
    rights = [*range(size - 1, 6, -2), 5, 3, 1]
    for turn, right in enumerate(rights):
        rows = range(size) if turn % 2 else range(size - 1, -1, -1)
        for r in rows:
            yield from ((r, c) for c in (right, right - 1) if (r, c) not in taken)


def _data(words: list[int], lengths: list[int]) -> bytes:
    """The data of all blocks one after the other; in the code they are interleaved."""
    blocks: list[list[int]] = [[] for _ in lengths]
    stream = iter(words)
    for i in range(max(lengths)):
        for block, length in zip(blocks, lengths, strict=True):
            if i < length:
                block.append(next(stream))
    return bytes(word for block in blocks for word in block)
