"""Members from the chain's own membership system: a CSV file, added or changed by the code on their card.

The first line names the columns: code, name and store, and any of sex (male, female, other, unknown), birth_date
(1958-05-02), phone, conditions and medications (codes of the clinical rules, several with a space between).
A column that is not there is left as it is; an empty field says that nothing is known. Nobody is deleted. All
lines are put, or none.
"""

import argparse
import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from cloud import config, db
from cloud.crm.members.tables import members
from cloud.crm.stores import service as stores_service
from gateway.clinical import words
from gateway.wire.codec import CARD_CODE, TAIL
from gateway.wire.messages import CANDIDATE, TAIL_ONLY

PHONE = re.compile(r"\+?[0-9]{5,15}")
NAMES_MAX = 100
SHOWN_MISTAKES = 20
"""Whoever has more mistakes than that has made one of them often."""
PER_STATEMENT = 1_000
NEEDED = ("code", "name", "store")
COLUMNS = {"store": "store_id"}
"""Where a column of the list is called otherwise in the table."""


class Wrong(ValueError):
    """The list cannot be used, one line for each reason, none of which repeats a name or a number of a member."""


def read(text: str, stores: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows of `text` as columns of `members`; `stores` are the chain's, by id. Raises Wrong."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        named = list(reader.fieldnames or ())
    except csv.Error as error:
        raise Wrong(f"line 1: {error}") from None
    parsers = _parsers(stores)
    wrong = [f"there is no column {name!r}" for name in NEEDED if name not in named]
    wrong += [f"nobody knows what the column {name!r} is" for name in named if name not in parsers]
    wrong += [f"the column {name!r} is there twice" for name in parsers if named.count(name) > 1]
    if wrong:
        raise Wrong("\n".join(wrong))
    rows: list[dict[str, Any]] = []
    try:
        for given in reader:
            row = {}
            if given.pop(None, None):
                wrong.append(f"line {reader.line_num} has more fields than there are columns")
            if None in given.values():  # cut short: that nothing is known of the rest is not said here
                wrong.append(f"line {reader.line_num} has fewer fields than there are columns")
            for name, value in given.items():
                try:
                    row[COLUMNS.get(name, name)] = parsers[name]((value or "").strip())
                except ValueError as error:
                    wrong.append(f"line {reader.line_num}, {name}: {error}")
            rows.append(row)
    except csv.Error as error:
        raise Wrong(f"line {reader.line_num}: {error}") from None
    twice = sum(count > 1 for count in Counter(row["code"] for row in rows if "code" in row).values())
    wrong += [f"{twice} codes are there more than once"] if twice else []
    if wrong:
        more = len(wrong) - SHOWN_MISTAKES
        raise Wrong("\n".join(wrong[:SHOWN_MISTAKES] + ([f"and {more} more"] if more > 0 else [])))
    return rows


def put(connection: Connection, chain_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds these members, or changes what the rows name of them."""
    for start in range(0, len(rows), PER_STATEMENT):
        part = [{"chain_id": chain_id, "id": uuid4(), **row} for row in rows[start : start + PER_STATEMENT]]
        statement = insert(members).values(part)
        changed = {name: statement.excluded[name] for name in rows[0] if name != "code"}
        connection.execute(statement.on_conflict_do_update(index_elements=["chain_id", "code"], set_=changed))


def _parsers(stores: Mapping[str, str]) -> dict[str, Callable[[str], Any]]:
    return {
        "code": _code,
        "name": _name,
        "store": _one_of(stores, "is no store of this chain"),
        "sex": _one_of(
            {"": "unknown", **{sex: sex for sex in ("male", "female", "other", "unknown")}}, "is no sex"
        ),
        "birth_date": _birth_date,
        "phone": _phone,
        "conditions": _codes(words().conditions),
        "medications": _codes(words().medications),
    }


def _code(given: str) -> str:
    if not CARD_CODE.fullmatch(given):
        raise ValueError("is not 3 to 32 capital letters, digits or hyphens")
    for beginning in (TAIL_ONLY, CANDIDATE):
        if given.startswith(beginning):
            raise ValueError(f"begins with {beginning}, as no card may: the docks make such codes themselves")
    if TAIL.fullmatch(given):
        raise ValueError("is four digits, which a dock takes for the end of a phone number")
    return given


def _name(given: str) -> str:
    if not 0 < len(given) <= NAMES_MAX or not given.isprintable():
        raise ValueError(f"is not 1 to {NAMES_MAX} printable characters")
    return given


def _phone(given: str) -> str | None:
    digits = re.sub(r"[ -]", "", given)
    if digits and not PHONE.fullmatch(digits):
        raise ValueError("is no phone number")
    return digits or None


def _birth_date(given: str) -> date | None:
    try:
        return date.fromisoformat(given) if given else None
    except ValueError:
        raise ValueError("is no date such as 1958-05-02") from None


def _one_of(known: Mapping[str, str], otherwise: str) -> Callable[[str], str]:
    def parse(given: str) -> str:
        if given not in known:
            raise ValueError(otherwise)
        return known[given]

    return parse


def _codes(known: Mapping[str, Any]) -> Callable[[str], list[str]]:
    def parse(given: str) -> list[str]:
        if set(given.split()) - set(known):
            raise ValueError(f"is none of {', '.join(known)}")
        return sorted(set(given.split()))

    return parse


# --- the command line ----------------------------------------------------------------------------------------


def commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `members put`."""
    actions = subparsers.add_parser(
        "members",
        help="the people with a card, from a list",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).add_subparsers(required=True, metavar="ACTION")
    putting = actions.add_parser("put", help="adds and changes the members of a CSV file; deletes nobody")
    putting.add_argument("file", type=Path)
    putting.add_argument("--chain", required=True, help="the chain's id")
    putting.set_defaults(run=_put)


def _put(arguments: argparse.Namespace) -> int:
    engine = db.engine(config.load().database_url, pool_size=1)
    chain_id, file = arguments.chain, arguments.file
    try:
        with db.begin(engine) as connection:
            stores = {u.id: u.id for u in stores_service.units(connection, chain_id).values() if u.kind == "store"}
            rows = read(file.read_text("utf-8-sig"), stores)
            before = _count(connection, chain_id)
            put(connection, chain_id, rows)
            added = _count(connection, chain_id) - before
    except UnicodeDecodeError:
        print(f"{file}: nothing was changed: it is not UTF-8. Save it as “CSV UTF-8”.", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{file}: cannot be read ({type(error).__name__})", file=sys.stderr)
        return 1
    except Wrong as wrong:
        print(f"{file}: nothing was changed:\n{wrong}", file=sys.stderr)
        return 1
    print(f"{added} new, {len(rows) - added} there already")
    return 0


def _count(connection: Connection, chain_id: str) -> int:
    count: int = connection.execute(
        select(func.count()).select_from(members).where(members.c.chain_id == chain_id)
    ).scalar_one()
    return count
