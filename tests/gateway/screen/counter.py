"""A counter with a dock screen and no meters: tests say what happens and look at what is shown."""

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import uvicorn
from starlette.testclient import TestClient

from cloud.demo.servers import free_port
from gateway.board import Board
from gateway.buffer.limits import OutboxFull
from gateway.clinical import library
from gateway.config import Slot
from gateway.health import Health
from gateway.judging import rules_here
from gateway.lookup import Away
from gateway.meters import Meters
from gateway.screen.app import Dock, create_app
from gateway.visits import Visits
from gateway.wire.messages import Answer, Candidate, Found, Reading, Status, Visit
from tests.gateway.readings import NOON

SLOTS = (
    Slot(name="counter-1", label="1号检测台", meters=("AA:01",)),
    Slot(name="counter-2", label="2号检测台", meters=("AA:02",)),
)
RULES = rules_here(library(), production=False)


class Counter:
    """A board, its visits and its screen; `now` moves when told."""

    def __init__(self, slots: tuple[Slot, ...] = SLOTS, language: str = "zh_CN") -> None:
        self.now = NOON
        self.unsent = 0
        self.disk_free_mb = 1000
        self.disk_full = False
        numbers = count(1)
        self.found: tuple[Found, tuple[Candidate, ...]] | None = None
        self.answers: list[Answer] = []
        self.meters = Meters()
        self.visits = Visits({slot.name: slot.meters for slot in slots})
        self.board = Board(self.visits, clock=lambda: self.now, unsent=lambda: self.unsent, rules=RULES)
        self.app = create_app(
            Dock(
                board=self.board,
                visits=self.visits,
                slots=slots,
                health=self.health,
                clock=lambda: self.now,
                new_id=lambda: UUID(int=next(numbers)),
                counter=self.board.counter,
                answer=self.answer,
                find=self.find,
                meters=self.meters,
                language=language,
            )
        )

    async def answer(self, answer: Answer) -> None:
        """On the disk, so to speak."""
        if self.disk_full:
            raise OutboxFull("no room")
        self.answers.append(answer)
        self.board.answered(answer)

    async def find(self, tail: str, *, slot: str, staff: str = "") -> tuple[Found, tuple[Candidate, ...]]:
        """The cloud, or its absence."""
        if self.found is None:
            raise Away
        return self.found

    def measured(self, reading: Reading) -> Reading:
        """A meter was read: as docking does it."""
        self.board.saved(reading)
        return reading

    def visit(self, slot: str = "counter-1") -> Visit | None:
        return self.visits.at(slot, self.now)

    def health(self) -> Health:
        status = Status(
            gateway="gw-1", online=True, software="0", unsent=self.unsent, disk_free_mb=self.disk_free_mb
        )
        return Health(status=status, link=self.board.link_state, keep_free_mb=256)

    def later(self, **passed: float) -> datetime:
        self.now += timedelta(**passed)
        self.board.expire()
        return self.now

    def client(self, **options: Any) -> TestClient:
        return TestClient(self.app, base_url="http://127.0.0.1:8101", **options)


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listens.set()


class Served:
    """The counter's screen on a real port, in a loop of its own."""

    def __init__(self, counter: Counter, port: int | None = None) -> None:
        self.counter = counter
        self.port = port or free_port()
        self._server = _Server(
            uvicorn.Config(
                counter.app, port=self.port, log_config=None, lifespan="off", timeout_graceful_shutdown=1
            )
        )
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def do(self, what: Callable[[], Any]) -> Any:
        """`what`, on the screen's own loop, as docking does it."""

        async def on_loop() -> Any:
            return what()

        return asyncio.run_coroutine_threadsafe(on_loop(), self._loop).result(timeout=10)

    def __enter__(self) -> "Served":
        self._thread.start()
        assert self._server.listens.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self.counter.board.close)
        self._server.should_exit = True
        self._thread.join(10)
