"""A virtual glucose meter: service 0x1808 with its record access control point, in memory, bytes out.

Written from the Glucose Service 1.0 text. The radio is `bumble_meter`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import IntEnum

from gateway.simulators.meter import (
    CURRENT_TIME,
    AttError,
    Characteristic,
    Declined,
    Outgoing,
    VirtualMeter,
    date_time,
    sfloat,
)

GLUCOSE = "1808"
MEASUREMENT, CONTEXT, FEATURE, CONTROL_POINT = "2a18", "2a34", "2a51", "2a52"

CONTROL_SOLUTION_TYPE, CONTROL_SOLUTION_LOCATION = 10, 4
RESULT_TOO_HIGH, RESULT_TOO_LOW = 1 << 5, 1 << 6
MEAL_KETONE = 6  # not in the specification: CareSens Dual marks a ketone value this way


class Op(IntEnum):
    """RACP op codes."""

    REPORT = 1
    DELETE = 2
    ABORT = 3
    COUNT = 4
    COUNT_RESPONSE = 5
    RESPONSE = 6


class Answer(IntEnum):
    """RACP response codes."""

    SUCCESS = 1
    OP_NOT_SUPPORTED = 2
    INVALID_OPERATOR = 3
    OPERATOR_NOT_SUPPORTED = 4
    INVALID_OPERAND = 5
    NO_RECORDS_FOUND = 6
    ABORT_UNSUCCESSFUL = 7
    NOT_COMPLETED = 8
    OPERAND_NOT_SUPPORTED = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class GlucoseRecord:
    """One stored measurement. `value` is in mol/L or kg/L as `molar` says; `offset_min` moves the shown time."""

    sequence: int
    base_time: datetime
    value: Decimal
    molar: bool = True
    offset_min: int | None = 0
    sample_type: int = 1  # capillary whole blood
    location: int = 1  # finger
    status: int | None = None
    meal: int | None = None  # a context record follows where there is one

    def measurement(self) -> bytes:
        """The bytes of 0x2A18."""
        flags = (
            (self.offset_min is not None) << 0
            | 1 << 1
            | self.molar << 2
            | (self.status is not None) << 3
            | (self.meal is not None) << 4
        )
        return b"".join(
            (
                bytes([flags]),
                self.sequence.to_bytes(2, "little"),
                date_time(self.base_time),
                b"" if self.offset_min is None else self.offset_min.to_bytes(2, "little", signed=True),
                sfloat(self.value),
                bytes([self.location << 4 | self.sample_type]),
                b"" if self.status is None else self.status.to_bytes(2, "little"),
            )
        )

    def context(self) -> bytes | None:
        """The bytes of 0x2A34, where there is a context."""
        if self.meal is None:
            return None
        return bytes([1 << 1]) + self.sequence.to_bytes(2, "little") + bytes([self.meal])


@dataclass(kw_only=True)
class GlucoseMeter(VirtualMeter):
    """Measures, stores, and reports on request. A report is a copy: records stay until they are deleted."""

    advertised: tuple[str, ...] = (GLUCOSE,)
    records: list[GlucoseRecord] = field(default_factory=list)
    next_sequence: int = 0
    time_adjusted_min: int = 0  # setting the clock moves the offset, never the base time
    _running: Iterator[Outgoing] | None = None

    def measure(
        self,
        mmol_l: Decimal,
        *,
        meal: int | None = None,
        control: bool = False,
        status: int | None = None,
        mg_dl: bool = False,
    ) -> GlucoseRecord:
        """Takes one measurement now; HI and LO are `status` RESULT_TOO_HIGH / RESULT_TOO_LOW."""
        # 1 mmol/L glucose is 18.0156 mg/dL; a meter that shows mg/dL keeps whole ones, sent as kg/L.
        value = (mmol_l * Decimal("18.0156")).quantize(Decimal(1)).scaleb(-5) if mg_dl else mmol_l.scaleb(-3)
        record = GlucoseRecord(
            sequence=self.next_sequence,
            base_time=self.clock() - timedelta(minutes=self.time_adjusted_min),
            offset_min=self.time_adjusted_min,
            value=value,
            molar=not mg_dl,
            meal=meal,
            sample_type=CONTROL_SOLUTION_TYPE if control else 1,
            location=CONTROL_SOLUTION_LOCATION if control else 1,
            status=status,
        )
        self.records.append(record)
        self.next_sequence += 1
        return record

    def measure_ketone(self, mmol_l: Decimal) -> GlucoseRecord:
        """A ketone strip, sent as a glucose record whose context says otherwise: tenths of mmol/L as mg/dL."""
        record = replace(self.measure(mmol_l, meal=MEAL_KETONE), value=mmol_l.scaleb(1 - 5), molar=False)
        self.records[-1] = record
        return record

    def lose_memory(self) -> None:
        """A battery change that also lost the counter: the only case where a sequence restarts."""
        self.records.clear()
        self.next_sequence = 0

    def own_characteristics(self) -> tuple[Characteristic, ...]:
        """See VirtualMeter."""
        return (
            Characteristic(service=GLUCOSE, channel=MEASUREMENT, properties=frozenset({"notify"})),
            Characteristic(service=GLUCOSE, channel=CONTEXT, properties=frozenset({"notify"})),
            Characteristic(service=GLUCOSE, channel=FEATURE, properties=frozenset({"read"})),
            Characteristic(
                service=GLUCOSE,
                channel=CONTROL_POINT,
                properties=frozenset({"write", "indicate"}),
                protected=True,
            ),
            Characteristic(service=CURRENT_TIME, channel="2a2b", properties=frozenset({"read"})),
        )

    def read(self, channel: str) -> bytes:
        """See VirtualMeter."""
        if channel == FEATURE:
            return (0x03FF).to_bytes(2, "little")  # every status bit is reported, one bond
        return super().read(channel)

    def write(self, channel: str, data: bytes, subscribed: frozenset[str]) -> Iterator[Outgoing]:
        """See VirtualMeter."""
        if not {MEASUREMENT, CONTROL_POINT} <= subscribed:
            raise Declined(AttError.CCCD_IMPROPERLY_CONFIGURED)
        if data[:1] == bytes([Op.ABORT]):
            self._running = None
            return iter((_answer(Op.ABORT, Answer.SUCCESS),))
        if self._running is not None:
            raise Declined(AttError.PROCEDURE_ALREADY_IN_PROGRESS)
        running = self._procedure(data)
        self._running = running
        return self._until_aborted(running)

    def on_link_lost(self) -> None:
        """See VirtualMeter; a lost link ends the procedure."""
        self._running = None

    def _until_aborted(self, procedure: Iterator[Outgoing]) -> Iterator[Outgoing]:
        for outgoing in procedure:
            if self._running is not procedure:
                return
            if outgoing.channel == CONTROL_POINT:
                # The response is the procedure's last word: the next one may start as soon as it is out.
                self._running = None
            yield outgoing
        self._running = None if self._running is procedure else self._running

    def _procedure(self, request: bytes) -> Iterator[Outgoing]:
        if len(request) < 2:
            yield _answer(request[0] if request else 0, Answer.OP_NOT_SUPPORTED)
            return
        op = request[0]
        if op not in (Op.REPORT, Op.DELETE, Op.COUNT):
            yield _answer(op, Answer.OP_NOT_SUPPORTED)
            return
        chosen = self._choose(request[1], request[2:])
        if isinstance(chosen, Answer):
            yield _answer(op, chosen)
        elif op == Op.COUNT:
            count = len(chosen).to_bytes(2, "little")
            yield Outgoing(CONTROL_POINT, bytes([Op.COUNT_RESPONSE, 0]) + count, indicate=True)
        elif not chosen:
            yield _answer(op, Answer.NO_RECORDS_FOUND)
        elif op == Op.DELETE:
            self.records = [record for record in self.records if record not in chosen]
            yield _answer(op, Answer.SUCCESS)
        else:
            yield from self._report(chosen)

    def _report(self, chosen: list[GlucoseRecord]) -> Iterator[Outgoing]:
        for record in chosen:
            for _ in range(2 if self.faults.duplicate else 1):
                yield Outgoing(MEASUREMENT, record.measurement())
                context = record.context()
                if context is not None:
                    yield Outgoing(CONTEXT, context)
        if not self.faults.no_racp_response:
            yield _answer(Op.REPORT, Answer.SUCCESS)

    def _choose(self, operator: int, operand: bytes) -> list[GlucoseRecord] | Answer:
        if operator in (1, 5, 6) and operand:
            return Answer.INVALID_OPERAND
        match operator:
            case 0:
                return Answer.INVALID_OPERATOR
            case 1:
                return list(self.records)
            case 3:
                if operand[:1] != b"\x01":
                    return Answer.OPERAND_NOT_SUPPORTED  # filtering by user-facing time is optional
                if len(operand) != 3:
                    return Answer.INVALID_OPERAND
                least = int.from_bytes(operand[1:], "little")
                return [record for record in self.records if record.sequence >= least]
            case 5:
                return self.records[:1]
            case 6:
                return self.records[-1:]
            case _:
                return Answer.OPERATOR_NOT_SUPPORTED


def _answer(op: int, answer: Answer) -> Outgoing:
    return Outgoing(CONTROL_POINT, bytes([Op.RESPONSE, 0, op, answer]), indicate=True)
