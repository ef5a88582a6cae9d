"""The medical floating point numbers of IEEE 11073-20601, SFLOAT (16 bit) and FLOAT (32 bit), as exact decimals.

What a number measures, and in which unit, is for the frame around it to say.
"""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from gateway.conversation import Decoder
from gateway.drivers.cursor import exactly
from gateway.wire.vocabulary import OffScale


class Special(StrEnum):
    """A word that stands where a number would, and is none."""

    NAN = "NaN"  # the meter has no result
    NRES = "NRes"  # not at this resolution: the result does not fit the format
    PLUS_INFINITY = "+INF"  # above what the meter can measure
    MINUS_INFINITY = "-INF"  # below it
    RESERVED = "reserved"


Number: TypeAlias = Decimal | Special
ByteOrder: TypeAlias = Literal["little", "big"]

# The whole word is compared before it is split: read as a number, 0x0800 would be a believable -2048.
_SFLOAT_SPECIALS = {
    0x07FF: Special.NAN,
    0x0800: Special.NRES,
    0x07FE: Special.PLUS_INFINITY,
    0x0802: Special.MINUS_INFINITY,
    0x0801: Special.RESERVED,
}
_FLOAT_SPECIALS = {
    0x007FFFFF: Special.NAN,
    0x00800000: Special.NRES,
    0x007FFFFE: Special.PLUS_INFINITY,
    0x00800002: Special.MINUS_INFINITY,
    0x00800001: Special.RESERVED,
}


def sfloat(data: bytes, byte_order: ByteOrder = "little") -> Number:
    """Two bytes: 4-bit exponent, 12-bit mantissa, both signed; raises Garbled("length")."""
    word = int.from_bytes(exactly(data, 2), byte_order)
    return _SFLOAT_SPECIALS.get(word) or _number(word, mantissa_bits=12, exponent_bits=4)


def float32(data: bytes, byte_order: ByteOrder = "little") -> Number:
    """Four bytes: 8-bit exponent, 24-bit mantissa, both signed; raises Garbled("length")."""
    word = int.from_bytes(exactly(data, 4), byte_order)
    return _FLOAT_SPECIALS.get(word) or _number(word, mantissa_bits=24, exponent_bits=8)


def off_scale(number: Number) -> OffScale | None:
    """HI or LO where an infinity says so."""
    match number:
        case Special.PLUS_INFINITY:
            return OffScale.HI
        case Special.MINUS_INFINITY:
            return OffScale.LO
        case _:
            return None


def _number(word: int, *, mantissa_bits: int, exponent_bits: int) -> Decimal:
    mantissa = _signed(word & ((1 << mantissa_bits) - 1), mantissa_bits)
    exponent = _signed(word >> mantissa_bits, exponent_bits)
    return Decimal(mantissa).scaleb(exponent)


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _sfloat_fields(byte_order: ByteOrder) -> Decoder:
    def decode(data: bytes) -> dict[str, Any]:
        return {"byte_order": byte_order, "value": sfloat(data, byte_order)}

    return decode


def _float_fields(byte_order: ByteOrder) -> Decoder:
    def decode(data: bytes) -> dict[str, Any]:
        return {"byte_order": byte_order, "value": float32(data, byte_order)}

    return decode


DECODERS: Mapping[str, Decoder] = {
    "ble.sfloat": _sfloat_fields("little"),
    "ble.float32": _float_fields("little"),
    "ieee11073.sfloat_be": _sfloat_fields("big"),
    "ieee11073.float_be": _float_fields("big"),
}
