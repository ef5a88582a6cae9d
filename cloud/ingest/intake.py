"""Many messages, one transaction: what they say goes into the ledger, and what nobody can read is set aside.

It decides nothing about people (`attribution` does) and moves no bytes (`consumer` does). Whatever arrives, after
the commit it is in the ledger, or was there already, or is a dead letter with its reason. So every batch gets a
receipt, and none can block a gateway's queue.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Column, Connection, Text, any_, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from cloud import live
from cloud.crm.devices.tables import devices
from cloud.crm.fleet.tables import gateways
from cloud.crm.members.tables import members
from cloud.ingest.attribution import Evidence, attribute
from cloud.ledger import dead_letters, store
from cloud.ledger.dead_letters import Letter
from cloud.ledger.store import NewReading
from cloud.ledger.words import Reader
from gateway.wire import codec, topics
from gateway.wire.codec import Undecodable
from gateway.wire.messages import Outcome, Reading, Receipt, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message as the broker handed it over; a `retained` one may be old."""

    topic: str
    payload: bytes
    retained: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A delivery after reading: a batch (with an id), a status, or neither. `letters` is what nobody can read."""

    delivery: Delivery
    gateway: str | None
    batch_id: UUID | None = None
    readings: tuple[tuple[Reading, bytes], ...] = ()
    status: Status | None = None
    letters: tuple[Letter, ...] = ()


class _Place(NamedTuple):
    """Where a gateway stands."""

    chain_id: str
    store_id: str


class _Row(NamedTuple):
    """A reading on its way into the ledger, and the position of the message that brought it."""

    position: int
    store_id: str
    gateway: str
    reading: Reading
    body: bytes


class _Device(NamedTuple):
    """A meter as it is known already."""

    store_id: str
    owner_member_id: UUID | None
    last_seen_at: datetime


def accept(connection: Connection, deliveries: Sequence[Delivery], now: datetime) -> list[Receipt | None]:
    """Takes custody of `deliveries` in the caller's transaction; returns, in their order, each batch's receipt.

    None stands for a message that is no batch. Raises a database error when PostgreSQL cannot hold what one of
    them says; the caller rolls back and hands them in one by one.
    """
    return keep(connection, [read(delivery) for delivery in deliveries], now)


def read(delivery: Delivery) -> Message:
    """What a delivery says, without asking anybody: the half of `accept` that needs no database."""
    if address := topics.read_batch(delivery.topic):
        return _read_batch(delivery, *address)
    return _read_status(delivery, topics.read_status(delivery.topic))


def keep(connection: Connection, messages: Sequence[Message], now: datetime) -> list[Receipt | None]:
    """The other half of `accept`; may be tried again with the same messages."""
    places = _places(connection, {message.gateway for message in messages if message.gateway})
    taken = [_of_known_gateways(message, places) for message in messages]
    stored: Counter[int] = Counter()  # position of the message -> readings that are new
    by_chain: defaultdict[str, list[_Row]] = defaultdict(list)
    for position, message in enumerate(taken):
        if message.readings and message.gateway:
            place = places[message.gateway]
            rows = by_chain[place.chain_id]
            rows += [_Row(position, place.store_id, message.gateway, r, body) for r, body in message.readings]
    for chain_id, rows in sorted(by_chain.items()):
        stored.update(_store(connection, chain_id, rows, now))
    _remember_statuses(connection, taken, now)
    dead_letters.put(connection, [letter for message in taken for letter in message.letters])
    return [_receipt(message, stored[position]) for position, message in enumerate(taken)]


def _receipt(message: Message, stored: int) -> Receipt | None:
    if message.batch_id is None:
        return None
    return Receipt(
        batch=message.batch_id,
        outcome=Outcome.ACCEPTED if message.readings else Outcome.SET_ASIDE,
        stored=stored,
        known=len(message.readings) - stored,
        set_aside=len(message.letters),
        reason=message.letters[0].error if message.letters else "",
    )


def unstorable(delivery: Delivery, error: Exception) -> Message:
    """The message to keep instead of one that made `read` or `keep` raise: a letter with the error's class."""
    gateway, batch_id = topics.read_batch(delivery.topic) or (topics.read_status(delivery.topic), None)
    message = Message(delivery=delivery, gateway=gateway, batch_id=batch_id)
    return replace(message, letters=(_letter(message, "unstorable", type(error).__name__),))


