"""What each command does once its arguments are read: the front desk between the command line and the parts."""

import argparse
import asyncio
import logging
import sys
from uuid import UUID

from gateway.config import Config, ConfigError, load

FAILED = 1
BAD_CONFIG = 2


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    match arguments.command:
        case "doctor":
            from gateway import doctor

            return doctor.main(arguments.config, as_json=arguments.json)
        case "drivers":
            return _drivers(arguments.what, arguments.name)
    try:
        config = load(arguments.config)
    except ConfigError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return BAD_CONFIG
    match arguments.command:
        case "run":
            return _run(config)
        case "journal":
            return _replay_journal(config, arguments.conversation)
        case _:
            return _outbox_status(config)


def _run(config: Config) -> int:
    from gateway import app

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # One line per request would be most of the log, and aiomqtt and bleak print what they carry.
    for chatty in ("mqtt", "bleak", "uvicorn", "bumble"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        asyncio.run(app.run(config))
    except (app.CannotStart, app.OutboxFailed) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return FAILED
    return 0


def _drivers(what: str, name: str | None) -> int:
    from gateway.drivers import DRIVERS

    if what == "list":
        for driver in DRIVERS:
            print(f"{driver.name:<24}{driver.transport:<8}{driver.devices}")
        return 0
    wanted = next((driver for driver in DRIVERS if driver.name == name), None)
    if wanted is None:
        print(f"no driver {name!r}; there are: {', '.join(one.name for one in DRIVERS)}", file=sys.stderr)
        return BAD_CONFIG
    for label, words in (
        ("Name", wanted.name),
        ("Transport", wanted.transport),
        ("Devices", wanted.devices),
        ("Source", wanted.source),
        ("Quirks", wanted.quirks),
        ("Proven by", wanted.proven_by),
        ("Frames", ", ".join(sorted(wanted.decoders)) or "none"),
    ):
        print(f"{label:<11}{words}")
    return 0


def _replay_journal(config: Config, conversation: UUID | None) -> int:
    """Needs the outbox to itself, so the gateway must be stopped; reading the journal alone does not."""
    from gateway.buffer import journal
    from gateway.rejournal import NotReplayable

    directory = config.data_directory
    if conversation is None:
        for one in dict.fromkeys(entry.conversation for entry in journal.read(directory)):
            print(one)
        return 0
    try:
        new = asyncio.run(_replayed(config, conversation))
    except NotReplayable as error:
        print(f"gateway: {error}", file=sys.stderr)
        return FAILED
    print(f"{new} new readings")
    return 0


async def _replayed(config: Config, conversation: UUID) -> int:
    from gateway.app import opened
    from gateway.drivers import DRIVERS
    from gateway.rejournal import replay_journal

    async with opened(config) as outbox:
        return await replay_journal(outbox, conversation, drivers={one.name: one for one in DRIVERS})


def _outbox_status(config: Config) -> int:
    from gateway.doctor import Verdict, disk, outbox

    status = 0
    for check in (outbox, disk):
        line = asyncio.run(check(config))
        print(f"{line.verdict:<5}{line.check:<11}{line.found}" + (f" -> {line.todo}" if line.todo else ""))
        status |= line.verdict is Verdict.FAIL
    return status
