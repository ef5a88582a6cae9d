"""Runs the store under the recorder, cuts the power everywhere, and opens what is left with the real outbox."""

import asyncio
import hashlib
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.buffer.outbox import Outbox
from hil_tests.powercut.disk import Disk, State, Tree
from hil_tests.powercut.store import TALK, Weakness
from hil_tests.powercut.trace import Event, record


@dataclass(slots=True)
class Verdict:
    """States by sort: how many there were, how many lost something promised, how many were reported as damaged."""

    states: Counter[str] = field(default_factory=Counter)
    lossy: Counter[str] = field(default_factory=Counter)
    damaged: Counter[str] = field(default_factory=Counter)
    example: str = ""

    def __str__(self) -> str:
        sorts = ", ".join(
            f"{sort} {self.lossy[sort]}/{count}"
            + (f" ({self.damaged[sort]} damaged)" if self.damaged[sort] else "")
            for sort, count in sorted(self.states.items())
        )
        return f"{self.lossy.total()} of {self.states.total()} states lost something: {sorts}. {self.example}"


def cut_everywhere(
    work: Path,
    *,
    weakness: Weakness = Weakness.NONE,
    alone: int = 24,
    prepare: Callable[[Path], set[str]] = lambda directory: set(),
) -> Verdict:
    """The verdict on one recorded run; `prepare` fills the directory beforehand and says what it holds."""
    directory = work / "outbox"
    directory.mkdir(parents=True)
    held = prepare(directory)
    disk = Disk(directory)
    command = [sys.executable, "-m", "hil_tests.powercut.store", str(directory), str(work / "acks")]
    command += ["--weakness", weakness, "--alone", str(alone)]
    events = record(command, directory=directory, acks=work / "acks", log=work / "strace")
    verdict = asyncio.run(_judge(disk, events, held))
    # The recording is only believed if playing it to its end gives the very files that are there.
    if disk.now() != Disk(directory).now():
        raise AssertionError("the recording is not what happened")
    return verdict


async def _judge(disk: Disk, events: list[Event], held: set[str]) -> Verdict:
    verdict = Verdict()
    known: dict[bytes, tuple[set[str], bool]] = {}
    with _scratch() as scratch:
        for number, event in enumerate(events):
            for state in disk.cuts(event, number):
                await _count(state, held, known, verdict, scratch)
            disk.apply(event)
    return verdict


async def _count(
    state: State, held: set[str], known: dict[bytes, tuple[set[str], bool]], verdict: Verdict, scratch: Path
) -> None:
    fingerprint = _fingerprint(state.tree)
    if fingerprint not in known:
        known[fingerprint] = await _survivors(state.tree, scratch)
    found, damaged = known[fingerprint]
    verdict.states[state.sort] += 1
    verdict.damaged[state.sort] += damaged
    if lost := (state.promised | held) - found:
        verdict.lossy[state.sort] += 1
        verdict.example = verdict.example or f"first: {state.sort} lost {', '.join(sorted(lost)[:3])}"


async def _survivors(tree: Tree, scratch: Path) -> tuple[set[str], bool]:
    """Everything an outbox opened on `tree` still has, and whether it reports damage."""
    directory = scratch / "found"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    for path, content in tree.items():
        if content is None:
            (directory / path).mkdir()
        elif not path.endswith("-shm"):  # memory shared between processes: gone with the power
            (directory / path).write_bytes(content)
    outbox = await Outbox.open(directory, gateway="store-1")
    found = {f"reading:{held.reading.record_key}" for held in await outbox.recent(100_000)}
    found |= {f"raw:{data.hex()}" for _, _, data in await outbox.journal_of(TALK)}
    if (mark := await outbox.mark("ble.glucose", "GLU-1")) is not None:
        found.add(f"mark:{mark}")
    damaged = outbox.stats().damaged > 0
    await outbox.close()
    return found, damaged


def _fingerprint(tree: Tree) -> bytes:
    digest = hashlib.blake2b()
    for path, content in sorted(tree.items()):
        digest.update(f"{path}\0{'-' if content is None else len(content)}\0".encode())
        digest.update(content or b"")
    return digest.digest()


@contextmanager
def _scratch() -> Iterator[Path]:
    # In memory where possible: thousands of states are opened, and none of them needs to outlive this run.
    memory = Path("/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        yield Path(directory)
