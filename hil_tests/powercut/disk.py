"""A disk with a volatile cache: plays recorded events and shows what a power cut now could leave behind.

What a sync has made sure of stays. Of every later write nobody knows: it may be there, lost, torn at a sector,
ahead of an earlier one, or have spoiled the sectors it touched. A name may be lost until its folder was synced.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from hil_tests.powercut.trace import Ack, Create, Event, MakeFolder, Remove, Rename, Sync, Truncate, Write

SECTORS = (512, 4096)
"""What hard disks and what memory cards promise to write as one."""
TRIES = 2
"""Random states of each sort per cut; together with the exhaustive sorts a few thousand states per run."""

Tree: TypeAlias = dict[str, bytes | None]
"""Path to content; None for a folder."""


@dataclass(slots=True)
class _File:
    synced: bytes = b""
    later: list[Write | Truncate] = field(default_factory=list)

    def content(self) -> bytes:
        return _after(self.synced, self.later)


@dataclass(slots=True)
class _Folder:
    entries: dict[str, "_File | _Folder"] = field(default_factory=dict)
    synced: dict[str, "_File | _Folder"] = field(default_factory=dict)


Look: TypeAlias = Callable[[_File], bytes]


@dataclass(frozen=True, slots=True)
class State:
    """One thing the gateway may find after the power is back, and what it had promised by then."""

    sort: str
    tree: Tree
    promised: frozenset[str]


class Disk:
    """The directory under test; everything in it at the start is taken as synced."""

    def __init__(self, start: Path) -> None:
        self._root = _load(start)
        self._promised: set[str] = set()
        self._promised_at_cut = 0

    def apply(self, event: Event) -> None:
        """Plays one event."""
        match event:
            case Ack(what):
                self._promised.add(what)
            case Create(path):
                folder, name = self._parent(path)
                folder.entries.setdefault(name, _File())
            case MakeFolder(path):
                folder, name = self._parent(path)
                folder.entries[name] = _Folder()
            case Remove(path):
                folder, name = self._parent(path)
                del folder.entries[name]
            case Rename(old, new):
                source, old_name = self._parent(old)
                target, new_name = self._parent(new)
                target.entries[new_name] = source.entries.pop(old_name)
            case Write(path, offset, data):
                file = self._file(path)
                file.later.append(Write(path, len(file.content()) if offset is None else offset, data))
            case Truncate(path, _):
                self._file(path).later.append(event)
            case Sync(path):
                node = self._node(path)
                if isinstance(node, _Folder):
                    node.synced = dict(node.entries)
                else:
                    node.synced, node.later = node.content(), []

    def now(self) -> Tree:
        """The directory as the running system sees it."""
        return _tree(self._root, _File.content)

    def cuts(self, event: Event, seed: int) -> Iterator[State]:
        """What may be found if the power goes just before `event`."""
        promised = frozenset(self._promised)
        yield State("all", self.now(), promised)
        if isinstance(event, Write):
            half = Write(event.path, event.offset, event.data[: len(event.data) // 2 // 512 * 512])
            yield State("half", _tree(self._root, lambda file: self._with(file, half)), promised)
        # Between two syncs the cache only grows: just before the next it holds every choice there was. After a
        # promise, every choice is looked at again.
        if not isinstance(event, Sync) and len(self._promised) == self._promised_at_cut:
            return
        self._promised_at_cut = len(self._promised)
        yield State("unsynced_lost", _tree(self._root, lambda file: file.synced), promised)
        yield State("names_lost", _tree(self._root, lambda file: file.synced, strict=True), promised)
        yield State("names_lost_data_kept", _tree(self._root, _File.content, strict=True), promised)
        for attempt in range(TRIES):
            chance = random.Random(f"{seed} {attempt}")
            yield State("reordered", _tree(self._root, lambda file: _some(file, chance)), promised)  # noqa: B023
            for sector in SECTORS:
                torn = _tree(self._root, lambda file: _some(file, chance, sector))  # noqa: B023
                yield State(f"torn_{sector}", torn, promised)
        yield State("spoiled_4096", _tree(self._root, lambda file: _spoiled(file, 4096)), promised)

    def _with(self, file: _File, extra: Write) -> bytes:
        return _after(file.content(), [extra]) if file is self._node(extra.path) else file.content()

    def _node(self, path: str) -> "_File | _Folder":
        node: _File | _Folder = self._root
        for name in Path(path).parts:
            if not isinstance(node, _Folder):
                raise FileNotFoundError(path)
            node = node.entries[name]
        return node

    def _parent(self, path: str) -> tuple[_Folder, str]:
        folder = self._node(str(Path(path).parent))
        if not isinstance(folder, _Folder):
            raise NotADirectoryError(path)
        return folder, Path(path).name

    def _file(self, path: str) -> _File:
        file = self._node(path)
        if not isinstance(file, _File):
            raise IsADirectoryError(path)
        return file


def _after(content: bytes, changes: list[Write | Truncate]) -> bytes:
    if not changes:
        return content
    made = bytearray(content)
    for change in changes:
        match change:
            case Truncate(_, size):
                made = made[:size].ljust(size, b"\0")
            case Write(_, offset, data):
                at = len(made) if offset is None else offset
                made.extend(bytes(max(0, at - len(made))))
                made[at : at + len(data)] = data
    return bytes(made)


def _some(file: _File, chance: random.Random, sector: int | None = None) -> bytes:
    """`file` with a random half of what was not synced: whole writes, or sectors of them."""
    pieces: list[Write | Truncate] = []
    for change in file.later:
        if isinstance(change, Write) and sector is not None:
            pieces += _sectors(change, sector)
        else:
            pieces.append(change)
    return _after(file.synced, [piece for piece in pieces if chance.random() < 0.5])


def _sectors(write: Write, sector: int) -> list[Write]:
    offset, pieces, data = write.offset or 0, [], write.data
    while data:
        size = sector - offset % sector
        pieces.append(Write(write.path, offset, data[:size]))
        offset, data = offset + size, data[size:]
    return pieces


def _spoiled(file: _File, sector: int) -> bytes:
    """`file` with every sector that was being written turned to garbage, its synced neighbours included."""
    content = bytearray(file.synced)
    for change in file.later:
        if isinstance(change, Write):
            offset = change.offset or 0
            first = offset // sector * sector
            end = -(-(offset + len(change.data)) // sector) * sector
            if first < len(content):
                content[first:end] = random.Random(first).randbytes(min(end, len(content)) - first)
    return bytes(content)


def _tree(folder: _Folder, look: Look, *, strict: bool = False, below: str = "") -> Tree:
    tree: Tree = {}
    for name, node in (folder.synced if strict else folder.entries).items():
        path = f"{below}{name}"
        if isinstance(node, _Folder):
            tree[path] = None
            tree |= _tree(node, look, strict=strict, below=f"{path}/")
        else:
            tree[path] = look(node)
    return tree


def _load(directory: Path) -> _Folder:
    folder = _Folder()
    for path in directory.iterdir():
        folder.entries[path.name] = _load(path) if path.is_dir() else _File(synced=path.read_bytes())
    folder.synced = dict(folder.entries)
    return folder
