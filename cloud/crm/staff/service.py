"""Signing in and staying signed in: argon2id passwords, sessions kept as rows, guessing slowed down per account.

It decides who somebody is; what they may see is `cloud.crm.access`'s.
"""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from uuid import UUID, uuid4

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, and_, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from cloud.crm.access import Reader, Role
from cloud.crm.staff.tables import sessions, staff
from cloud.crm.stores.tables import org_units

IDLE = timedelta(hours=1)
"""A counter is shared: an hour without a click is somebody who walked away."""
ABSOLUTE = timedelta(hours=12)
"""The longest shift; after it everybody signs in again."""
SLIDE_STEP = timedelta(minutes=1)
"""Expiry moves in steps, so that reading a page is not a write each time."""
MAX_FAILED = 5
LOCKED_FOR = timedelta(minutes=15)
"""Five guesses, then a pause: 20 guesses an hour at most (OWASP ASVS 2.2.1 asks for fewer than 100)."""

_hasher = PasswordHasher()


class Refusal(StrEnum):
    """Why nobody was signed in."""

    WRONG = "wrong"  # the same for a wrong name and a wrong password
    LOCKED = "locked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Who is signed in, and the token their forms must carry."""

    reader: Reader
    csrf: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Employee:
    """Somebody who may sign in. They see the unit and everything below it."""

    login: str
    name: str
    role: Role
    org_unit_id: str
    active: bool


def sign_in(
    connection: Connection, login: str, password: str, *, old_token: str | None, now: datetime
) -> str | Refusal:
    """A new session's token, or why there is none; commit either way. The session behind `old_token` ends."""
    row = connection.execute(select(staff).where(staff.c.login == login).with_for_update()).one_or_none()
    if row is None or not row.active:
        _matches(_nobodys_hash(), password)  # takes as long as a real one, so a name cannot be told by the clock
        return Refusal.WRONG
    key = and_(staff.c.chain_id == row.chain_id, staff.c.id == row.id)
    if row.locked_until is not None and row.locked_until > now:
        return Refusal.LOCKED
    if not _matches(row.password_hash, password):
        failed = row.failed_logins + 1
        locked = now + LOCKED_FOR if failed >= MAX_FAILED else None
        connection.execute(
            update(staff).where(key).values(failed_logins=0 if locked else failed, locked_until=locked)
        )
        return Refusal.LOCKED if locked else Refusal.WRONG
    fresh = {"password_hash": hash_password(password)} if _hasher.check_needs_rehash(row.password_hash) else {}
    connection.execute(update(staff).where(key).values(failed_logins=0, locked_until=None, **fresh))
    if old_token:
        sign_out(connection, old_token)
    connection.execute(delete(sessions).where(sessions.c.expires_at <= now))
    token = secrets.token_urlsafe(32)
    connection.execute(
        insert(sessions).values(
            token_hash=_hashed(token),
            chain_id=row.chain_id,
            staff_id=row.id,
            csrf=secrets.token_urlsafe(24),
            created_at=now,
            expires_at=now + IDLE,
        )
    )
    return token


def session_of(connection: Connection, token: str, now: datetime, *, passive: bool = False) -> Session | None:
    """The live session behind `token`. A `passive` look (a page refreshing itself) does not prolong it."""
    row = connection.execute(
        select(
            sessions.c.csrf,
            sessions.c.created_at,
            sessions.c.expires_at,
            staff.c.chain_id,
            staff.c.id,
            staff.c.name,
            staff.c.role,
            staff.c.language,
            org_units.c.id.label("org_unit_id"),
            org_units.c.path,
        )
        .join(staff, and_(staff.c.chain_id == sessions.c.chain_id, staff.c.id == sessions.c.staff_id))
        .join(org_units, and_(org_units.c.chain_id == staff.c.chain_id, org_units.c.id == staff.c.org_unit_id))
        .where(
            sessions.c.token_hash == _hashed(token),
            sessions.c.expires_at > now,
            sessions.c.created_at > now - ABSOLUTE,
            staff.c.active,
            org_units.c.active,
        )
    ).one_or_none()
    if row is None:
        return None
    slid = min(now + IDLE, row.created_at + ABSOLUTE)
    if not passive and slid - row.expires_at > SLIDE_STEP:
        connection.execute(update(sessions).where(sessions.c.token_hash == _hashed(token)).values(expires_at=slid))
    reader = Reader(
        chain_id=row.chain_id,
        staff_id=row.id,
        name=row.name,
        role=Role(row.role),
        org_unit_id=row.org_unit_id,
        scope=row.path,
        language=row.language,
    )
    return Session(reader=reader, csrf=row.csrf)


def sign_out(connection: Connection, token: str) -> None:
    """Ends the session behind `token`; one that is not there is ended already."""
    connection.execute(delete(sessions).where(sessions.c.token_hash == _hashed(token)))


def choose_language(connection: Connection, reader: Reader, language: str) -> None:
    """Remembers the language somebody reads, for this and every other desk."""
    connection.execute(
        update(staff)
        .where(staff.c.chain_id == reader.chain_id, staff.c.id == reader.staff_id)
        .values(language=language)
    )


def names_of(connection: Connection, chain_id: str, staff_ids: set[UUID]) -> dict[UUID, str]:
    """Colleagues' names by id."""
    if not staff_ids:
        return {}
    rows = connection.execute(
        select(staff.c.id, staff.c.name).where(staff.c.chain_id == chain_id, staff.c.id.in_(staff_ids))
    )
    return {row.id: row.name for row in rows}


def employed(connection: Connection, logins: Collection[str]) -> dict[str, tuple[str, Employee]]:
    """Those of these sign-in names that exist: whose chain they are, and what is known of them."""
    columns = (staff.c.login, staff.c.name, staff.c.role, staff.c.org_unit_id, staff.c.active)
    rows = connection.execute(select(staff.c.chain_id, *columns).where(staff.c.login.in_(logins)))
    return {
        row.login: (
            row.chain_id,
            Employee(
                login=row.login, name=row.name, role=Role(row.role), org_unit_id=row.org_unit_id, active=row.active
            ),
        )
        for row in rows
    }


def employ(connection: Connection, chain_id: str, people: Collection[Employee]) -> None:
    """Adds these people, or changes all but the password; the caller knows that they are the chain's.

    Who is new cannot sign in before `set_password`.
    """
    if not people:
        return
    statement = insert(staff)
    changed = ("name", "role", "org_unit_id", "active")
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["login"], set_={name: statement.excluded[name] for name in changed}
        ),
        [
            {
                "chain_id": chain_id,
                "id": uuid4(),
                "login": one.login,
                "password_hash": _nobodys_hash(),
                "name": one.name,
                "role": one.role.value,
                "org_unit_id": one.org_unit_id,
                "active": one.active,
            }
            for one in people
        ],
    )


def set_password(connection: Connection, login: str, password: str) -> bool:
    """Gives somebody a new password, opens their account and ends their sessions; False when there is nobody."""
    row = connection.execute(
        update(staff)
        .where(staff.c.login == login)
        .values(password_hash=hash_password(password), failed_logins=0, locked_until=None)
        .returning(staff.c.chain_id, staff.c.id)
    ).one_or_none()
    if row is not None:
        connection.execute(
            delete(sessions).where(sessions.c.chain_id == row.chain_id, sessions.c.staff_id == row.id)
        )
    return row is not None


def hash_password(password: str) -> str:
    """argon2id, for a staff row."""
    return _hasher.hash(password)


def _matches(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


@cache
def _nobodys_hash() -> str:
    return hash_password(secrets.token_urlsafe(16))


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
