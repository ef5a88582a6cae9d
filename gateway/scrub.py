"""Takes out of a captured conversation what tells which meter it was, and refuses what may tell whose value it
was.

Pure. A scrubbed transcript still plays: the driver is run over the scrubbed bytes, and what it says then is what
is written. Where a checksum does not allow that, nothing is written. Capturing is `gateway.capture`'s.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from gateway.conversation import (
    Action,
    Arrived,
    Context,
    ConversationError,
    Driver,
    Emit,
    Lost,
    Note,
    Refused,
    Remember,
    Sighting,
    Write,
)
from gateway.transcript_text import Answer, write

Exchange: TypeAlias = tuple[Action, Answer]

RADIO_ADDRESS = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")
LONG_DIGITS = re.compile(rb"(?<![0-9A-Za-z])(?!20\d{12}(?!\d))\d{11,}(?![0-9A-Za-z])")
"""Telephone numbers, numbers of cards and identity cards; not 20260302093130."""
CHINESE = re.compile("[\u4e00-\u9fff]{2,}")
PATIENT = re.compile(rb"(?:^|[\r\n\x02\d])P\|[^\r\n]*[A-Za-z]{2}")
"""A patient record of ASTM E1394 with a word in it."""
HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){4,}")
WORD_BYTES = 4
SHORTEST_SECRET = 4
"""What is shorter stands in too many other places."""
NO_TEXT = frozenset(range(32)) - {0x02, 0x03, 0x04, 0x05, 0x0A, 0x0B, 0x0D, 0x17, 0x1C, 0x1E}
"""Control characters that no protocol of text has."""


class NotScrubbable(ValueError):
    """Nothing may be written; the message says why, without repeating what it found."""


@dataclass(slots=True)
class Scrubber:
    """Replaces addresses and serial numbers, the same one by the same one in every conversation it is given."""

    _addresses: dict[str, str] = field(default_factory=dict)
    _serials: dict[str, int] = field(default_factory=dict)

    def scrub(
        self,
        driver: Driver,
        context: Context,
        exchanges: Sequence[Exchange],
        error: ConversationError | None = None,
    ) -> str:
        """The transcript without what tells which meter it was; raises NotScrubbable."""
        _refuse_names(exchanges)
        failure: Exception | None = None
        for words in self._candidates(context.sighting, exchanges):
            swap = _swapping(words)
            try:
                scrubbed = _scrubbed_context(context, words)
                replayed = _replay(driver, scrubbed, _answers(exchanges, swap), exchanges, swap)
            except _Differs as differs:
                failure = differs
                continue
            text = write(driver.name, scrubbed, replayed, error)
            left = [word for word in words if len(word) >= SHORTEST_SECRET and word.lower() in text.lower()]
            if left:
                failure = _Differs("it is written in another way too")
                continue
            return text
        raise NotScrubbable(
            f"the meter's number cannot be taken out of its bytes ({failure}); capture without --scrub, "
            "and ask the people who make Kangdock before you pass it on"
        )

    def _candidates(self, sighting: Sighting, exchanges: Sequence[Exchange]) -> Iterator[dict[str, str]]:
        """What to replace by what, in several ways: all but the first keep sums and exclusive ors over it."""
        serials = sorted({a.value for a, _ in exchanges if isinstance(a, Note) and a.what == "serial" and a.value})
        address = sighting.address.upper()
        words = {}
        if RADIO_ADDRESS.fullmatch(address):
            words[address] = self._addresses.setdefault(address, f"C0:FF:EE:00:00:{len(self._addresses) + 1:02X}")
        if not serials:
            yield words
            return
        numbers = [self._serials.setdefault(serial, len(self._serials) + 1) for serial in serials]
        yield words | {s: _counted(s, n) for s, n in zip(serials, numbers, strict=True)}
        for turned in range(1, max(map(len, serials))):
            yield words | {s: _turned(s, turned) for s in serials}
        for turned in range(1, 2 * WORD_BYTES, 2):
            yield words | {s: "".join(_turned(word, turned + 1) for word in _words(s)) for s in serials}


class _Differs(Exception):
    """The driver does not do the same over the scrubbed bytes."""


def _turned(text: str, by: int) -> str:
    by %= len(text)
    return text[by:] + text[:by]


def _words(serial: str) -> list[str]:
    """A serial number in hex, as meters send it: four bytes at a time."""
    return [serial[at : at + 2 * WORD_BYTES] for at in range(0, len(serial), 2 * WORD_BYTES)]


def _counted(serial: str, number: int) -> str:
    """`serial` with its digits counted anew; its letters say which model it is, and stay."""
    digits = sum(character.isdigit() for character in serial)
    new = iter(str(number).zfill(digits)[-digits:] if digits else "")
    return "".join(next(new) if character.isdigit() else character for character in serial)


def _swapping(words: Mapping[str, str]) -> Callable[[bytes], bytes]:
    """Replaces each word, in every way a meter may write it; the length stays."""
    pairs: list[tuple[bytes, bytes]] = []
    for old, new in words.items():
        pairs.append((old.encode(), new.encode()))
        plain = (old.replace(":", ""), new.replace(":", ""))
        for form in (str, str.lower, str.upper):
            pairs.append((form(plain[0]).encode(), form(plain[1]).encode()))
        if all(HEX.fullmatch(word) for word in plain):
            halves = zip(_words(plain[0]), _words(plain[1]), strict=True)
            for before, after in (plain, *halves):
                packed, anew = bytes.fromhex(before), bytes.fromhex(after)
                pairs += [(packed, anew), (packed[::-1], anew[::-1])]
    new_words = {word.encode() for word in words.values()}

    def swap(data: bytes) -> bytes:
        for old, new in pairs:
            data = data.replace(old, new)
        return LONG_DIGITS.sub(lambda it: it[0] if it[0] in new_words else b"0" * len(it[0]), data)

    return swap


def _scrubbed_context(context: Context, words: Mapping[str, str]) -> Context:
    swap = _swapping(words)

    def text(said: str) -> str:
        return swap(said.encode()).decode("utf-8", "replace")

    sighting = context.sighting
    name = text(sighting.name)
    for word in words:
        # Many meters put the end of their number or of their address behind their name.
        plain = word.replace(":", "")
        for size in range(len(plain), SHORTEST_SECRET - 1, -1):
            name = re.sub(re.escape(plain[-size:]), "0" * size, name, flags=re.IGNORECASE)
    return replace(
        context,
        sighting=replace(sighting, address=words.get(sighting.address.upper(), sighting.address), name=name),
        last_record=None if context.last_record is None else text(context.last_record),
    )


def _answers(exchanges: Sequence[Exchange], swap: Callable[[bytes], bytes]) -> list[Answer]:
    """The answers with their bytes replaced, also where a word came in two pieces, one after the other."""
    answers = [answer for _, answer in exchanges]
    by_channel: dict[str, list[int]] = {}
    for at, answer in enumerate(answers):
        if isinstance(answer, Arrived):
            by_channel.setdefault(answer.channel, []).append(at)
    for channel, places in by_channel.items():
        pieces = [_data(answers[at]) for at in places]
        whole = swap(b"".join(pieces))
        for at, piece in zip(places, pieces, strict=True):
            answers[at] = Arrived(channel, whole[: len(piece)])
            whole = whole[len(piece) :]
    return answers


def _data(answer: Answer) -> bytes:
    return answer.data if isinstance(answer, Arrived) else b""


def _replay(
    driver: Driver,
    context: Context,
    answers: Sequence[Answer],
    exchanges: Sequence[Exchange],
    swap: Callable[[bytes], bytes],
) -> list[Exchange]:
    """What the driver says to the scrubbed answers; raises _Differs where that is another conversation."""
    talk = driver.talk(context)
    replayed: list[Exchange] = []
    try:
        action = next(talk)
        for (before, _), answer in zip(exchanges, answers, strict=True):
            if _skeleton(action, swap) != _skeleton(before, swap):
                raise _Differs("a checksum no longer fits")
            replayed.append((action, answer))
            match answer:
                case Refused() | Lost():
                    action = talk.throw(answer)
                case _:
                    action = talk.send(answer)
    except StopIteration:
        pass
    except ConversationError:
        pass
    if len(replayed) != len(exchanges):
        raise _Differs("it ends earlier")
    return replayed


def _skeleton(action: Action, swap: Callable[[bytes], bytes]) -> object:
    """What must be the same: everything but a serial, a record's name and a mark."""
    match action:
        case Note("serial", value):
            return "serial", len(value)
        case Note(what, value):
            return what, swap(value.encode())
        case Emit(record):
            return replace(record, key="")
        case Remember():
            return "remember"
        case Write(channel, data, acknowledged):
            return channel, swap(data), acknowledged
        case _:
            return action


def _refuse_names(exchanges: Sequence[Exchange]) -> None:
    """Raises NotScrubbable where a meter sent what may be somebody's name: no rule finds all of it."""
    channels: dict[str, bytes] = {}
    for _, answer in exchanges:
        if isinstance(answer, Arrived):
            channels[answer.channel] = channels.get(answer.channel, b"") + answer.data
    for data in channels.values():
        if PATIENT.search(data) or CHINESE.search(_as_text(data)):
            raise NotScrubbable(
                "the meter sent text that may be somebody's name; nothing is written. Take the name out of the "
                "meter, measure a control solution, and capture again"
            )


def _as_text(data: bytes) -> str:
    """UTF-8; or GB 18030, where all but the control characters of protocols is text in it."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "" if set(data) & NO_TEXT else data.decode("gb18030", "replace")
