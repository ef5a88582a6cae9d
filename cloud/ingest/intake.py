"""Many messages, one transaction: what they say goes into the ledger, and what nobody can read is set aside.

It decides nothing about people (`attribution` does) and moves no bytes (`consumer` does). Whatever arrives, after
the commit it is in the ledger, or was there already, or is a dead letter with its reason. So every batch gets a
receipt, and none can block a gateway's queue.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from cloud import live
from cloud.crm.devices import registry as meters
from cloud.crm.fleet import registry as fleet
from cloud.crm.fleet.registry import Heard, Place
from cloud.crm.members import directory
from cloud.ingest.attribution import Evidence, attribute
from cloud.ledger import answers, dead_letters, store
from cloud.ledger.answers import NewAnswer
from cloud.ledger.dead_letters import Letter
from cloud.ledger.store import NewReading
from cloud.ledger.words import Reader
from gateway.wire import codec, topics
from gateway.wire.codec import Undecodable
from gateway.wire.messages import Answer, Outcome, Reading, Receipt, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message as the broker handed it over; a `retained` one may be old. `arrived` None: just now."""

    topic: str
    payload: bytes
    retained: bool = False
    arrived: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A delivery after reading: a batch (with an id), a status, or neither. `letters` is what nobody can read."""

    delivery: Delivery
    gateway: str | None
    batch_id: UUID | None = None
    readings: tuple[tuple[Reading, bytes], ...] = ()
    answers: tuple[tuple[Answer, bytes], ...] = ()
    status: Status | None = None
    letters: tuple[Letter, ...] = ()


class _Part(NamedTuple):
    """A message with something for one chain's ledger, its position, and whose it is."""

    position: int
    store_id: str
    gateway: str
    message: Message


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
    places = fleet.places(connection, {message.gateway for message in messages if message.gateway})
    taken = [_of_known_gateways(message, places) for message in messages]
    stored: Counter[int] = Counter()  # position of the message -> readings and answers that are new
    by_chain: defaultdict[str, list[_Part]] = defaultdict(list)
    for position, message in enumerate(taken):
        if message.gateway and (message.readings or message.answers):
            place = places[message.gateway]
            by_chain[place.chain_id].append(_Part(position, place.store_id, message.gateway, message))
    for chain_id, parts in sorted(by_chain.items()):
        stored.update(_store(connection, chain_id, parts, now))
        stored.update(_store_answers(connection, chain_id, parts))
    _remember_statuses(connection, taken, now)
    dead_letters.put(connection, [letter for message in taken for letter in message.letters])
    return [_receipt(message, stored[position]) for position, message in enumerate(taken)]


def _receipt(message: Message, stored: int) -> Receipt | None:
    if message.batch_id is None:
        return None
    return Receipt(
        batch=message.batch_id,
        outcome=Outcome.ACCEPTED if message.readings or message.answers else Outcome.SET_ASIDE,
        stored=stored,
        known=len(message.readings) + len(message.answers) - stored,
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
            part = replace(delivery, payload=codec.with_only(envelope, readings=[raw]))
            letters.append(_letter(replace(message, delivery=part), reading.error, reading.detail))
        else:
            readings.append((reading, bytes(raw)))
    said = []
    for raw, answer in zip(envelope.answers, codec.decode_answers(envelope), strict=True):
        if isinstance(answer, Undecodable):
            part = replace(delivery, payload=codec.with_only(envelope, answers=[raw]))
            letters.append(_letter(replace(message, delivery=part), answer.error, answer.detail))
        else:
            said.append((answer, bytes(raw)))
    return replace(message, readings=tuple(readings), answers=tuple(said), letters=tuple(letters))


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


def _of_known_gateways(message: Message, places: Mapping[str, Place]) -> Message:
    if message.gateway is None or message.gateway in places:
        return message
    letter = _letter(message, "unknown_gateway", "register the gateway, then replay this letter")
    return replace(message, readings=(), answers=(), status=None, letters=(letter,))


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


def _store(connection: Connection, chain_id: str, parts: Sequence[_Part], now: datetime) -> Iterable[int]:
    """Stores and attributes; gives, for each new reading, the position of the message that brought it first."""
    coming = [reading for part in parts for reading, _ in part.message.readings]
    if not coming:
        return ()
    visitors = directory.by_code(connection, chain_id, {r.visit.code for r in coming if r.visit is not None})
    known = meters.known(connection, chain_id, {r.device.key for r in coming})
    rows = [row for part in parts for row in _attributed(part, visitors, known)]
    stored = store.insert_once(connection, chain_id, rows)
    if not stored:
        return ()
    places = sorted(stored.values())  # as they came
    new = [rows[place] for place in places]
    last_of = {row.reading.device.key: row for row in new}
    sightings = [(row.reading.device, row.store_id) for row in last_of.values()]
    meters.seen(connection, chain_id, known, sightings, now)
    store.enqueue(connection, (Reader.ASSESS, Reader.PROJECT), chain_id, stored)
    # Told where it was measured and where its owner is cared for: that is where their specialist looks.
    owners = {row.member_id for row in new if row.member_id is not None}
    stores = {row.store_id for row in new} | directory.homes(connection, chain_id, owners)
    live.announce(connection, chain_id=chain_id, store_ids=stores, what="reading")
    brought_by = [part.position for part in parts for _ in part.message.readings]
    return map(brought_by.__getitem__, places)


def _store_answers(connection: Connection, chain_id: str, parts: Sequence[_Part]) -> Iterator[int]:
    """Keeps what was said at docks; yields, for each new answer, the position of the message that brought it."""
    new = [
        (
            part.position,
            NewAnswer(store_id=part.store_id, gateway_id=part.gateway, answer=answer, body=body),
        )
        for part in parts
        for answer, body in part.message.answers
    ]
    fresh = [new[place] for place in answers.insert_once(connection, chain_id, [one for _, one in new])]
    # Also where the reading is not there yet: whichever of the two is committed last, `assess` looks after it.
    about = {one.answer.reading for _, one in fresh}
    store.enqueue(connection, Reader.ASSESS, chain_id, about)
    yield from (position for position, _ in fresh)


def _attributed(
    part: _Part, visitors: Mapping[str, Collection[UUID]], known: Mapping[str, meters.Known]
) -> Iterator[NewReading]:
    for reading, body in part.message.readings:
        visit, device = reading.visit, known.get(reading.device.key)
        evidence = Evidence(
            visitors=visitors.get(visit.code, ()) if visit else (),
            owner=device.owner_member_id if device else None,
        )
        decision = attribute(reading, evidence)
        yield NewReading(
            store_id=part.store_id,
            gateway_id=part.gateway,
            reading=reading,
            body=body,
            member_id=decision.member_id,
            how=decision.how,
            why=decision.why,
        )


def _remember_statuses(connection: Connection, messages: Sequence[Message], now: datetime) -> None:
    newest = {message.gateway: message for message in messages if message.gateway and message.status}
    fleet.heard(
        connection,
        [
            Heard(
                gateway=gateway,
                online=status.online,
                # A retained status may be days old, and a will is the broker's word, not the gateway's.
                itself=status.online and not message.delivery.retained,
                body=message.delivery.payload.decode(),
                arrived=message.delivery.arrived or now,
            )
            for gateway, message in newest.items()
            if (status := message.status) is not None
        ],
    )
