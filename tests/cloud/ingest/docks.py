"""Docks that send readings and answers, and a cloud that takes and judges them when told."""

from decimal import Decimal
from uuid import UUID, uuid4

from sqlalchemy import Engine, select

from cloud import db
from cloud.crm.tasks.tables import tasks
from cloud.health import IngestMetrics
from cloud.ingest.intake import Delivery, accept
from cloud.ingest.process import assessor
from cloud.ingest.worker import run_one
from cloud.ledger import changes
from cloud.ledger.answers import waiting
from cloud.ledger.tables import answers, readings
from cloud.ledger.words import Reader
from gateway.clinical import library
from gateway.wire import codec, topics
from gateway.wire.messages import (
    Answer,
    Asked,
    Device,
    Reading,
    Receipt,
)
from gateway.wire.vocabulary import Kind
from tests.cloud.chains import (
    CHAIN,
    GATEWAY,
    NOW,
    reading,
    visit,
)

CUFF = Device(key="BP-1", maker="Omron", model="U16", serial="BP-1")


def pressure(systolic: int, diastolic: int, number: int = 50, **changes: object) -> Reading:
    values = {"systolic_mmhg": Decimal(systolic), "diastolic_mmhg": Decimal(diastolic)}
    return reading(number, kind=Kind.BLOOD_PRESSURE, device=CUFF, values=values, visit=visit("M000001"), **changes)


def said(about: Reading, what: Asked, *values: str, **changes: object) -> Answer:
    fields = {"id": uuid4(), "reading": about.id, "what": what, "values": values, "at": NOW, "slot": "1"}
    return Answer(**(fields | changes))


def sent(*parts: Reading | Answer, gateway: str = GATEWAY) -> Delivery:
    """A batch as the outbox makes it."""
    batch_id = uuid4()
    payload = codec.join_batch(
        id=batch_id,
        gateway=gateway,
        sent=NOW,
        readings=[codec.encode_reading(part) for part in parts if isinstance(part, Reading)],
        answers=[codec.encode_answer(part) for part in parts if isinstance(part, Answer)],
    )
    return Delivery(topic=topics.batch(gateway, batch_id), payload=payload)


class Cloud:
    """The ingest's two halves, run when told."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def take(self, *deliveries: Delivery) -> list[Receipt | None]:
        with db.begin(self.engine) as connection:
            return accept(connection, deliveries, NOW)

    def read(self) -> None:
        """Whatever `assess` has to do."""
        judge = assessor(library(), production=False)
        while run_one(self.engine, Reader.ASSESS, judge, NOW, IngestMetrics()):
            pass

    def meal(self, about: Reading) -> str:
        with self.engine.connect() as connection:
            return connection.execute(select(readings.c.meal).where(readings.c.id == about.id)).scalar_one()

    def owner(self, about: Reading) -> UUID | None:
        with self.engine.connect() as connection:
            return connection.execute(select(readings.c.member_id).where(readings.c.id == about.id)).scalar_one()

    def decided(self, about: Reading) -> list[tuple[str, UUID | None]]:
        with self.engine.connect() as connection:
            return [(one.how, one.member_id) for one in changes.history(connection, CHAIN, about.id)]

    def rules(self) -> dict[str, str]:
        with self.engine.connect() as connection:
            return dict(connection.execute(select(tasks.c.rule_id, tasks.c.status)).all())

    def waiting(self) -> int:
        with self.engine.connect() as connection:
            return waiting(connection)

    def kept(self) -> dict[UUID, bool]:
        """Answer -> whether it was applied."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(answers.c.id, answers.c.applied_at))
            return {row.id: row.applied_at is not None for row in rows}
