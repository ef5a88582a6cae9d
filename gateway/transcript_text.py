"""The lines of a transcript: from text, to text, and each thing that can be said in words.

The format is described in `gateway.transcript`, which plays it; this knows nothing of drivers.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from gateway.conversation import (
    Action,
    Arrived,
    Context,
    ConversationError,
    Emit,
    Event,
    Garbled,
    HowLong,
    Lasted,
    Lost,
    Note,
    Pair,
    Read,
    Record,
    Refused,
    Remember,
    Sighting,
    Silence,
    Subscribe,
    Wait,
    Write,
)
from gateway.wire.messages import Purpose
from gateway.wire.vocabulary import Meal

HEADERS = (
    "driver",
    "transport",
    "name",
    "address",
    "services",
    "usb_id",
    "waited",
    "received",
    "last_record",
    "set_clock_to",
)
SERIAL_LINE = "-"

Answer: TypeAlias = Event | Refused | Lost
"""What an action comes to: an event, or what is raised out of the driver's yield."""


class Malformed(ValueError):
    """A transcript nobody can read: which line, and what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the dialogue: `mark` is `>`, `<`, `=` or `.`, `text` what follows, `number` where it stands."""

    mark: str
    text: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """A parsed transcript: who speaks with what, and the dialogue."""

    driver: str
    context: Context
    lines: tuple[Line, ...]


def parse(text: str) -> Transcript:
    """The transcript in `text`; raises Malformed."""
    headers: dict[str, str] = {}
    lines: list[Line] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith("#"):
            name, _, value = line[1:].partition(":")
            if name.strip() in HEADERS:
                headers[name.strip()] = _unquoted(value.strip(), number)
        elif line:
            mark, rest = line[0], line[1:].strip()
            if mark not in "><=." or not rest:
                raise Malformed(f"line {number}: begins with none of # > < = .")
            made = Line(mark=mark, text=rest, number=number)
            if mark in "<.":
                heard(made)  # so that a bad line is reported before anything is played
            lines.append(made)
    for name in ("driver", "received"):
        if name not in headers:
            raise Malformed(f"the header '# {name}: ...' is missing")
    return Transcript(driver=headers["driver"], context=_context(headers), lines=tuple(lines))


def _context(headers: Mapping[str, str]) -> Context:
    try:
        received = datetime.fromisoformat(headers["received"])
    except ValueError:
        raise Malformed("the header '# received: ...' is no time, e.g. 2026-01-03T03:35:00+00:00") from None
    if received.tzinfo is None:
        raise Malformed("the header '# received: ...' needs an offset, e.g. +00:00")
    try:
        set_clock_to = datetime.fromisoformat(headers["set_clock_to"]) if "set_clock_to" in headers else None
    except ValueError:
        raise Malformed("the header '# set_clock_to: ...' is no time, e.g. 2026-01-03T11:35:00") from None
    return Context(
        sighting=Sighting(
            transport=headers.get("transport", "ble"),
            address=headers.get("address", ""),
            name=headers.get("name", ""),
            services=frozenset(headers.get("services", "").replace(",", " ").split()),
            usb_id=headers.get("usb_id", ""),
            waited=headers.get("waited") == "yes",
        ),
        now=received,
        last_record=headers.get("last_record") or None,
        set_clock_to=set_clock_to,
    )


def write(
    driver: str,
    context: Context,
    exchanges: Iterable[tuple[Action, Answer]],
    error: ConversationError | None = None,
) -> str:
    """The transcript of a conversation: each action with its answer, and how it ended (None: well)."""
    sighting = context.sighting
    headers = {
        "driver": driver,
        "transport": sighting.transport,
        "name": sighting.name,
        "address": sighting.address,
        "services": " ".join(sorted(sighting.services)),
        "usb_id": sighting.usb_id,
        "waited": "yes" if sighting.waited else "",
        "received": context.now.isoformat(),
        "last_record": context.last_record or "",
        "set_clock_to": "" if context.set_clock_to is None else context.set_clock_to.isoformat(),
    }
    lines = [f"# {name}: {_header(value)}" for name, value in headers.items() if value] + [""]
    for action, answer in exchanges:
        match action:
            case Emit(record):
                lines.append(f"= {record_text(record)}")
            case Note() | Remember():
                lines.append(f"= {action_text(action)}")
            case Wait() | HowLong():
                pass
            case _:
                lines.append(f"> {action_text(action)}")
        match answer:
            case Arrived(channel, data):
                lines.append(f"< {channel or SERIAL_LINE} {bytes_text(data)}".rstrip())
            case Silence():
                lines.append(". silence")
            case Lasted(seconds) if seconds:
                lines.append(f". lasted {seconds}")
            case Refused(reason=reason):
                lines.append(f". refused {' '.join(reason.split())}".rstrip())
            case Lost():
                lines.append(". lost")
    if error is not None:
        lines.append(f"= {ending_text(error)}")
    return "\n".join(lines) + "\n"


