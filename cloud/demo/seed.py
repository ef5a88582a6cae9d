"""Fills an empty, migrated database with the demo's chain and the year it has behind it.

    python -m cloud.demo.seed --url postgresql://...

Who these people are is `people`'s, what their meters said is `history`'s; the tasks are raised by the real rules
(`past_work`). Everything goes in by COPY in one transaction, so a seed that was interrupted leaves nothing.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

import argon2
import psycopg

from cloud import db
from cloud.demo import past_work
from cloud.demo.history import Past, controls_of, year_of
from cloud.demo.people import PASSWORD, STAFF, STORES, UNITS, Member, members_of
from gateway.wire.codec import encode

SEED = 815
"""The same chance everywhere: two people talking about the demo see the same members."""
OWN_METER_EVERY = 37
"""One member in so many has a meter registered as their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that is put into the database."""

    members: tuple[Member, ...]
    past: tuple[Past, ...]  # oldest first


def imagine(now: datetime) -> World:
    """The demo's world as it is at `now`: the same people every day, their year ending now."""
    chance = Random(SEED)  # noqa: S311 - it must be repeatable, not secret
    members = [member for store in STORES for member in members_of(store, now.date(), chance)]
    past = [one for member in members for one in year_of(member, now, chance)]
    past += [one for store in STORES for one in controls_of(store, now, chance)]
    past.sort(key=lambda one: one.reading.time.at)
    return World(members=tuple(members), past=tuple(past))


def seeded(url: str) -> bool:
    """Whether the database holds a chain already."""
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT 1 FROM org_units LIMIT 1").fetchone() is not None


def seed(url: str, now: datetime) -> dict[str, int]:
    """Puts the world into the empty, migrated database behind `url`; returns how many rows of what."""
    world = imagine(now)
    with psycopg.connect(url) as connection:
        _organisation(connection)
        _members(connection, world.members)
        _ledger(connection, world.past)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")
    engine = db.engine(url)
    try:
        tasks = past_work.raise_and_work(engine, world.past, now, Random(SEED))  # noqa: S311 - as above
    finally:
        engine.dispose()
    return {"members": len(world.members), "readings": len(world.past), "tasks": tasks}


def _organisation(connection: psycopg.Connection) -> None:
    _copy(
        connection,
        "org_units (chain_id, id, kind, path, name)",
        ((unit.chain_id, unit.id, unit.kind, unit.path, unit.name) for unit in UNITS),
    )
    _copy(
        connection,
        "gateways (id, chain_id, store_id)",
        ((store.gateway, store.chain_id, store.id) for store in STORES),
    )
    # One hash for all: it is one password, and each hash takes a fifth of a second on purpose.
    password_hash = argon2.PasswordHasher().hash(PASSWORD)
    _copy(
        connection,
        "staff (chain_id, id, login, password_hash, name, role, org_unit_id)",
        ((one.chain_id, one.id, one.login, password_hash, one.name, one.role, one.unit) for one in STAFF),
    )


def _members(connection: psycopg.Connection, members: Sequence[Member]) -> None:
    _copy(
        connection,
        "members (chain_id, id, code, name, sex, birth_date, phone, store_id, specialist_id, conditions,"
        " medications, joined_at)",
        (
            (
                *(one.chain_id, one.id, one.code, one.name, one.sex, one.birth_date, one.phone, one.store.id),
                *(one.specialist_id, list(one.conditions), list(one.medications), one.joined_on),
            )
            for one in members
        ),
    )
    _copy(
        connection,
        "devices (chain_id, key, maker, model, serial, owner_member_id, store_id)",
        (
            (one.chain_id, f"KC-HOME-{one.code}", "Kangce", "KC-B1", f"KC-HOME-{one.code}", one.id, one.store.id)
            for one in members[::OWN_METER_EVERY]
        ),
    )


def _ledger(connection: psycopg.Connection, past: Sequence[Past]) -> None:
    _copy(
        connection,
        "readings (chain_id, id, store_id, gateway_id, device_key, kind, purpose, quality, meal, taken_at,"
        " time_quality, received_at, stored_at, member_id, first_how, first_why, visit_code, body)",
        map(_reading_row, past),
    )
    _copy(
        connection,
        "attributions (chain_id, reading_id, member_id, how, why, by_staff, at)",
        (_claim_row(one, one.claimed_at) for one in past if one.claimed_at is not None),
    )
    devices = {(one.store.chain_id, one.reading.device.key): one for one in past}  # the last one wins
    _copy(
        connection,
        "devices (chain_id, key, maker, model, serial, store_id, last_seen_at)",
        (
            (chain_id, key, device.maker, device.model, device.serial, one.store.id, one.reading.time.received)
            for (chain_id, key), one in devices.items()
            for device in (one.reading.device,)
        ),
    )


def _reading_row(one: Past) -> tuple[Any, ...]:
    reading = one.reading
    return (
        *(one.store.chain_id, reading.id, one.store.id, one.store.gateway, reading.device.key, reading.kind),
        *(reading.purpose, reading.quality, reading.meal, reading.time.at, reading.time.quality),
        *(reading.time.received, reading.time.received + timedelta(seconds=2)),
        *(one.member.id if one.member else None, *_first_decision(one)),
        *(reading.visit.code if reading.visit else None, encode(reading).decode()),
    )


def _first_decision(one: Past) -> tuple[str | None, str | None]:
    return ("visit", "inside_visit") if one.member is not None and one.claimed_at is None else (None, None)


def _claim_row(one: Past, at: datetime) -> tuple[Any, ...]:
    assert one.member is not None  # noqa: S101 - claimed for somebody
    at_store = next(person for person in STAFF if person.unit == one.store.id)
    return (one.store.chain_id, one.reading.id, one.member.id, "claim", "staff", at_store.id, at)


def _copy(connection: psycopg.Connection, target: str, rows: Iterable[tuple[Any, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY {target} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def main(argv: list[str] | None = None) -> int:
    """Migrates, seeds and says what is there now, as JSON; leaves a database that holds a chain alone."""
    parser = argparse.ArgumentParser(prog="python -m cloud.demo.seed", description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True, help="postgresql://... of the database to fill")
    arguments = parser.parse_args(argv)
    engine = db.engine(arguments.url)
    db.migrate(engine)
    engine.dispose()
    if seeded(arguments.url):
        print(json.dumps({"seeded": False, "why": "there is a chain in it already"}))
        return 0
    print(json.dumps({"seeded": True, **seed(arguments.url, db.now())}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
