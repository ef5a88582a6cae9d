"""Many messages, one transaction: what they say goes into the ledger, and what nobody can read is set aside.

It decides nothing about people (`attribution` does) and moves no bytes (`consumer` does). Whatever arrives, after
the commit it is in the ledger, or was there already, or is a dead letter with its reason. So every batch gets a
receipt, and none can block a gateway's queue.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
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
class _Place:
    chain_id: str
    store_id: str


@dataclass(slots=True, kw_only=True)
class _Batch:
    """What one batch message turned out to be."""

    id: UUID
    gateway: str
    chain_id: str = ""
    store_id: str = ""
    readings: list[tuple[Reading, bytes]] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    stored: int = 0

    def receipt(self) -> Receipt:
        """The answer, once this is committed."""
        return Receipt(
            batch=self.id,
            outcome=Outcome.ACCEPTED if self.readings else Outcome.SET_ASIDE,
            stored=self.stored,
            known=len(self.readings) - self.stored,
            set_aside=len(self.letters),
            reason=self.letters[0].error if self.letters else "",
        )


def accept(connection: Connection, deliveries: Sequence[Delivery], now: datetime) -> list[Receipt | None]:
    """Takes custody of `deliveries` in the caller's transaction; returns, in their order, each batch's receipt.

    None stands for a message that is no batch. Raises a database error when PostgreSQL cannot hold what one of
    them says; the caller rolls back and hands them in one by one.
    """
    places = _places(connection, {gateway for d in deliveries if (gateway := _gateway(d.topic))})
    batches: list[_Batch | None] = []
    letters: list[Letter] = []
    statuses: dict[str, tuple[Status, Delivery]] = {}
    for delivery in deliveries:
        if address := topics.read_batch(delivery.topic):
            batch = _read_batch(delivery, *address, places)
            letters += batch.letters
            batches.append(batch)
        else:
            letters += _read_status(delivery, places, statuses)
            batches.append(None)
    by_chain: defaultdict[str, list[_Batch]] = defaultdict(list)
    for read in batches:
        if read is not None and read.readings:
            by_chain[read.chain_id].append(read)
    for chain_id, of_chain in sorted(by_chain.items()):
        _store(connection, chain_id, of_chain, now)
    _remember(connection, statuses, now)
    dead_letters.put(connection, letters)
    return [batch.receipt() if batch is not None else None for batch in batches]


def set_aside(connection: Connection, delivery: Delivery, error: str, detail: str) -> Receipt | None:
    """Keeps a message that `accept` cannot take, in the caller's transaction; returns its receipt, if any."""
    address = topics.read_batch(delivery.topic)
    gateway, batch_id = address or (topics.read_status(delivery.topic), None)
    letter = Letter(
        topic=delivery.topic,
        payload=delivery.payload,
        error=error,
        detail=detail,
        gateway_id=gateway,
        batch_id=batch_id,
    )
    dead_letters.put(connection, [letter])
    return Receipt(batch=batch_id, outcome=Outcome.SET_ASIDE, set_aside=1, reason=error) if batch_id else None


# --- reading what came ---------------------------------------------------------------------------------------


def _gateway(topic: str) -> str | None:
    address = topics.read_batch(topic)
    return address[0] if address else topics.read_status(topic)


def _places(connection: Connection, names: Collection[str]) -> dict[str, _Place]:
    if not names:
        return {}
    rows = connection.execute(_PLACES, {"names": list(names)})
    return {row.id: _Place(chain_id=row.chain_id, store_id=row.store_id) for row in rows}


def _read_batch(delivery: Delivery, gateway: str, batch_id: UUID, places: dict[str, _Place]) -> _Batch:
    batch = _Batch(id=batch_id, gateway=gateway)

    def letter(error: str, detail: str, payload: bytes = delivery.payload) -> None:
        batch.letters.append(
            Letter(
                topic=delivery.topic,
                payload=payload,
                error=error,
                detail=detail,
                gateway_id=gateway,
                batch_id=batch_id,
            )
        )

    place = places.get(gateway)
    if place is None:
        letter("unknown_gateway", "register the gateway, then replay this letter")
        return batch
    try:
        envelope, decoded = codec.decode_batch(delivery.payload)
    except Undecodable as error:
        letter(error.error, error.detail)
        return batch
    if envelope.gateway != gateway or envelope.id != batch_id:
        letter("misaddressed", "the gateway or the batch id in the body is not the one in the topic")
        return batch
    batch.chain_id, batch.store_id = place.chain_id, place.store_id
    for raw, reading in zip(envelope.readings, decoded, strict=True):
        if isinstance(reading, Undecodable):
            letter(reading.error, reading.detail, codec.with_readings(envelope, [raw]))
        else:
            batch.readings.append((reading, bytes(raw)))
    return batch


def _read_status(
    delivery: Delivery, places: dict[str, _Place], statuses: dict[str, tuple[Status, Delivery]]
) -> list[Letter]:
    gateway = topics.read_status(delivery.topic)
    error, detail = "unknown_topic", "neither a batch nor a status"
    if gateway is not None and gateway not in places:
        error, detail = "unknown_gateway", "register the gateway; its next status will be taken"
    elif gateway is not None:
        try:
            status = codec.decode_status(delivery.payload)
        except Undecodable as undecodable:
            error, detail = undecodable.error, undecodable.detail
        else:
            if status.gateway == gateway:
                statuses[gateway] = (status, delivery)
                return []
            error, detail = "misaddressed", "the gateway in the body is not the one in the topic"
    return [
        Letter(
            topic=delivery.topic,
            payload=delivery.payload,
            error=error,
            detail=detail,
            gateway_id=gateway,
            repeats=True,
        )
    ]