# --- reading what came ---------------------------------------------------------------------------------------


def _read_batch(delivery: Delivery, gateway: str, batch_id: UUID) -> Message:
    message = Message(delivery=delivery, gateway=gateway, batch_id=batch_id)
    try:
        envelope, decoded = codec.decode_batch(delivery.payload)
    except Undecodable as error:
        return replace(message, letters=(_letter(message, error.error, error.detail),))
    if envelope.gateway != gateway or envelope.id != batch_id:
        detail = "the gateway or the batch id in the body is not the one in the topic"
        return replace(message, letters=(_letter(message, "misaddressed", detail),))
    readings, letters = [], []
    for raw, reading in zip(envelope.readings, decoded, strict=True):
        if isinstance(reading, Undecodable):
            # Alone in a batch of its own, so that it can be replayed without the others.
            part = replace(delivery, payload=codec.with_readings(envelope, [raw]))
            letters.append(_letter(replace(message, delivery=part), reading.error, reading.detail))
        else:
            readings.append((reading, bytes(raw)))
    return replace(message, readings=tuple(readings), letters=tuple(letters))


def _read_status(delivery: Delivery, gateway: str | None) -> Message:
    message = Message(delivery=delivery, gateway=gateway)
    if gateway is None:
        letter = _letter(message, "unknown_topic", "neither a batch nor a status")
        return replace(message, letters=(letter,))
    try:
        status = codec.decode_status(delivery.payload)
    except Undecodable as error:
        return replace(message, letters=(_letter(message, error.error, error.detail),))
    if status.gateway != gateway:
        letter = _letter(message, "misaddressed", "the gateway in the body is not the one in the topic")
        return replace(message, letters=(letter,))
    return replace(message, status=status)


def _of_known_gateways(message: Message, places: Mapping[str, _Place]) -> Message:
    if message.gateway is None or message.gateway in places:
        return message
    letter = _letter(message, "unknown_gateway", "register the gateway, then replay this letter")
    return replace(message, readings=(), status=None, letters=(letter,))


def _letter(message: Message, error: str, detail: str) -> Letter:
    return Letter(
        topic=message.delivery.topic,
        payload=message.delivery.payload,
        error=error,
        detail=detail,
        gateway_id=message.gateway,
        batch_id=message.batch_id,
        repeats=message.batch_id is None,
    )


# --- into the ledger -----------------------------------------------------------------------------------------


def _store(connection: Connection, chain_id: str, rows: Sequence[_Row], now: datetime) -> Iterator[int]:
    """Stores and attributes; yields, for each new reading, the position of the message that brought it first."""
    visitors = _visitors(connection, chain_id, {row.reading.visit.code for row in rows if row.reading.visit})
    known_devices = _devices(connection, chain_id, {row.reading.device.key for row in rows})
    new = store.insert_once(
        connection, chain_id, [_attributed(row, visitors, known_devices) for row in reversed(rows)]
    )
    if not new:
        return
    first = {row.reading.id: row for row in reversed(rows) if row.reading.id in new}
    _remember_devices(connection, chain_id, known_devices, first.values(), now)
    store.enqueue(connection, (Reader.ASSESS, Reader.PROJECT), chain_id, new)
    live.announce(
        connection, chain_id=chain_id, store_ids={row.store_id for row in first.values()}, what="reading"
    )
    yield from (row.position for row in first.values())


def _attributed(row: _Row, visitors: Mapping[str, Collection[UUID]], known: Mapping[str, _Device]) -> NewReading:
    visit, device = row.reading.visit, known.get(row.reading.device.key)
    evidence = Evidence(
        visitors=visitors.get(visit.code, ()) if visit else (), owner=device.owner_member_id if device else None
    )
    decision = attribute(row.reading, evidence)
    return NewReading(
        store_id=row.store_id,
        gateway_id=row.gateway,
        reading=row.reading,
        body=row.body,
        member_id=decision.member_id,
        how=decision.how,
        why=decision.why,
    )


