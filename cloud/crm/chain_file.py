"""A chain as one file: its areas, stores, gateways and staff, put into the database as they are written there.

    [chain]
    id = "kang"
    name = "康道大药房"

    [[area]]
    id = "north"
    name = "城北片区"

    [[store]]
    id = "n01"
    name = "康道大药房梧桐街店"
    area = "north"
    gateways = ["gw-kang-n01"]

    [[staff]]
    login = "chen"
    name = "陈静"
    role = "specialist"
    unit = "n01"

What is written is added or changed; what is not in the file is left alone, because readings and tasks refer to it.
Who leaves stays in the file with `active = false`. Passwords are not in it: see `python -m cloud staff password`.
"""

import argparse
import getpass
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import Connection

from cloud import config, db
from cloud.crm.access import Role
from cloud.crm.fleet import registry
from cloud.crm.staff import service as staff_service
from cloud.crm.staff.service import Employee
from cloud.crm.stores import service as stores_service
from cloud.crm.stores.service import Unit
from gateway.wire.topics import GATEWAY_NAME

Id = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$")]
Login = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{1,63}$")]
GatewayName = Annotated[str, Meta(pattern=f"^{GATEWAY_NAME.pattern}$")]
MIN_PASSWORD = 10
"""Guessing is slowed down to twenty an hour; ten characters leave that no chance, and fit a counter."""


class Wrong(ValueError):
    """The file cannot be used, one line for each reason; nothing was changed."""


class _Chain(Struct, forbid_unknown_fields=True):
    id: Id
    name: Name


class _Area(Struct, forbid_unknown_fields=True):
    id: Id
    name: Name


class _Store(Struct, forbid_unknown_fields=True):
    id: Id
    name: Name
    area: str = ""
    gateways: list[GatewayName] = []


class _Employee(Struct, forbid_unknown_fields=True):
    login: Login
    name: Name
    role: Role
    unit: str
    active: bool = True


class ChainFile(Struct, forbid_unknown_fields=True):
    """What is written in the file."""

    chain: _Chain
    area: list[_Area] = []
    store: list[_Store] = []
    staff: list[_Employee] = []


