"""What each command does once its arguments are read: the front desk between the command line and the parts."""

import argparse
import asyncio
import json
import logging
import os
import sqlite3
import sys
from contextlib import closing
from typing import NoReturn
from uuid import UUID

from gateway.config import Config, ConfigError, load

FAILED = 1
BAD_CONFIG = 2
LISTED = 100
"""Conversations listed: a busy day's; older ones are replayed by their id."""


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    match arguments.command:
        case "doctor":
            from gateway import doctor

            return doctor.main(arguments.config, as_json=arguments.json)
        case "drivers":
            return _drivers(arguments.what, arguments.name)
        case "simulate":
            from gateway.simulate import main as simulate

            return simulate(arguments.transcript)
    try:
        config = load(arguments.config)
    except ConfigError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return BAD_CONFIG
    match arguments.command:
        case "run":
            _run(config)
        case "capture":
            return _capture(config, arguments)
        case "journal":
            if arguments.conversation is None:
                return _list_journal(config)
            return _replay_journal(config, arguments.conversation)
        case _:
            return _outbox_status(config)


def _run(config: Config) -> NoReturn:
    from gateway import app, machine

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # One line per request would be most of the log, and aiomqtt and bleak print what they carry.
    for chatty in ("mqtt", "bleak", "uvicorn", "bumble"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    status = 0
    with asyncio.Runner() as runner:
        try:
            runner.run(app.run(config))
        except (machine.CannotStart, machine.OutboxFailed) as error:
            print(f"gateway: {error}", file=sys.stderr)
            status = FAILED
        # The outbox is closed. What may be left is a thread that calls a broker on a dead line: asyncio and Python
        # would both wait for it, 15 s or more, and systemd's patience is for better things.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(status)


def _capture(config: Config, arguments: argparse.Namespace) -> int:
    from gateway.capture import Writer, capture
    from gateway.machine import CannotStart, OutboxFailed
    from gateway.scrub import Scrubber

    if not arguments.out.is_dir():
        print(f"{arguments.out}: there is no such folder", file=sys.stderr)
        return BAD_CONFIG
    writer = Writer(
        directory=arguments.out,
        scrubber=Scrubber() if arguments.scrub else None,
        told=lambda line: print(line, flush=True),
        enough=max(1, arguments.count),
    )
    try:
        asyncio.run(capture(config, writer, only=arguments.driver, wait_s=arguments.wait))
    except (CannotStart, OutboxFailed) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        pass
    return 0 if writer.written and not writer.refused else FAILED


def _drivers(what: str, name: str | None) -> int:
    from gateway.drivers import NotADriver, known_drivers

    try:
        known = known_drivers()
    except NotADriver as error:
        print(f"gateway: {error}", file=sys.stderr)
        return FAILED
    if what == "list":
        for driver in known:
            print(f"{driver.name:<24}{driver.transport:<8}{driver.devices}")
        return 0
    wanted = next((driver for driver in known if driver.name == name), None)
    if wanted is None:
        print(f"no driver {name!r}; there are: {', '.join(one.name for one in known)}", file=sys.stderr)
        return BAD_CONFIG
    for label, words in (
        ("Name", wanted.name),
        ("Transport", wanted.transport),
        ("Devices", wanted.devices),
        ("Source", wanted.source),
        ("Quirks", wanted.quirks),
        ("Proof", wanted.proof.replace("_", " ")),
        ("Doubts", ", ".join(sorted(wanted.doubts)).replace("_", " ") or "none"),
        ("Proven by", wanted.proven_by),
        ("Frames", ", ".join(sorted(wanted.decoders)) or "none"),
    ):
        print(f"{label:<11}{words}")
    return 0


def _list_journal(config: Config) -> int:
    """Conversations in the journal, newest first; the gateway may be running."""
    from gateway.buffer.opening import LIVE
    from gateway.buffer.schema import FILE_NAME, connect_to_read, unseal
    from gateway.buffer.times import moment
    from gateway.docking import HEADER

    try:
        with closing(connect_to_read(config.data_directory / LIVE / FILE_NAME)) as connection:
            rows = connection.execute(
                "SELECT conversation, at_us, data FROM journal WHERE channel = ? ORDER BY seq DESC LIMIT ?",
                (HEADER, LISTED),
            ).fetchall()
    except sqlite3.Error as error:
        print(f"gateway: no journal in {config.data_directory}: {error}", file=sys.stderr)
        return FAILED
    for conversation, at_us, data in rows:
        facts = json.loads(unseal(data) or b"{}")
        print(f"{UUID(bytes=conversation)}  {moment(at_us):%Y-%m-%d %H:%M:%S}  {facts.get('driver', 'damaged')}")
    return 0


def _replay_journal(config: Config, conversation: UUID) -> int:
    """Needs the outbox to itself: the gateway must be stopped."""
    from gateway.conversation import ConversationError
    from gateway.drivers import NotADriver
    from gateway.machine import CannotStart, OutboxFailed
    from gateway.rejournal import NotReplayable

    try:
        new = asyncio.run(_replayed(config, conversation))
    except (NotReplayable, NotADriver, CannotStart, OutboxFailed) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return FAILED
    except ConversationError as error:
        print(f"gateway: the driver ended with {type(error).__name__}: {error}", file=sys.stderr)
        return FAILED
    print(f"{new} new readings")
    return 0


async def _replayed(config: Config, conversation: UUID) -> int:
    from gateway.drivers import known_drivers
    from gateway.machine import opened
    from gateway.rejournal import replay_journal

    async with opened(config) as outbox:
        return await replay_journal(outbox, conversation, drivers={one.name: one for one in known_drivers()})


def _outbox_status(config: Config) -> int:
    from gateway.doctor import Verdict, disk, outbox

    status = 0
    for check in (outbox, disk):
        line = asyncio.run(check(config))
        print(f"{line.verdict:<5}{line.check:<11}{line.found}" + (f" -> {line.todo}" if line.todo else ""))
        status |= line.verdict is Verdict.FAIL
    return status