def _places(connection: Connection, names: Collection[str]) -> dict[str, _Place]:
    if not names:
        return {}
    rows = connection.execute(_PLACES, {"names": list(names)})
    return {row.id: _Place(row.chain_id, row.store_id) for row in rows}


def _any(column: Column[Any], name: str) -> Any:
    return column == any_(bindparam(name, type_=ARRAY(Text)))


_PLACES = select(gateways.c.id, gateways.c.chain_id, gateways.c.store_id).where(_any(gateways.c.id, "names"))
_VISITORS = select(members.c.code, members.c.id).where(
    members.c.chain_id == bindparam("chain_id"), _any(members.c.code, "codes")
)
_DEVICES = select(devices.c.key, devices.c.store_id, devices.c.owner_member_id, devices.c.last_seen_at).where(
    devices.c.chain_id == bindparam("chain_id"), _any(devices.c.key, "keys")
)


def _visitors(connection: Connection, chain_id: str, codes: Collection[str]) -> dict[str, list[UUID]]:
    found: defaultdict[str, list[UUID]] = defaultdict(list)
    if codes:
        for code, member_id in connection.execute(_VISITORS, {"chain_id": chain_id, "codes": list(codes)}):
            found[code].append(member_id)
    return found


def _devices(connection: Connection, chain_id: str, keys: Collection[str]) -> dict[str, _Device]:
    rows = connection.execute(_DEVICES, {"chain_id": chain_id, "keys": list(keys)})
    return {row.key: _Device(row.store_id, row.owner_member_id, row.last_seen_at) for row in rows}


LAST_SEEN_RESOLUTION = timedelta(minutes=1)
"""A busy meter's row is not rewritten with every reading: when it was last seen is true to the minute."""

_SEEN = text("""
    INSERT INTO devices (chain_id, key, maker, model, serial, store_id, first_seen_at, last_seen_at)
    VALUES (:chain_id, :key, :maker, :model, :serial, :store_id, :now, :now)
    ON CONFLICT (chain_id, key) DO UPDATE SET
        maker = COALESCE(NULLIF(EXCLUDED.maker, ''), devices.maker),
        model = COALESCE(NULLIF(EXCLUDED.model, ''), devices.model),
        serial = COALESCE(NULLIF(EXCLUDED.serial, ''), devices.serial),
        store_id = EXCLUDED.store_id,
        last_seen_at = EXCLUDED.last_seen_at
""")


def _remember_devices(
    connection: Connection, chain_id: str, known: Mapping[str, _Device], rows: Iterable[_Row], now: datetime
) -> None:
    seen = {row.reading.device.key: row for row in rows}
    changed = [
        row
        for key, row in sorted(seen.items())  # one order for all ingests: no deadlock
        if (device := known.get(key)) is None
        or device.store_id != row.store_id
        or now - device.last_seen_at > LAST_SEEN_RESOLUTION
    ]
    if changed:
        connection.execute(
            _SEEN,
            [
                {
                    "chain_id": chain_id,
                    "key": row.reading.device.key,
                    "maker": row.reading.device.maker,
                    "model": row.reading.device.model,
                    "serial": row.reading.device.serial,
                    "store_id": row.store_id,
                    "now": now,
                }
                for row in changed
            ],
        )


_HEARD = text("""
    UPDATE gateways SET online = :online, status = CAST(:status AS jsonb),
        last_heard_at = CASE WHEN :heard THEN :now ELSE last_heard_at END
    WHERE id = :gateway
""")


def _remember_statuses(connection: Connection, messages: Sequence[Message], now: datetime) -> None:
    newest = {message.gateway: message for message in messages if message.gateway and message.status}
    if newest:
        connection.execute(
            _HEARD,
            [
                {
                    "gateway": gateway,
                    "online": status.online,
                    "status": message.delivery.payload.decode(),
                    # A retained status may be days old, and a will is the broker's word, not the gateway's.
                    "heard": status.online and not message.delivery.retained,
                    "now": now,
                }
                for gateway, message in sorted(newest.items())
                if (status := message.status) is not None
            ],
        )
