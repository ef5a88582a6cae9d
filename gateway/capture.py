"""`python -m gateway capture`: docks a meter as the gateway does, and writes down what each side said.

The readings are kept like any other: some meters forget what they have told. What must not be passed on is
`gateway.scrub`'s to take out; `replay` and `simulate` read what is written.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from gateway import health
from gateway.board import Board
from gateway.config import Config
from gateway.conversation import Arrived, Context, ConversationError, Driver, Lost, Sighting, Talk
from gateway.docking import Docking
from gateway.drivers import NotADriver, known_drivers, recognise
from gateway.lines import lines_of
from gateway.machine import CannotStart, opened
from gateway.scrub import Exchange, NotScrubbable, Scrubber
from gateway.transcript_text import write
from gateway.transports import Transport
from gateway.transports.serial_survey import unknown_drivers
from gateway.visits import Visits

WAIT_S = 300.0
"""A person fetches the meter, measures and waits for its display to settle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """One conversation, word for word."""

    driver: Driver
    context: Context
    exchanges: Sequence[Exchange]
    error: ConversationError | None

    @property
    def says_something(self) -> bool:
        """Whether the meter said anything: one that is asked may not be there at all."""
        return any(isinstance(answer, Arrived) for _, answer in self.exchanges)


def recording(driver: Driver, done: Callable[[Captured], None]) -> Driver:
    """`driver`, but every conversation it has had is handed to `done`, however it ended."""

    def talk(context: Context) -> Talk:
        exchanges: list[Exchange] = []
        error: ConversationError | None = Lost("cut short")
        talking = driver.talk(context)
        try:
            action = next(talking)
            while True:
                try:
                    answer = yield action
                except ConversationError as refused:
                    if isinstance(refused, Lost):
                        error = refused
                    exchanges.append((action, refused))  # type: ignore[arg-type] # only these two are thrown in
                    action = talking.throw(refused)
                else:
                    exchanges.append((action, answer))
                    action = talking.send(answer)
        except StopIteration:
            error = None
        except ConversationError as ended:
            error = ended
            raise
        finally:
            done(Captured(driver=driver, context=context, exchanges=exchanges, error=error))

    return replace(driver, talk=talk)


@dataclass(slots=True, kw_only=True)
class Writer:
    """Writes captures into `directory`; `told` gets a line for a person about each."""

    directory: Path
    scrubber: Scrubber | None
    told: Callable[[str], None]
    enough: int
    written: list[Path] = field(default_factory=list)
    refused: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, captured: Captured) -> None:
        """Writes one conversation, if the meter said anything."""
        if not captured.says_something or self.done.is_set():
            return
        at = captured.context.now
        path = self.directory / f"{captured.driver.name}-{at:%Y%m%d-%H%M%S}.txt"
        try:
            text = self._text(captured)
        except NotScrubbable as error:
            self.refused += 1
            self.told(f"{captured.driver.name}: not written: {error}")
        else:
            path.touch(mode=0o600)  # it holds what somebody's blood was
            path.write_text(text, encoding="utf-8")
            self.written.append(path)
            self.told(f"{path}: {len(captured.exchanges)} exchanges, ended {_ended(captured.error)}")
        if len(self.written) + self.refused >= self.enough:
            self.done.set()

    def _text(self, it: Captured) -> str:
        if self.scrubber is None:
            return write(it.driver.name, it.context, it.exchanges, it.error)
        return self.scrubber.scrub(it.driver, it.context, it.exchanges, it.error)


def _ended(error: ConversationError | None) -> str:
    return "well" if error is None else type(error).__name__.lower()


async def capture(
    config: Config,
    writer: Writer,
    *,
    only: str = "",
    wait_s: float = WAIT_S,
    lines: Callable[..., list[Transport]] = lines_of,
) -> None:
    """Docks until `writer` has enough or `wait_s` are over. `only`: a driver's name. Raises CannotStart."""
    try:
        drivers = known_drivers()
    except NotADriver as error:
        raise CannotStart(str(error)) from None
    if wrong := unknown_drivers(config.serial, drivers):
        raise CannotStart("; ".join(wrong))
    if only and only not in {driver.name for driver in drivers}:
        raise CannotStart(f"no driver {only!r}; there are: {', '.join(driver.name for driver in drivers)}")

    def known(sighting: Sighting) -> Driver | None:
        driver = recognise(sighting, drivers)
        if driver is None or only not in ("", driver.name):
            return None
        return recording(driver, writer.take)

    clock_trusted = health.clock_synchronised() if config.clock_trusted is None else config.clock_trusted
    visits = Visits({slot.name: slot.meters for slot in config.slots})
    async with opened(config) as outbox:
        docking = Docking(
            outbox,
            Board(visits, clock=_now),
            visits,
            clock=_now,
            clock_trusted=lambda: clock_trusted,
            local_utc_offset_min=config.local_utc_offset_min,
            gateway=config.gateway,
            recognise=known,
        )
        made = lines(config, drivers, partial(recognise, drivers=drivers))
        watching = [asyncio.create_task(docking.watch(line)) for line in made]
        try:
            async with asyncio.timeout(wait_s):
                await writer.done.wait()
        except TimeoutError:
            writer.told("no meter called in time" if not writer.written else "time is over")
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)


def _now() -> datetime:
    return datetime.now(UTC)