# --- into the ledger -----------------------------------------------------------------------------------------


def _store(connection: Connection, chain_id: str, batches: Sequence[_Batch], now: datetime) -> None:
    readings = [reading for batch in batches for reading, _ in batch.readings]
    visitors = _visitors(connection, chain_id, {reading.visit.code for reading in readings if reading.visit})
    owners = _owners(connection, chain_id, {reading.device.key for reading in readings})
    rows = []
    for batch in batches:
        for reading, body in batch.readings:
            decision = attribute(
                reading,
                Evidence(
                    visitors=visitors.get(reading.visit.code, ()) if reading.visit else (),
                    owner=owners.get(reading.device.key),
                ),
            )
            rows.append(
                NewReading(
                    store_id=batch.store_id,
                    gateway_id=batch.gateway,
                    reading=reading,
                    body=body,
                    member_id=decision.member_id,
                    how=decision.how,
                    why=decision.why,
                )
            )
    new = store.insert_once(connection, chain_id, rows)
    if not new:
        return
    _remember_devices(connection, chain_id, (row for row in rows if row.reading.id in new), now)
    store.enqueue(connection, Reader.ASSESS, chain_id, new)
    store.enqueue(connection, Reader.PROJECT, chain_id, new)
    uncounted = set(new)
    changed_stores = set()
    for batch in batches:
        for reading, _ in batch.readings:
            if reading.id in uncounted:
                uncounted.remove(reading.id)
                batch.stored += 1
                changed_stores.add(batch.store_id)
    live.announce(connection, chain_id=chain_id, store_ids=changed_stores, what="reading")


def _any(column: Column[Any], name: str) -> Any:
    return column == any_(bindparam(name, type_=ARRAY(Text)))


_PLACES = select(gateways.c.id, gateways.c.chain_id, gateways.c.store_id).where(_any(gateways.c.id, "names"))
_VISITORS = select(members.c.code, members.c.id).where(
    members.c.chain_id == bindparam("chain_id"), _any(members.c.code, "codes")
)
_OWNERS = select(devices.c.key, devices.c.owner_member_id).where(
    devices.c.chain_id == bindparam("chain_id"),
    _any(devices.c.key, "keys"),
    devices.c.owner_member_id.is_not(None),
)


def _visitors(connection: Connection, chain_id: str, codes: Collection[str]) -> dict[str, list[UUID]]:
    found: defaultdict[str, list[UUID]] = defaultdict(list)
    if codes:
        for code, member_id in connection.execute(_VISITORS, {"chain_id": chain_id, "codes": list(codes)}):
            found[code].append(member_id)
    return found


def _owners(connection: Connection, chain_id: str, keys: Collection[str]) -> dict[str, UUID]:
    rows = connection.execute(_OWNERS, {"chain_id": chain_id, "keys": list(keys)})
    return {row.key: row.owner_member_id for row in rows}


_SEEN = text("""
    INSERT INTO devices (chain_id, key, maker, model, serial, store_id, first_seen_at, last_seen_at)
    VALUES (:chain_id, :key, :maker, :model, :serial, :store_id, :now, :now)
    ON CONFLICT (chain_id, key) DO UPDATE SET
        maker = COALESCE(NULLIF(EXCLUDED.maker, ''), devices.maker),
        model = COALESCE(NULLIF(EXCLUDED.model, ''), devices.model),
        serial = COALESCE(NULLIF(EXCLUDED.serial, ''), devices.serial),
        store_id = EXCLUDED.store_id,
        last_seen_at = EXCLUDED.last_seen_at
    -- A busy meter's row is not rewritten with every reading: last seen is true to the minute.
    WHERE devices.store_id <> EXCLUDED.store_id
        OR devices.last_seen_at < EXCLUDED.last_seen_at - interval '1 minute'
""")


def _remember_devices(connection: Connection, chain_id: str, rows: Iterable[NewReading], now: datetime) -> None:
    seen = {row.reading.device.key: row for row in rows}
    connection.execute(
        _SEEN,
        [
            {
                "chain_id": chain_id,
                "key": key,
                "maker": row.reading.device.maker,
                "model": row.reading.device.model,
                "serial": row.reading.device.serial,
                "store_id": row.store_id,
                "now": now,
            }
            for key, row in sorted(seen.items())  # one order for all ingests: no deadlock
        ],
    )


_HEARD = text("""
    UPDATE gateways SET online = :online, status = CAST(:status AS jsonb),
        last_heard_at = CASE WHEN :heard THEN :now ELSE last_heard_at END
    WHERE id = :gateway
""")


def _remember(connection: Connection, statuses: dict[str, tuple[Status, Delivery]], now: datetime) -> None:
    if statuses:
        connection.execute(
            _HEARD,
            [
                {
                    "gateway": gateway,
                    "online": status.online,
                    "status": delivery.payload.decode(),
                    # A retained status may be days old, and a will is the broker's word, not the gateway's.
                    "heard": status.online and not delivery.retained,
                    "now": now,
                }
                for gateway, (status, delivery) in sorted(statuses.items())
            ],
        )