def read(text: str) -> ChainFile:
    """The file in `text`; raises Wrong."""
    try:
        written = msgspec.convert(tomllib.loads(text), ChainFile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise Wrong(str(error)) from None
    if wrong := list(_contradictions(written)):
        raise Wrong("\n".join(wrong))
    return written


def apply(connection: Connection, written: ChainFile) -> list[str]:
    """Makes the database hold what is written; returns one line for each change. Raises Wrong."""
    chain_id = written.chain.id
    units, people = _units(written), _people(written)
    places = {gateway: store.id for store in written.store for gateway in store.gateways}
    units_before = stores_service.units(connection, chain_id)
    places_before = registry.places(connection, places)
    people_before = staff_service.employed(connection, people)
    taken = [
        *(f"{id_} is a {units_before[id_].kind} already" for id_, unit in units.items()
          if id_ in units_before and units_before[id_].kind != unit.kind),
        *(f"gateway {name} belongs to another chain" for name, place in places_before.items()
          if place.chain_id != chain_id),
        *(f"the sign-in name {login} belongs to another chain" for login, (theirs, _) in people_before.items()
          if theirs != chain_id),
    ]  # fmt: skip
    if taken:
        raise Wrong("\n".join(taken))
    changes = [
        *_differences("unit", units_before, units),
        *_differences("gateway", {name: place.store_id for name, place in places_before.items()}, places),
        *_differences("staff", {login: person for login, (_, person) in people_before.items()}, people),
    ]
    stores_service.put_units(connection, chain_id, units.values())
    registry.register(connection, chain_id, places)
    staff_service.employ(connection, chain_id, people.values())
    return changes


def _contradictions(written: ChainFile) -> Iterator[str]:
    ids = [written.chain.id, *(area.id for area in written.area), *(store.id for store in written.store)]
    for what, names in (
        ("id", ids),
        ("gateway", [gateway for store in written.store for gateway in store.gateways]),
        ("sign-in name", [person.login for person in written.staff]),
    ):
        yield from (
            f"{what} {name!r} is there {count} times" for name, count in Counter(names).items() if count > 1
        )
    areas = {area.id for area in written.area}
    for store in written.store:
        if store.area and store.area not in areas:
            yield f"store {store.id!r}: there is no area {store.area!r}"
    for person in written.staff:
        if person.unit not in ids:
            yield f"staff {person.login!r}: there is no unit {person.unit!r}"


def _units(written: ChainFile) -> dict[str, Unit]:
    chain = Unit(id=written.chain.id, kind="chain", path=f"/{written.chain.id}/", name=written.chain.name)
    areas = {
        one.id: Unit(id=one.id, kind="area", path=f"{chain.path}{one.id}/", name=one.name) for one in written.area
    }
    stores = [
        Unit(
            id=store.id,
            kind="store",
            path=f"{areas[store.area].path if store.area else chain.path}{store.id}/",
            name=store.name,
        )
        for store in written.store
    ]
    return {unit.id: unit for unit in (chain, *areas.values(), *stores)}


def _people(written: ChainFile) -> dict[str, Employee]:
    return {
        one.login: Employee(login=one.login, name=one.name, role=one.role, org_unit_id=one.unit, active=one.active)
        for one in written.staff
    }


def _differences(what: str, before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[str]:
    for name, value in after.items():
        if name not in before:
            yield f"{what} {name}: new"
        elif before[name] != value:
            yield f"{what} {name}: changed"


# --- the command line ----------------------------------------------------------------------------------------


def commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `chain apply` and `staff password`."""
    chain = subparsers.add_parser(
        "chain",
        help="areas, stores, gateways and staff, from a file",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).add_subparsers(required=True, metavar="ACTION")
    applying = chain.add_parser("apply", help="adds and changes what the file says; deletes nothing")
    applying.add_argument("file", type=Path)
    applying.add_argument("--check", action="store_true", help="says what would change, and changes nothing")
    applying.set_defaults(run=_apply)

    staff = subparsers.add_parser("staff", help="sign-in names").add_subparsers(required=True, metavar="ACTION")
    password = staff.add_parser(
        "password", help="asks for a new password; whoever is signed in under it is signed out"
    )
    password.add_argument("login")
    password.set_defaults(run=_password)


def _apply(arguments: argparse.Namespace) -> int:
    engine = db.engine(config.load().database_url, pool_size=1)
    try:
        written = read(arguments.file.read_text("utf-8"))
        with engine.connect() as connection:
            changes = apply(connection, written)
            connection.rollback() if arguments.check else connection.commit()
    except (OSError, UnicodeDecodeError) as error:
        print(f"{arguments.file}: cannot be read ({type(error).__name__})", file=sys.stderr)
        return 1
    except Wrong as wrong:
        print(f"{arguments.file}: nothing was changed:\n{wrong}", file=sys.stderr)
        return 1
    print("\n".join(changes) or "nothing to change")
    return 0


def _password(arguments: argparse.Namespace) -> int:
    engine = db.engine(config.load().database_url, pool_size=1)
    password = _asked_for()
    if password is None:
        print("The two are not the same. Nothing was changed.", file=sys.stderr)
        return 1
    if len(password) < MIN_PASSWORD:
        print(f"A password has {MIN_PASSWORD} characters or more. Nothing was changed.", file=sys.stderr)
        return 1
    with db.begin(engine) as connection:
        known = staff_service.set_password(connection, arguments.login, password)
    if not known:
        print(f"Nobody signs in as {arguments.login!r}. Nothing was changed.", file=sys.stderr)
        return 1
    print("changed; whoever was signed in is signed out")
    return 0


def _asked_for() -> str | None:
    """The new password; None where whoever types it typed it twice differently."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first = getpass.getpass("New password: ")
    return first if getpass.getpass("Once more: ") == first else None
