"""Coverage-guided fuzzing of every frame decoder: ten million inputs unless told otherwise.

    pip install kangdock[fuzz]
    python -m hil_tests.fuzz [RUNS] [--seed N]

The first byte chooses the decoder, the rest is the frame. A decoder answers with named fields that print as JSON,
or raises Garbled; anything else is a finding: libFuzzer writes the input to a file, and the exit status is not 0.
The corpus begins with every public frame in the tests. On standard output: a count by decoder, as JSON.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["gateway"]):
    from gateway.conversation import Garbled
    from gateway.decode import as_json
    from gateway.drivers import DECODERS

RUNS = 10_000_000
LONGEST_FRAME = 512
"""Twice the longest frame of any meter; ASTM's messages are made of frames."""
PROTOCOLS = sorted(DECODERS)
VECTORS = Path(__file__).parents[1] / "tests" / "gateway" / "drivers" / "vectors"


class Fuzzed:
    """Feeds decoders and counts what became of it."""

    def __init__(self, runs: int) -> None:
        self._runs = runs
        self._done = 0
        self._valid: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()

    def one(self, data: bytes) -> None:
        """One input."""
        if data:
            protocol = PROTOCOLS[data[0] % len(PROTOCOLS)]
            try:
                as_json(DECODERS[protocol](data[1:]))
                self._valid[protocol] += 1
            except Garbled as garbled:
                self._refused[protocol] += 1
                self._errors[garbled.error] += 1
        self._done += 1
        if self._done == self._runs:
            self._report()

    def _report(self) -> None:
        # Here and not at the end: libFuzzer leaves without running Python's exit handlers.
        by_protocol = {one: [self._valid[one], self._refused[one]] for one in PROTOCOLS}
        summary = {
            "inputs": self._done,
            "decoders": len(PROTOCOLS),
            "valid": self._valid.total(),
            "refused": self._refused.total(),
            "least_fed": min(map(sum, by_protocol.values())),
            "errors": dict(self._errors.most_common()),
            "valid_and_refused": by_protocol,
        }
        print(json.dumps(summary), flush=True)


def seeds(folder: Path) -> None:
    """Writes every public frame as a corpus file."""
    for file in sorted(VECTORS.glob("*.json")):
        for vector in json.loads(file.read_text("utf-8")):
            if vector["protocol"] in DECODERS:
                chosen = bytes([PROTOCOLS.index(vector["protocol"])])
                (folder / f"{file.stem}-{vector['id']}").write_bytes(chosen + bytes.fromhex(vector["hex"]))


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    parser = argparse.ArgumentParser(prog="python -m hil_tests.fuzz", description=__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=RUNS)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    corpus = Path(tempfile.mkdtemp(prefix="kangdock-fuzz-"))
    seeds(corpus)
    atheris.Setup(
        [
            sys.argv[0],
            f"-runs={arguments.runs}",
            f"-seed={arguments.seed}",
            f"-max_len={LONGEST_FRAME}",
            f"-artifact_prefix={corpus}/finding-",
            "-timeout=5",
            str(corpus),
        ],
        Fuzzed(arguments.runs).one,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
