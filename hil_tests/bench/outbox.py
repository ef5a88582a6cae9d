"""The outbox beside the bare disk and beside persist-queue: same machine, same disk, same rounds."""

import asyncio
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from persistqueue import SQLiteAckQueue

from gateway.buffer.outbox import Outbox
from gateway.wire import codec
from hil_tests.readings import reading

ROUNDS = 7
"""Interleaved, and the median taken: the disk is shared, and a slow minute should hit every contestant."""
ALONE = 400
WARM_UP = 100
"""Not measured, on both sides: a gateway has been saving since this morning."""
PARALLEL = 1600
BATCHES = 40
BATCH = 100

_numbers = iter(range(1_000_000_000))


def figures() -> Iterator[dict[str, object]]:
    """The five `outbox.` figures, after all rounds."""
    rounds = [_round() for _ in range(ROUNDS)]

    def median(name: str) -> float:
        return statistics.median(one[name] for one in rounds)

    def figure(name: str, unit: str, baseline: str | None, digits: int) -> dict[str, object]:
        value = median(name)
        beside = None if baseline is None else median(baseline)
        return {
            "figure": f"outbox.{name}",
            "value": round(value, digits),
            "unit": unit,
            "baseline": None if beside is None else round(beside, digits),
            "ratio": None if beside is None else round(value / beside, 2),
        }

    yield figure("put_p50_ms", "ms", "append_p50_ms", 3)
    yield figure("put_p99_ms", "ms", "append_p99_ms", 3)
    yield figure("put_8_callers_per_s", "1/s", "ackqueue_8_per_s", 0)
    yield figure("put_64_callers_per_s", "1/s", "ackqueue_64_per_s", 0)
    yield figure("put_batch_100_per_s", "1/s", None, 0)


def _round() -> dict[str, float]:
    # Not in the system's temporary directory, which may be memory: fdatasync must mean the disk.
    directory = Path(tempfile.mkdtemp(prefix=".bench-", dir=Path.cwd()))
    try:
        measured = asyncio.run(_outbox(directory / "outbox"))
        measured |= _append(directory / "append")
        for callers in (8, 64):
            measured[f"ackqueue_{callers}_per_s"] = _ack_queue(directory / f"queue-{callers}", callers)
        return measured
    finally:
        shutil.rmtree(directory)


async def _outbox(directory: Path) -> dict[str, float]:
    outbox = await Outbox.open(directory, gateway="bench")
    waits = []
    for _ in range(WARM_UP + ALONE):
        one = [reading(next(_numbers))]
        began = time.perf_counter()
        await outbox.put(one)
        waits.append(time.perf_counter() - began)
    measured = _percentiles("put", waits[WARM_UP:])

    async def caller(count: int) -> None:
        for _ in range(count):
            await outbox.put([reading(next(_numbers))])

    for callers in (8, 64):
        began = time.perf_counter()
        await asyncio.gather(*(caller(PARALLEL // callers) for _ in range(callers)))
        measured[f"put_{callers}_callers_per_s"] = PARALLEL / (time.perf_counter() - began)
    dumps = [[reading(next(_numbers)) for _ in range(BATCH)] for _ in range(BATCHES)]
    began = time.perf_counter()
    for dump in dumps:
        await outbox.put(dump)
    measured["put_batch_100_per_s"] = BATCHES * BATCH / (time.perf_counter() - began)
    await outbox.close()
    return measured


def _append(file: Path) -> dict[str, float]:
    """The least a durable write can cost: the same bytes appended to a file, and fdatasync."""
    waits = []
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for _ in range(WARM_UP + ALONE):
        data = codec.encode(reading(next(_numbers)))
        began = time.perf_counter()
        os.write(descriptor, data)
        os.fdatasync(descriptor)
        waits.append(time.perf_counter() - began)
    os.close(descriptor)
    return _percentiles("append", waits[WARM_UP:])


def _ack_queue(directory: Path, callers: int) -> float:
    """persist-queue's durable queue, one thread per caller as its documentation has it."""
    store = SQLiteAckQueue(str(directory), multithreading=True, auto_commit=True)

    def call() -> None:
        for _ in range(PARALLEL // callers):
            store.put(codec.encode(reading(next(_numbers))))

    seconds = _together(call, callers)
    store.close()
    return PARALLEL / seconds


def _together(call: Callable[[], None], callers: int) -> float:
    threads = [threading.Thread(target=call) for _ in range(callers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def _percentiles(name: str, waits: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(waits, n=100)
    return {f"{name}_p50_ms": cuts[49] * 1000, f"{name}_p99_ms": cuts[98] * 1000}
