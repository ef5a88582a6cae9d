"""What staff say at the dock, through the whole gateway: kept before the screen says so, and sent to the cloud."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import aiomqtt

from cloud.demo.servers import Broker, free_port
from gateway.buffer.opening import LIVE
from gateway.buffer.schema import FILE_NAME, unseal
from gateway.wire import codec, topics
from gateway.wire.messages import Answer, Asked, Outcome, Receipt
from tests.gateway.test_app import VIRTUAL, WAIT_S, ask, post, running, settings, until

SLOWLY = VIRTUAL.replace("pace_s = 0.2", "pace_s = 2.0")


def say_something(port: int) -> str:
    """Answers "none of these" about whatever was measured last, until that was still on the counter."""

    def said() -> Any:
        last = (ask(port, "/state") or {}).get("last")
        return last and post(port, "/answers", reading=last["id"], what="symptoms", value="") == 200 and last["id"]

    return str(until(said, "an answer that was taken"))


def kept(directory: Path) -> list[Answer]:
    with contextlib.closing(sqlite3.connect(directory / "data" / LIVE / FILE_NAME)) as connection:
        rows = connection.execute("SELECT body FROM reading WHERE is_answer").fetchall()
    return [codec.decode_answer(unseal(body) or b"") for (body,) in rows]


def test_a_gateway_killed_after_it_said_kept_has_the_answer_and_sends_it(tmp_path: Path, broker: Broker) -> None:
    path, port = settings(tmp_path, free_port(), name="gw-said-1", more=SLOWLY)
    with running(path) as process:
        until(lambda: ask(port, "/healthz"), "an answer of /healthz")
        about = say_something(port)
        process.kill()
        process.wait()
    (answer,) = kept(tmp_path)
    assert (str(answer.reading), answer.what, answer.values) == (about, Asked.SYMPTOMS, ())

    path, port = settings(tmp_path, broker.port, name="gw-said-1")
    with running(path):
        received = asyncio.run(first_answer(broker.port, "gw-said-1"))
    assert received == answer


async def first_answer(port: int, gateway: str) -> Answer:
    """The first answer that arrives, after the reading it is about."""
    before: set[Any] = set()
    async with (
        asyncio.timeout(WAIT_S),
        aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client,
    ):
        await client.subscribe(f"{topics.ROOT}/{gateway}/batch/+", qos=1)
        async for message in client.messages:
            envelope, readings = codec.decode_batch(bytes(message.payload))
            before |= {reading.id for reading in readings}
            receipt = Receipt(batch=envelope.id, outcome=Outcome.ACCEPTED)
            await client.publish(topics.receipt(gateway, envelope.id), codec.encode(receipt), qos=1)
            for answer in codec.decode_answers(envelope):
                assert answer.reading in before
                return answer
    raise AssertionError("the broker hung up")


def test_what_was_said_is_in_no_log(tmp_path: Path) -> None:
    path, port = settings(tmp_path, free_port(), name="gw-said-2", more=SLOWLY)
    with running(path):
        until(lambda: ask(port, "/healthz"), "an answer of /healthz")

        def said() -> Any:
            last = (ask(port, "/state") or {}).get("last")
            return last and post(port, "/answers", reading=last["id"], what="symptoms", value="chest_pain") == 200

        until(said, "an answer that was taken")
    log = (tmp_path / "gateway.log").read_text()
    assert "answer.kept" in log
    assert "chest_pain" not in log
