"""How many frames of each protocol are decoded a second: what a driver pays per notification."""

import itertools
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.conversation import Decoder, Garbled
from gateway.drivers import DECODERS

VECTORS = Path(__file__).parents[2] / "tests" / "gateway" / "drivers" / "vectors"
ROUNDS = 5
ROUND_S = 0.1


def figures() -> Iterator[dict[str, Any]]:
    """`decode.<protocol>_per_s` over the valid frames of the published vectors."""
    frames: dict[str, list[bytes]] = {}
    for path in sorted(VECTORS.glob("*.json")):
        for vector in json.loads(path.read_text(encoding="utf-8")):
            data = bytes.fromhex(vector["hex"])
            if _decodes(DECODERS[vector["protocol"]], data):
                frames.setdefault(vector["protocol"], []).append(data)
    for protocol in sorted(frames):
        decoder = DECODERS[protocol]
        rate = statistics.median(_rate(decoder, frames[protocol]) for _ in range(ROUNDS))
        yield {
            "figure": f"decode.{protocol}_per_s",
            "value": round(rate),
            "unit": "frames/s",
            "baseline": None,
            "ratio": None,
        }


def _decodes(decoder: Decoder, data: bytes) -> bool:
    try:
        decoder(data)
    except Garbled:
        return False
    return True


def _rate(decoder: Decoder, frames: list[bytes]) -> float:
    done = 0
    started = time.perf_counter()
    for frame in itertools.cycle(frames):
        decoder(frame)
        done += 1
        if not done % 200 and time.perf_counter() - started > ROUND_S:
            break
    return done / (time.perf_counter() - started)
