"""`python -m gateway decode`: one frame's bytes as named fields, by the same decoders the drivers run.

Which protocols there are is `gateway.drivers`' business; this parses the command line and prints JSON.
"""

import argparse
import io
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from gateway.conversation import Decoder, Garbled
from gateway.drivers import DECODERS, NotADriver, decoders_of, known_drivers

_json = msgspec.json.Encoder(decimal_format="number")
_PLAIN_EXPONENT = 18
"""Up to here a power of ten is written out; beyond, 1E+127 is the more readable, and the exact, number."""


def main(argv: Sequence[str]) -> int:
    """Prints one JSON object per frame; the exit status is 1 if any was invalid."""
    decoders = known_decoders()
    parser = argparse.ArgumentParser(prog="python -m gateway decode", description="Decode one frame of a meter.")
    parser.add_argument("protocol", nargs="?", help="one of: " + ", ".join(sorted(decoders)))
    parser.add_argument("hex", nargs="?", default="", help="the frame's bytes, e.g. 06000101")
    parser.add_argument(
        "--lines", action="store_true", help="read 'PROTOCOL HEX' from standard input, answer line by line"
    )
    options = parser.parse_args(argv)
    if options.lines:
        if options.protocol is not None:
            parser.error("--lines takes protocols from standard input, not from the command line")
        return _answer_lines(decoders)
    if options.protocol is None:
        parser.error("a PROTOCOL is needed, or --lines")
    answer = decode(options.protocol, options.hex, decoders)
    sys.stdout.write(_line(answer))
    return 0 if answer["valid"] else 1


def known_decoders() -> Mapping[str, Decoder]:
    """Those of other installed packages too; ours stand, whatever is wrong with a package."""
    try:
        return decoders_of(known_drivers())
    except NotADriver as error:
        sys.stderr.write(f"warning: {error}; decoding without installed packages\n")
        return DECODERS


def decode(protocol: str, text: str, decoders: Mapping[str, Decoder] = DECODERS) -> dict[str, Any]:
    """The answer for one frame: its fields, or the class of error it is refused with."""
    protocol = protocol.encode("utf-8", "replace").decode()  # a command line may hold bytes that are no text
    decoder = decoders.get(protocol)
    if decoder is None:
        return {"protocol": protocol, "valid": False, "error": "unknown_protocol"}
    try:
        data = bytes.fromhex(text)
    except ValueError:
        return {"protocol": protocol, "valid": False, "error": "hex"}
    try:
        return {"protocol": protocol, "valid": True, "fields": _plain(decoder(data))}
    except Garbled as garbled:
        return {"protocol": protocol, "valid": False, "error": garbled.error}


def _answer_lines(decoders: Mapping[str, Decoder]) -> int:
    status = 0
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # a line that is no text is answered like any other
    for line in sys.stdin:
        protocol, text = (*line.split(None, 1), "", "")[:2]
        answer = decode(protocol, text, decoders)
        status = status if answer["valid"] else 1
        sys.stdout.write(_line(answer))
        sys.stdout.flush()  # whoever asks line by line waits for the answer
    return status


def as_json(fields: dict[str, Any]) -> str:
    """What `decode` prints of `fields`."""
    return _json.encode(_plain(fields)).decode()


def _line(answer: dict[str, Any]) -> str:
    return _json.encode(answer).decode() + "\n"


def _plain(value: Any) -> Any:
    """`value` with powers of ten written out: a decoder's 12E+2 prints as 1200."""
    match value:
        case Decimal():
            exponent = value.as_tuple().exponent
            whole = isinstance(exponent, int) and 0 < exponent <= _PLAIN_EXPONENT
            return value.quantize(Decimal(1)) if whole else value
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case _:
            return value
