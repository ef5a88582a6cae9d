"""The whole gateway in one event loop: outbox, meters, uplink and screen, each restarted alone when it breaks.

It only puts parts together. What each does is its own module's; every part that has crashed is started again with
a growing pause while the others go on, but for the outbox: without it nothing may be read from a meter.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import uvicorn

from gateway import health, uplink
from gateway.board import Board
from gateway.buffer.outbox import HeldState, Outbox, OutboxFull
from gateway.clinical import library
from gateway.config import Config, VirtualSettings
from gateway.docking import Docking
from gateway.drivers import NotADriver, known_drivers, recognise
from gateway.judging import rules_here
from gateway.lines import lines_of
from gateway.logged import failing
from gateway.lookup import LookUps
from gateway.machine import CannotStart, OutboxFailed, listen, opened, stopped_by_signals, tell_systemd
from gateway.meters import Meters
from gateway.rejournal import finish_interrupted
from gateway.screen.app import Dock, create_app
from gateway.standing import Standing
from gateway.transports import Transport
from gateway.transports.serial_survey import unknown_drivers
from gateway.visits import BadCode, Visits, normalise_code
from gateway.wire.messages import Answer

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
"""A part that keeps crashing is tried once a minute: soon enough once its cause is gone, and no full log."""
STEADY_AFTER_S = 60.0
"""A part that ran this long starts its pauses from the beginning."""
HOLDS_AFTER_S = 5.0
"""A part that was started again counts as down until it has run this long."""
TICK_S = 1.0
"""The screen lets go of values to the second."""
HEARTBEAT_TICKS = 15
"""How often an unchanged screen is sent again, so that a browser notices a line that died without a word."""
HOUSEKEEPING_TICKS = 600
"""Retention is counted in days; every ten minutes is plenty."""
CLOCK_TICKS = 10
FINISHED_WITHIN_S = 10.0
"""Reading the journal takes milliseconds; what is longer than this must not keep customers waiting."""
FINISH_EVERY_S = 300.0
"""What a lost line left unread is read while the customer may still be in the shop."""
SCREEN_STOPS_WITHIN_S = 1
RESTORED = 50
"""Readings looked at after a restart: more than the screen can show, and one small query."""


async def run(config: Config, *, stop: asyncio.Event | None = None) -> None:
    """Runs until `stop`, SIGINT or SIGTERM; raises CannotStart or OutboxFailed."""
    stop = stop or asyncio.Event()
    listener = listen(config.screen.host, config.screen.port)
    try:
        with stopped_by_signals(stop):
            async with opened(config) as outbox:
                await Gateway(config, outbox, listener).run(stop)
    finally:
        listener.close()


class Gateway:
    """The parts around one open outbox. `parts` is what runs; `board` and `visits` are what they share."""

    def __init__(self, config: Config, outbox: Outbox, listener: socket.socket) -> None:
        self._config = config
        self.outbox = outbox
        self._listener = listener
        self._started = _now()
        self._clock_trusted = self._ask_clock()
        try:
            self._drivers = known_drivers()
        except NotADriver as error:
            raise CannotStart(f"{error}; uninstall that package or ask who made it") from None
        if wrong := unknown_drivers(config.serial, self._drivers):
            raise CannotStart("; ".join(wrong))
        self._recognise = partial(recognise, drivers=self._drivers)
        self.visits = Visits({slot.name: slot.meters for slot in config.slots})
        self._standing = Standing(outbox, self.visits)
        self.meters = Meters()
        self.look_ups = LookUps(config.gateway)
        self.board = Board(
            self.visits,
            clock=_now,
            unsent=lambda: outbox.stats().unsent,
            # Virtual customers mean a demonstration: there, as in the cloud's, unsigned rules may speak.
            rules=rules_here(library(config.rules.directory), production=config.virtual is None),
            profile=config.rules.averages_by,
        )
        self._docking = Docking(
            outbox,
            self.board,
            self.visits,
            gateway=config.gateway,
            meters=self.meters,
            recognise=self._recognise,
            clock=_now,
            clock_trusted=lambda: self._clock_trusted,
            local_utc_offset_min=config.local_utc_offset_min,
        )
        self._transports: list[Transport] = []
        self._finished = asyncio.Event()  # with what was cut off before the start

    async def run(self, stop: asyncio.Event) -> None:
        """Runs every part until `stop`; raises OutboxFailed."""
        await self._restore()
        parts = self.parts()
        failure: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._keep_running(*part)) for part in parts]
                tasks.append(group.create_task(self._keep_house()))
                tell_systemd("READY=1")
                log.info("gateway.started name=%s version=%s", self._config.gateway, health.software())
                await stop.wait()
                log.info("gateway.stopping")
                tell_systemd("STOPPING=1")
                self.board.close()
                for task in tasks:
                    task.cancel()
        except* OutboxFailed as failures:
            failure = failures.exceptions[0]
        await self._standing.forget()
        if failure is not None:
            raise failure

    def parts(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        """Everything that is kept running, by name."""
        parts: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("screen", self._serve_screen),
            ("uplink", self._send),
            ("interrupted", self._finish_interrupted),
        ]
        for line in lines_of(self._config, self._drivers, self._recognise):
            self._transports.append(line)
            parts.append((line.name, partial(self._watch, line)))
        if self._config.virtual is not None:
            parts += self._virtual_parts(self._config.virtual)
        return parts

    def _virtual_parts(self, virtual: VirtualSettings) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        try:
            from gateway.simulators.virtual_store import VirtualStore  # brings bumble: never on a real gateway

            store = VirtualStore(virtual.meters, virtual.cards, virtual.pace_s, virtual.seed)
        except ImportError as error:
            raise CannotStart(f"[virtual] needs `pip install kangdock[demo]` ({error})") from None
        except (ValueError, OSError) as error:
            raise CannotStart(f"[virtual] cannot be used: {error}") from None
        self._transports.append(store.transport)
        return [
            ("virtual", lambda: self._watch(store.transport)),
            ("customers", lambda: store.run(self._open_visit)),
        ]

    def _open_visit(self, typed: str) -> None:
        """A virtual customer's card at the first slot's scanner; "" is one without, after the visit before."""
        slot = self.visits.slots[0]
        try:
            self.visits.open(slot, normalise_code(typed), _now(), id=uuid4())
        except BadCode:
            self.visits.close(slot, _now())
        self.board.changed()

    async def _watch(self, transport: Transport) -> None:
        """A meter that tells its last result for ever is not asked before what was heard of it is known."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FINISHED_WITHIN_S):
                await self._finished.wait()
        await self._docking.watch(transport)

    async def _finish_interrupted(self) -> None:
        """What a crash or a loss cut off is read from the journal: at the start, and for what is cut off later."""
        drivers = {driver.name: driver for driver in self._drivers}
        while True:
            try:
                await finish_interrupted(
                    self.outbox, drivers=drivers, under_way=lambda: self._docking.under_way, saved=self.board.saved
                )
            finally:
                self._finished.set()
            await asyncio.sleep(FINISH_EVERY_S)

    async def _send(self) -> None:
        await uplink.run(
            self.outbox,
            self._config.mqtt,
            status=lambda: self._health().status,
            received=self.board.received,
            link=self.board.link,
            look_ups=self.look_ups,
        )

    async def _serve_screen(self) -> None:
        dock = Dock(
            board=self.board,
            visits=self.visits,
            slots=self._config.slots,
            health=self._health,
            clock=_now,
            new_id=uuid4,
            counter=self.board.counter,
            answer=self._answer,
            stands=lambda slot: self._standing.keep(slot, _now()),
            find=self.look_ups.find,
            meters=self.meters,
            language=self._config.language,
            local_utc_offset_min=self._config.local_utc_offset_min,
            host=self._config.screen.host,
        )
        server = _ScreenServer(
            uvicorn.Config(
                create_app(dock),
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=SCREEN_STOPS_WITHIN_S,
            )
        )
        listener = (
            self._listener.dup()
        )  # a restarted screen needs the port again, and uvicorn closes what it is given
        try:
            await server.serve(sockets=[listener])
        except asyncio.CancelledError:
            if server.started:
                await server.shutdown(sockets=[listener])
            raise

    async def _keep_house(self) -> None:
        """The screen's clock, the transports' states, the outbox's retention, systemd's watchdog."""
        tick = 0
        while True:
            self.board.expire()
            for transport in self._transports:
                if transport.state:
                    self.board.transport(transport.name, transport.state)
            if tick % CLOCK_TICKS == 0:
                self._clock_trusted = self._ask_clock()
            if tick % HEARTBEAT_TICKS == 0:
                self.board.changed()
                tell_systemd("WATCHDOG=1")
            if tick % HOUSEKEEPING_TICKS == 0:
                await self._housekeep()
            tick += 1
            await asyncio.sleep(TICK_S)

    async def _housekeep(self) -> None:
        try:
            await self.outbox.housekeep(_now(), clock_trusted=self._clock_trusted)
        except OutboxFull:
            log.warning("outbox.full")  # docking says so on the screen; nothing is dropped
        except Exception as error:
            log.critical("outbox.failed error=%s", type(error).__name__)
            raise OutboxFailed("the outbox cannot be written; run `python -m gateway doctor`") from error

    async def _keep_running(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        """Runs `part` for ever: when it ends or crashes, again after a pause."""
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        while True:
            began = loop.time()
            holds = loop.call_later(HOLDS_AFTER_S, self.board.part, name, True)
            try:
                await part()
                log.error("part.ended part=%s", name)
            except Exception as error:
                log.error("part.crashed part=%s %s", name, failing(error))
            finally:
                holds.cancel()
            self.board.part(name, up=False)
            if loop.time() - began > STEADY_AFTER_S:
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _restore(self) -> None:
        held = await self.outbox.recent(RESTORED)
        answers = await self.outbox.recent_answers(RESTORED)
        await self._standing.take_up((one.reading for one in held), _now())
        self.board.restored(
            ((one.reading, one.saved_at, one.state is not HeldState.SAVED) for one in reversed(held)),
            reversed(answers),
        )

    async def _answer(self, answer: Answer) -> None:
        """Keeps what somebody said; on the disk on return. Raises OutboxFull."""
        await self.outbox.put_answer(answer)
        self.board.answered(answer)

    def _health(self) -> health.Health:
        stats = self.outbox.stats()
        return health.Health(
            status=health.status(
                self._config.gateway,
                stats,
                self.board,
                started=self._started,
                now=_now(),
                clock_trusted=self._clock_trusted,
            ),
            link=self.board.link_state,
            parts_down=self.board.parts_down,
            damaged=stats.damaged,
            keep_free_mb=self._config.outbox.keep_free_mb,
        )

    def _ask_clock(self) -> bool:
        configured = self._config.clock_trusted
        return health.clock_synchronised() if configured is None else configured


class _ScreenServer(uvicorn.Server):
    """Leaves the signals to `run`."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _now() -> datetime:
    return datetime.now(UTC)
