"""Runs a program under strace and returns what it did to a directory, in order.

What that could have left on a disk is `disk`'s.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Create:
    path: str


@dataclass(frozen=True, slots=True)
class MakeFolder:
    path: str


@dataclass(frozen=True, slots=True)
class Write:
    path: str
    offset: int | None  # None: at the end
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    path: str


@dataclass(frozen=True, slots=True)
class Rename:
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Remove:
    path: str


@dataclass(frozen=True, slots=True)
class Ack:
    """The program told somebody that this is safe."""

    what: str


Event: TypeAlias = Create | MakeFolder | Write | Truncate | Sync | Rename | Remove | Ack

CALLS = (
    "openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,ftruncate,unlink,unlinkat,mkdir,mkdirat,"
    # Not understood below; their appearance is an error and not a silent hole in the recording.
    "creat,writev,pwritev,pwritev2,sync_file_range,fallocate,truncate,link,linkat,rmdir"
)
RUN_TIMEOUT_S = 120.0
LONGEST_PAYLOAD_BYTES = 1 << 24

_LINE = re.compile(
    r"(?P<pid>\d+) +(?P<call>\w+)\((?P<arguments>.*?)(?:\) += (?P<result>-?\d+).*| <unfinished \.\.\.>)"
)
_RESUMED = re.compile(r"(?P<pid>\d+) +<\.\.\. \w+ resumed>(?P<arguments>.*)\) += (?P<result>-?\d+).*")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_ON = re.compile(r"^\d+<((?:\\x[0-9a-f]{2})*)>")


def available() -> str | None:
    """Why nothing can be recorded here, or None."""
    strace = shutil.which("strace")
    if strace is None:
        return "strace is not installed"
    probe = subprocess.run([strace, "-o", "/dev/null", "true"], check=False, capture_output=True)
    return None if probe.returncode == 0 else "strace may not trace here"


def record(command: Sequence[str], *, directory: Path, acks: Path, log: Path) -> list[Event]:
    """Runs `command`; what it did below `directory`, relative to it, and the lines it wrote to `acks`."""
    acks.touch()
    subprocess.run(
        [
            "strace",
            "-f",
            "-y",
            "-xx",
            "-s",
            str(LONGEST_PAYLOAD_BYTES),
            "-e",
            f"trace={CALLS}",
            "-o",
            str(log),
            *command,
        ],
        check=True,
        timeout=RUN_TIMEOUT_S,
    )
    return list(_events(log, directory.resolve(), acks.resolve()))


def _events(log: Path, directory: Path, acks: Path) -> Iterator[Event]:
    begun: dict[str, tuple[str, str]] = {}
    with log.open() as lines:
        for line in lines:
            if resumed := _RESUMED.match(line):
                call, arguments = begun.pop(resumed["pid"])
                yield from _event(call, arguments + resumed["arguments"], int(resumed["result"]), directory, acks)
            elif (found := _LINE.match(line)) and found["result"] is None:
                begun[found["pid"]] = (found["call"], found["arguments"])
            elif found:
                yield from _event(found["call"], found["arguments"], int(found["result"]), directory, acks)


def _event(call: str, arguments: str, result: int, directory: Path, acks: Path) -> Iterator[Event]:
    """A call counts when it returned: nobody was told of its effect before."""
    if result < 0:
        return
    on = _ON.match(arguments)
    strings = [_bytes(text) for text, cut in _STRING.findall(arguments)]
    names = [_below(directory, text.decode(errors="replace")) for text in strings] if on is None else []
    path = None if on is None else _below(directory, _bytes(on[1]).decode())
    match call:
        case "write" if on is not None and Path(_bytes(on[1]).decode()) == acks:
            yield from (Ack(word) for word in strings[0].decode().split())
        case "openat" if names and names[0] is not None and "O_CREAT" in arguments:
            yield Create(names[0])
            if "O_TRUNC" in arguments:
                yield Truncate(names[0], 0)
        case "mkdir" | "mkdirat" if names[0] is not None:
            yield MakeFolder(names[0])
        case "unlink" | "unlinkat" if names[0] is not None:
            yield Remove(names[0])
        case "rename" | "renameat" | "renameat2" if names[0] is not None and names[1] is not None:
            yield Rename(names[0], names[1])
        case "pwrite64" if path is not None:
            yield Write(path, int(arguments.rsplit(", ", 1)[1]), strings[0][:result])
        case "write" if path is not None:
            yield Write(path, None, strings[0][:result])
        case "ftruncate" if path is not None:
            yield Truncate(path, int(arguments.rsplit(", ", 1)[1]))
        case "fsync" | "fdatasync" if path is not None:
            yield Sync(path)
        case _ if path is not None or any(name is not None for name in names):
            if call != "openat":
                raise NotImplementedError(f"the rig does not understand {call}")


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


def _below(directory: Path, name: str) -> str | None:
    path = Path(name)
    return str(path.relative_to(directory)) if path.is_relative_to(directory) else None
