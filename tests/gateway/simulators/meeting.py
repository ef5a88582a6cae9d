"""A driver and a virtual meter face to face, without a wire: what it says by itself first, then in answer."""

from collections import deque
from collections.abc import Iterable
from datetime import datetime

from gateway.conversation import (
    Arrived,
    Context,
    Done,
    Driver,
    Emit,
    Lost,
    Note,
    Record,
    Refused,
    Remember,
    Sighting,
    Silence,
    Wait,
    Write,
)
from gateway.simulators.line import LineMeter

NOW = datetime.fromisoformat("2026-03-05T04:00:30+00:00")
MANY = 20_000


class Met:
    """What a conversation brought."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.notes: list[tuple[str, str]] = []
        self.remembered: str | None = None
        self.acts: list[str] = []  # "emit", "write 06": in the order they were done


def meet(
    driver: Driver,
    meter: LineMeter,
    *,
    last_record: str | None = None,
    set_clock_to: datetime | None = None,
    piece_bytes: int | None = None,
    lose_after: int | None = None,
    name: str = "",
    channel: str = "",
) -> Met:
    """Runs the conversation to its end. `lose_after`: so many bytes from the meter, then the line is gone.
    `channel`: where the meter speaks, on Bluetooth."""
    context = Context(
        sighting=Sighting(transport=driver.transport, address="usb-1", name=name, driver=driver.name),
        now=NOW,
        last_record=last_record,
        set_clock_to=set_clock_to,
    )
    met, coming, left = Met(), deque[bytes](), lose_after

    def say(pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            size = piece_bytes or max(len(piece), 1)
            coming.extend(piece[at : at + size] for at in range(0, len(piece), size))

    say(meter.begin())
    talk = driver.talk(context)
    try:
        action = next(talk)
        for _ in range(MANY):
            answer: object = Done()
            match action:
                case Emit(record):
                    met.records.append(record)
                    met.acts.append("emit")
                case Note(what, value):
                    met.notes.append((what, value))
                case Remember(value):
                    met.remembered = value
                case Write(_, data):
                    met.acts.append(f"write {data.hex()}")
                    say(meter.hear(data))
                case Wait() if left is not None and left <= 0:
                    meter.on_line_lost()
                    answer = Lost("gone")
                case Wait():
                    answer = Silence()
                    if coming:
                        data = coming.popleft()[:left]
                        left = None if left is None else left - len(data)
                        answer = Arrived(channel, data)
            action = talk.throw(answer) if isinstance(answer, Refused | Lost) else talk.send(answer)
    except StopIteration:
        return met
    except Lost:
        met.acts.append("lost")
        return met
    raise AssertionError("they never stop talking")
