"""Reads a memory that says no record number and moves by one with every new measurement: all of it once, then only
what is new.

How a record is asked for is `taidoc_line`'s, what it means `taidoc_records`'.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from gateway.conversation import Garbled, Step, note, remember
from gateway.drivers.taidoc_line import TRIES, NoAnswer, Pair, TaiDocLine

BLOCK_RECORDS = 16
"""Read before it is asked whether the memory has moved meanwhile, and handed over when it has not."""
MOST_PASSES = 4
"""A customer measures once; a memory that has moved four times while it was read is not one."""
MOST_RECORDS = 4000
"""Four times the largest memory a maker states (FORA MD6: 1000)."""

OTHER_USER_TRIES = 2
"""A model without that user may say nothing at all; whoever is there is asked again at the next docking."""

VERSION = "1"
"""Of the marks. Raise it when this driver learns to read what it passed over: then all is read once more."""

HandOver: TypeAlias = Callable[[Pair, Sequence[Pair]], Step[None]]
"""Takes one record, and those that stand beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a user's memory was read: when it held `count` records, the newest being `newest`, the `done` newest
    of them were safely on disk."""

    count: int
    newest: str
    done: int


class Marks:
    """What is remembered of one meter, by user. Another meter's marks, or none, mean that nothing is known."""

    def __init__(self, serial: str, known: Mapping[int, Progress]) -> None:
        self._serial = serial or "-"
        self._known = dict(known)

    @classmethod
    def parse(cls, text: str | None, serial: str) -> "Marks":
        """From `Context.last_record`."""
        version, _, rest = (text or "").partition(" ")
        whose, _, rest = rest.partition(" ")
        if (version, whose) != (VERSION, serial or "-"):
            return cls(serial, {})
        found = (_MARK.fullmatch(word) for word in rest.split(" "))
        return cls(
            serial,
            {
                int(mark["user"]): Progress(
                    count=int(mark["count"]), newest=mark["newest"], done=int(mark["done"])
                )
                for mark in found
                if mark is not None
            },
        )

    def of(self, user: int) -> Progress | None:
        """What is known of `user`'s memory."""
        return self._known.get(user)

    def keep(self, user: int, progress: Progress) -> Step[None]:
        """Remembers it."""
        self._known[user] = progress
        words = (f"{user}:{it.count}:{it.newest}:{it.done}" for user, it in sorted(self._known.items()))
        yield from remember(" ".join((VERSION, self._serial, *words)))


_MARK = re.compile(r"(?P<user>[0-9]):(?P<count>[0-9]{1,5}):(?P<newest>[0-9a-f]{16}):(?P<done>[0-9]{1,5})")


def read_memories(line: TaiDocLine, users: Sequence[int], marks: Marks, hand_over: HandOver) -> Step[None]:
    """Hands over what is new to each of `users`; raises Garbled. Some models give every user the same memory."""
    seen: set[tuple[int, str]] = set()
    for number, user in enumerate(users):
        if number:
            yield from line.model()  # between two counts, so that the first cannot be taken for the second
        for _ in range(MOST_PASSES):
            try:
                count = yield from line.count(user, tries=OTHER_USER_TRIES if number else TRIES)
            except NoAnswer:
                if number:  # it has not so many users
                    return
                raise
            if count > MOST_RECORDS:
                raise Garbled("record_count")
            if not number:
                yield from note("records", str(count))
            if count == 0:
                break
            newest = yield from line.pair(0, user)
            if (count, newest.name) in seen:
                break
            if (yield from _Pass(line, user, count, newest, marks).run(hand_over)):
                seen.add((count, newest.name))
                break
        else:
            raise Garbled("memory_keeps_moving")


class _Pass:
    """One reading of a user's memory, for as long as it does not move."""

    def __init__(self, line: TaiDocLine, user: int, count: int, newest: Pair, marks: Marks) -> None:
        self._line = line
        self._user = user
        self._count = count
        self._newest = newest
        self._marks = marks
        self._read = {0: newest}

    def run(self, hand_over: HandOver) -> Step[bool]:
        """Hands over what is new, then what an earlier conversation did not come to. False: it has moved."""
        known = self._marks.of(self._user)
        done = 0
        if known is not None and (new := (yield from self._new_since(known))) is not None:
            for first in range(0, new, BLOCK_RECORDS):
                if not (yield from self._block(first, min(first + BLOCK_RECORDS, new), hand_over)):
                    return False
            done = min(new + known.done, self._count)
            yield from self._keep(done)
        for first in range(done, self._count, BLOCK_RECORDS):
            last = min(first + BLOCK_RECORDS, self._count)
            if not (yield from self._block(first, last, hand_over)):
                return False
            yield from self._keep(last)
        return True

    def _new_since(self, known: Progress) -> Step[int | None]:
        """How many records came on top of the newest known one; None: this is not the memory that is known.

        A memory that is full keeps its count and loses its oldest, so there the known record is looked for.
        """
        grown = self._count - known.count
        if grown < 0:
            return None
        if grown > 0:
            return grown if (yield from self._pair(grown)).name == known.newest else None
        for index in range(self._count):
            if (yield from self._pair(index)).name == known.newest:
                return index
        return None

    def _block(self, first: int, last: int, hand_over: HandOver) -> Step[bool]:
        """Reads records, and hands them over if the memory has not moved since this pass began: a time and a value
        read on either side of a move would be a record that never was."""
        for index in range(max(first - 1, 0), min(last + 1, self._count)):
            yield from self._pair(index)
        count = yield from self._line.count(self._user)
        newest = yield from self._line.pair(0, self._user)
        if (count, newest.name) != (self._count, self._newest.name):
            return False
        for index in range(first, last):
            beside = [self._read[near] for near in (index - 1, index + 1) if near in self._read]
            yield from hand_over(self._read[index], beside)
        return True

    def _pair(self, index: int) -> Step[Pair]:
        if index not in self._read:
            self._read[index] = yield from self._line.pair(index, self._user)
        return self._read[index]

    def _keep(self, done: int) -> Step[None]:
        progress = Progress(count=self._count, newest=self._newest.name, done=done)
        if progress != self._marks.of(self._user):
            yield from self._marks.keep(self._user, progress)
