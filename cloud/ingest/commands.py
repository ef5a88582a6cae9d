"""The command line of the ingest: run it, rebuild the time series, and deal with what was set aside.

`python -m cloud` composes it with the other features' commands. A dead letter's payload is health data: it is
shown only when a person asks for that one letter.
"""

import argparse
import json
import sys

from sqlalchemy import Engine

from cloud import config, db
from cloud.ingest import process, project, worker
from cloud.ingest.intake import Delivery, accept
from cloud.ledger import dead_letters
from cloud.ledger.dead_letters import Kept
from cloud.series import SeriesRefused, SeriesUnavailable, Writer

PAGE = 500
"""Letters read at a time."""
MAX_ID = 2**63 - 1
"""What PostgreSQL can be asked for."""


def commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `ingest`, `series`, `dead-letters` and `work`."""
    ingest = subparsers.add_parser("ingest", help="takes readings from the broker and runs the ledger's readers")
    ingest.set_defaults(run=lambda _arguments: process.run(config.load()))

    series = subparsers.add_parser("series", help="the time series in InfluxDB").add_subparsers(required=True)
    rebuild = series.add_parser("rebuild", help="writes every reading of the ledger again")
    rebuild.set_defaults(run=_rebuild)

    letters = subparsers.add_parser("dead-letters", help="what could not be read").add_subparsers(required=True)
    listing = letters.add_parser("list", help="one line for each that waits, without its content")
    listing.add_argument("--json", action="store_true", help="one JSON object per line")
    listing.set_defaults(run=_list)
    show = letters.add_parser("show", help="one letter with its content (health data: mind who looks)")
    show.add_argument("id", type=_letter)
    show.set_defaults(run=_show)
    replay = letters.add_parser("replay", help="hands letters in again, after the cause was mended")
    which = replay.add_mutually_exclusive_group(required=True)
    which.add_argument("id", type=_letter, nargs="*", default=[])
    which.add_argument("--all", action="store_true", help="everything that waits")
    replay.set_defaults(run=_replay)
    close = letters.add_parser("close", help="nothing in them is to be had: they wait no more, and are kept")
    close.add_argument("id", type=_letter, nargs="+")
    close.set_defaults(run=_close)

    work = subparsers.add_parser("work", help="what the readers have to do").add_subparsers(required=True)
    release = work.add_parser("release", help="tries again what was given up on")
    release.set_defaults(run=_release)


def _letter(given: str) -> int:
    if not given.isdecimal() or int(given) > MAX_ID:
        raise argparse.ArgumentTypeError(f"{given!r} is no letter's number; `dead-letters list` begins with them")
    return int(given)


def _engine() -> Engine:
    return db.engine(config.load().database_url, pool_size=1)


def _rebuild(_arguments: argparse.Namespace) -> int:
    settings = config.load()
    if settings.influx is None:
        print("INFLUXDB_URL is not set, so there is nowhere to write. Nothing was changed.", file=sys.stderr)
        return 1
    with Writer(settings.influx) as writer:
        try:
            written = project.rebuild(
                db.engine(settings.database_url),
                writer,
                told=lambda so_far: print(f"{so_far} points", file=sys.stderr),
            )
        except SeriesUnavailable:
            print("InfluxDB does not answer. The ledger is safe; run this again later.", file=sys.stderr)
            return 1
        except SeriesRefused as error:
            print(f"InfluxDB refuses ({error}): check INFLUXDB_TOKEN, _ORG and _BUCKET.", file=sys.stderr)
            return 1
    print(f"{written} points written")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    for letter in _waiting(_engine()):
        fields = {
            "id": letter.id,
            "received_at": letter.received_at.isoformat(timespec="seconds"),
            "gateway": letter.gateway_id,
            "batch": str(letter.batch_id) if letter.batch_id else None,
            "error": letter.error,
            "detail": letter.detail,
            "bytes": len(letter.payload),
        }
        print(json.dumps(fields, ensure_ascii=False) if arguments.json else "  ".join(map(str, fields.values())))
    return 0


def _show(arguments: argparse.Namespace) -> int:
    with _engine().connect() as connection:
        letter = dead_letters.find(connection, arguments.id)
    if letter is None:
        print(f"There is no letter {arguments.id}.", file=sys.stderr)
        return 1
    for name in ("id", "topic", "error", "detail", "received_at", "replayed_at"):
        print(f"{name}: {getattr(letter, name)}")
    print(letter.payload.decode(errors="backslashreplace"))
    return 0


def _replay(arguments: argparse.Namespace) -> int:
    engine = _engine()
    letters = _waiting(engine) if arguments.all else _named(engine, arguments.id)
    if letters is None:
        return 1
    still_waiting = [letter.id for letter in letters if not replay_letter(engine, letter)]
    print(f"{len(letters) - len(still_waiting)} of {len(letters)} letters were taken")
    if still_waiting:
        print(f"still waiting: {', '.join(map(str, still_waiting))}", file=sys.stderr)
    return 1 if still_waiting else 0


def _close(arguments: argparse.Namespace) -> int:
    engine = _engine()
    letters = _named(engine, arguments.id)
    if letters is None:
        return 1
    with db.begin(engine) as connection:
        for letter in letters:
            dead_letters.mark_replayed(connection, letter.id, db.now())
    print(f"{len(letters)} wait no more; `dead-letters show` and `replay` still know them")
    return 0


def _named(engine: Engine, ids: list[int]) -> list[Kept] | None:
    with engine.connect() as connection:
        letters = [found for i in sorted(set(ids)) if (found := dead_letters.find(connection, i)) is not None]
    if len(letters) == len(set(ids)):
        return letters
    print("Some of these letters do not exist. Nothing was changed.", file=sys.stderr)
    return None


def replay_letter(engine: Engine, letter: Kept) -> bool:
    """Hands one letter in again; True when it was taken, or was split into letters that name less."""
    with db.begin(engine) as connection:
        # Marked first: `accept` takes the mark back if the same letter has to be set aside again.
        dead_letters.mark_replayed(connection, letter.id, db.now())
        accept(connection, [Delivery(topic=letter.topic, payload=letter.payload, retained=True)], db.now())
        kept = dead_letters.find(connection, letter.id)
    return kept is not None and kept.replayed_at is not None


def _waiting(engine: Engine) -> list[Kept]:
    found: list[Kept] = []
    with engine.connect() as connection:
        while page := dead_letters.waiting(connection, limit=PAGE, after_id=found[-1].id if found else 0):
            found += page
    return found


def _release(_arguments: argparse.Namespace) -> int:
    with db.begin(_engine()) as connection:
        print(f"{worker.release(connection)} released")
    return 0
