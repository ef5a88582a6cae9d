"""Reading meters shares no queue, no thread and no look-up with the way to the cloud, however broken that is."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal

from gateway import uplink
from gateway.config import MqttSettings
from gateway.uplink import LinkState
from gateway.wire.messages import Status
from tests.gateway.test_docking import Dock, dock, watching
from tests.gateway.transports.rig import WITHIN_S, glucose_meter


@asynccontextmanager
async def sending(here: Dock, settings: MqttSettings, links: list[LinkState]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(
        uplink.run(
            here.outbox,
            settings,
            status=lambda: Status(gateway="gw-1", online=True),
            received=lambda ids: None,
            link=links.append,
        )
    )
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def read_three(bench_of, here: Dock) -> None:
    meter = glucose_meter()
    for value in ("5.4", "7.8", "11.1"):
        meter.measure(Decimal(value), meal=3)
    async with bench_of(meter) as bench, watching(here, bench):
        await here.board.until(lambda: len(here.board.readings) == 3)
    assert here.outbox.stats().unsent == 3


class SilentNameServer:
    """Look-ups hang until they are let go."""

    def __init__(self) -> None:
        self.asked, self.let_go = threading.Event(), threading.Event()

    def look_up(self, *_: object, **__: object) -> list[object]:
        self.asked.set()
        self.let_go.wait(WITHIN_S)
        raise socket.gaierror("no answer")


@contextmanager
def a_broker_that_never_answers() -> Iterator[tuple[int, threading.Event]]:
    """It takes the connection and what is said on it, and says nothing."""
    called = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            line, _ = server.accept()
            lines.append(line)
            called.set()

        lines: list[socket.socket] = []
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1], called
        finally:
            for line in lines:
                line.close()


def test_a_meter_is_read_while_the_brokers_name_is_looked_up(bench_of, tmp_path, monkeypatch):
    async def scenario():
        async with dock(tmp_path) as here, sending(here, MqttSettings(host="broker.example"), []):
            try:
                assert await asyncio.to_thread(names.asked.wait, WITHIN_S)
                await read_three(bench_of, here)
                assert not names.let_go.is_set()
            finally:
                names.let_go.set()

    names = SilentNameServer()
    monkeypatch.setattr(socket, "getaddrinfo", names.look_up)
    asyncio.run(scenario())


def test_a_meter_is_read_while_the_broker_has_accepted_and_never_answers(bench_of, tmp_path):
    async def scenario():
        links: list[LinkState] = []
        async with dock(tmp_path) as here, sending(here, MqttSettings(port=port), links):
            assert await asyncio.to_thread(called.wait, WITHIN_S)
            await read_three(bench_of, here)
            assert links == [LinkState.CONNECTING]

    with a_broker_that_never_answers() as (port, called):
        asyncio.run(scenario())


def test_a_meter_is_read_with_every_thread_of_the_event_loop_taken(bench_of, tmp_path):
    """Look-ups that hang take them one after the other. The uplink may stand in that queue, a meter may not."""
    let_go = threading.Event()

    async def scenario():
        meter = glucose_meter()
        meter.measure(Decimal("5.4"), meal=3)
        async with dock(tmp_path) as here, bench_of(meter) as bench:
            loop = asyncio.get_running_loop()
            taken = [loop.run_in_executor(None, let_go.wait, WITHIN_S) for _ in range(64)]
            try:
                async with watching(here, bench):
                    await here.board.until_ended(1)
                assert not any(one.done() for one in taken)
                assert [reading.driver for reading in here.board.readings] == ["ble.glucose"]
            finally:
                let_go.set()
                await asyncio.gather(*taken)

    asyncio.run(scenario())
