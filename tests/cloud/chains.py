"""A small chain to test in, and readings as gateways send them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4, uuid5

from sqlalchemy import Engine, insert

from cloud import db
from cloud.crm.fleet.tables import gateways
from cloud.crm.members.tables import members
from cloud.crm.stores.tables import org_units
from cloud.ingest.intake import Delivery
from gateway.wire import codec, topics
from gateway.wire.messages import Batch, Device, Reading, TakenAt, TimeQuality, Visit
from gateway.wire.vocabulary import Kind

CHAIN, OTHER_CHAIN = "kang", "other"
STORE, SECOND_STORE, OTHER_STORE = "n01", "n02", "x01"
GATEWAY, SECOND_GATEWAY, OTHER_GATEWAY = "gw-n01", "gw-n02", "gw-x01"
NOW = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
WANG, LI, STRANGER = UUID(int=1), UUID(int=2), UUID(int=3)
CODES = {WANG: "M000001", LI: "M000002", STRANGER: "M000001"}
CLERK = UUID(int=99)
METER = Device(key="SN-1", maker="Sinocare", model="GA-3", serial="SN-1")


def found(engine: Engine) -> None:
    """Two stores of one chain and one store of another, a gateway in each, and three members."""
    units = [
        (CHAIN, CHAIN, "chain", "/kang/"),
        (CHAIN, STORE, "store", "/kang/n01/"),
        (CHAIN, SECOND_STORE, "store", "/kang/n02/"),
        (OTHER_CHAIN, OTHER_CHAIN, "chain", "/other/"),
        (OTHER_CHAIN, OTHER_STORE, "store", "/other/x01/"),
    ]
    places = [
        (GATEWAY, CHAIN, STORE),
        (SECOND_GATEWAY, CHAIN, SECOND_STORE),
        (OTHER_GATEWAY, OTHER_CHAIN, OTHER_STORE),
    ]
    people = [(CHAIN, WANG, STORE), (CHAIN, LI, STORE), (OTHER_CHAIN, STRANGER, OTHER_STORE)]
    with db.begin(engine) as c:
        c.execute(
            insert(org_units), [{"chain_id": a, "id": b, "kind": k, "path": p, "name": b} for a, b, k, p in units]
        )
        c.execute(insert(gateways), [{"id": g, "chain_id": a, "store_id": b} for g, a, b in places])
        c.execute(
            insert(members),
            [{"chain_id": a, "id": m, "code": CODES[m], "name": "-", "store_id": b} for a, m, b in people],
        )


def visit(code: str, *, opened: datetime = NOW - timedelta(minutes=2), closed: datetime | None = None) -> Visit:
    """An open visit around NOW."""
    return Visit(id=uuid5(UUID(int=7), code), code=code, slot="1", opened=opened, closed=closed)


def reading(number: int = 0, *, at: datetime = NOW, **changes: Any) -> Reading:
    """A glucose reading; the same number is the same physical event."""
    fields: dict[str, Any] = {
        "id": uuid5(UUID(int=8), str(number)),
        "kind": Kind.GLUCOSE,
        "device": METER,
        "record_key": str(number),
        "time": TakenAt(at=at, quality=TimeQuality.DEVICE, received=at + timedelta(seconds=5)),
        "conversation": UUID(int=9),
        "driver": "ble.glucose",
        "values": {"glucose_mmol_l": Decimal("6.1")},
    }
    return Reading(**(fields | changes))


def batch(readings: Sequence[Reading], *, gateway: str = GATEWAY, id: UUID | None = None) -> Delivery:
    """`readings` as the broker delivers them."""
    batch_id = id or uuid4()
    payload = codec.encode(Batch(id=batch_id, gateway=gateway, sent=NOW, readings=tuple(readings)))
    return Delivery(topic=topics.batch(gateway, batch_id), payload=payload)