def heard(line: Line) -> Answer:
    """What a `<` or `.` line says; raises Malformed."""
    if line.mark == "<":
        channel, _, data = line.text.partition(" ")
        return Arrived("" if channel == SERIAL_LINE else channel, _bytes(data.strip(), line.number))
    what, _, reason = line.text.partition(" ")
    match what:
        case "silence":
            return Silence()
        case "lost":
            return Lost("link lost")
        case "refused":
            return Refused(reason)
        case "lasted" if reason.isdecimal():
            return Lasted(int(reason))
        case _:
            raise Malformed(
                f"line {line.number}: . is followed by silence, lost, refused or lasted N, not {what!r}"
            )


# --- everything that can be said, in words -----------------------------------------------------------------


def action_text(action: Action) -> str:
    """An action as its line says it, without the mark."""
    match action:
        case Pair():
            return "pair"
        case Subscribe(channel):
            return f"subscribe {channel}"
        case Read(channel):
            return f"read {channel}"
        case Write(channel, data, acknowledged):
            return f"write{'' if acknowledged else '!'} {channel or SERIAL_LINE} {bytes_text(data)}".rstrip()
        case Wait(timeout_s):
            return f"wait {timeout_s:g}"
        case HowLong():
            return "how long"
        case Emit(record):
            return record_text(record)
        case Note(what, value):
            return f"note {what} {_word(value)}"
        case Remember(value):
            return f"remember {_word(value)}"


def record_text(record: Record) -> str:
    """A record as one line: kind and key, then what it holds, leaving out what it does not say."""
    parts = [str(record.kind), f"key={_word(record.key)}"]
    parts += [f"{name}={value}" for name, value in (record.values | record.off_scale).items()]
    if record.device_time is not None:
        parts.append(f"time={record.device_time.isoformat()}")
    if record.time_step_s != 1:
        parts.append(f"step={record.time_step_s}s")
    if record.live:
        parts.append("live")
    if record.meal != Meal.UNKNOWN:
        parts.append(f"meal={record.meal}")
    if record.purpose != Purpose.PATIENT:
        parts.append(f"purpose={record.purpose}")
    if record.flags:
        parts.append(f"flags={','.join(record.flags)}")
    if record.user_slot:
        parts.append(f"user_slot={_word(record.user_slot)}")
    if record.shown:
        parts.append("shown=" + _word("; ".join(f"{shown.value} {shown.unit}" for shown in record.shown)))
    return " ".join(parts)


def ending_text(error: ConversationError) -> str:
    """How a conversation ended badly."""
    match error:
        case Garbled(error=name):
            return f"garbled {name}"
        case Refused(reason=reason):
            return f"refused {' '.join(reason.split())}".rstrip()
        case _:
            return "lost"


def bytes_text(data: bytes) -> str:
    """Bytes as hex, or as quoted text where that is what they are."""
    text = data.decode("utf-8", "replace")
    if len(text) >= _SHORTEST_TEXT and text.isprintable() and "\ufffd" not in text:
        return _quoted(text)
    return data.hex()


_SHORTEST_TEXT = 3
"""Two printable bytes are more often a number than a word."""
_PLAIN_WORD = re.compile(r"[!#-~]+")


def _word(text: str) -> str:
    """`text`, in quotes where it would not be one word."""
    return text if _PLAIN_WORD.fullmatch(text) else _quoted(text)


def _header(text: str) -> str:
    """`text`, in quotes where it would not come back the same."""
    plain = text.isprintable() and text == text.strip() and not text.startswith('"')
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    """`text` as a JSON string, readable where it can be shown; a line break in a name is still one line."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _unquoted(text: str, number: int) -> str:
    if not text.startswith('"'):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        raise Malformed(f"line {number}: {text} begins like text in quotes, and is none") from None


def _bytes(text: str, number: int) -> bytes:
    if text.startswith('"'):
        return _unquoted(text, number).encode()
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Malformed(f"line {number}: {text!r} is neither hex nor text in quotes") from None
