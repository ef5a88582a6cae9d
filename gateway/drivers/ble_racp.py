"""The Record Access Control Point (0x2A52): how a Bluetooth meter is asked for its stored records.

Shared by every service that has one. What the records are is each driver's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

from gateway.conversation import Decoder, Garbled
from gateway.drivers.ble_time import take_date_time
from gateway.drivers.cursor import Cursor, name_of

RACP = "2a52"


class Op(IntEnum):
    """What is asked or answered."""

    REPORT = 1
    DELETE = 2  # never sent: a meter's memory is not ours to clear
    ABORT = 3
    REPORT_NUMBER = 4
    NUMBER = 5
    RESPONSE = 6


class Operator(IntEnum):
    """Of which records."""

    NULL = 0
    ALL = 1
    LESS_OR_EQUAL = 2
    GREATER_OR_EQUAL = 3
    RANGE = 4
    FIRST = 5
    LAST = 6


class Code(IntEnum):
    """How a request ended."""

    SUCCESS = 1
    OP_NOT_SUPPORTED = 2
    INVALID_OPERATOR = 3
    OPERATOR_NOT_SUPPORTED = 4
    INVALID_OPERAND = 5
    NO_RECORDS_FOUND = 6  # an empty memory, not an error
    ABORT_UNSUCCESSFUL = 7
    PROCEDURE_NOT_COMPLETED = 8
    OPERAND_NOT_SUPPORTED = 9


class Filter(IntEnum):
    """By what records are chosen."""

    SEQUENCE_NUMBER = 1
    USER_FACING_TIME = 2


REPORT_ALL = bytes([Op.REPORT, Operator.ALL])
COUNT_ALL = bytes([Op.REPORT_NUMBER, Operator.ALL])
ABORT = bytes([Op.ABORT, Operator.NULL])


def report_from(sequence_number: int) -> bytes:
    """The request for every record numbered `sequence_number` or higher."""
    head = bytes([Op.REPORT, Operator.GREATER_OR_EQUAL, Filter.SEQUENCE_NUMBER])
    return head + sequence_number.to_bytes(2, "little")


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The meter's last word on a request."""

    request_op: int
    code: int

    @property
    def name(self) -> str:
        """The code as a word."""
        return name_of(self.code, _CODE_NAMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """The meter's answer to "how many?"."""

    count: int
    operand_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a collector asks; read only by people, simulators and `decode`."""

    op: Op
    operator: int
    operand: dict[str, Any]


Said: TypeAlias = Response | Count | Request


def parse(data: bytes) -> Said:
    """One control point value; raises Garbled: truncated, range, operator_must_be_null, length, trailing_bytes."""
    cursor = Cursor(data)
    op, operator = cursor.u8(), cursor.u8()
    if op not in _OP_NAMES:
        raise Garbled("range")
    if op in (Op.ABORT, Op.NUMBER, Op.RESPONSE) and operator != Operator.NULL:
        raise Garbled("operator_must_be_null")
    match op:
        case Op.NUMBER:
            return _count(cursor.rest())
        case Op.RESPONSE:
            response = Response(request_op=cursor.u8(), code=cursor.u8())
            cursor.end()
            return response
        case _:
            request = Request(op=Op(op), operator=operator, operand=_operand(operator, cursor))
            cursor.end()
            return request


def _count(operand: bytes) -> Count:
    if not operand:
        raise Garbled("truncated")
    if len(operand) not in (1, 2, 4):  # GLS says 2; 1 and 4 are seen in the field
        raise Garbled("length")
    return Count(count=int.from_bytes(operand, "little"), operand_bytes=len(operand))


def _operand(operator: int, cursor: Cursor) -> dict[str, Any]:
    match operator:
        case Operator.LESS_OR_EQUAL | Operator.GREATER_OR_EQUAL:
            ends = [""]  # the operator says which end it is
        case Operator.RANGE:
            ends = ["_min", "_max"]
        case Operator.NULL | Operator.ALL | Operator.FIRST | Operator.LAST:
            return {}
        case _:
            raise Garbled("range")
    filter_type = cursor.u8()
    match filter_type:
        case Filter.SEQUENCE_NUMBER:
            bounds: dict[str, Any] = {f"sequence_number{end}": cursor.u16() for end in ends}
        case Filter.USER_FACING_TIME:
            bounds = {f"user_facing_time{end}": take_date_time(cursor).text() for end in ends}
        case _:
            raise Garbled("range")
    return {"filter_type": filter_type, "filter_name": Filter(filter_type).name.lower(), **bounds}


_OP_NAMES = {
    1: "report_records",
    2: "delete_records",
    3: "abort",
    4: "report_number",
    5: "number_response",
    6: "response",
}
_OPERATOR_NAMES = {
    0: "null",
    1: "all",
    2: "less_or_equal",
    3: "greater_or_equal",
    4: "range",
    5: "first",
    6: "last",
}
_CODE_NAMES: dict[int, str] = {code: code.name.lower() for code in Code}


def decode(data: bytes) -> dict[str, Any]:
    """One control point value as fields."""
    said = parse(data)
    op, operator = data[0], data[1]
    fields: dict[str, Any] = {
        "op": op,
        "op_name": _OP_NAMES[op],
        "operator": operator,
        "operator_name": name_of(operator, _OPERATOR_NAMES),
    }
    match said:
        case Count():
            return fields | {"count": said.count, "operand_bytes": said.operand_bytes}
        case Response():
            return fields | {
                "request_op": said.request_op,
                "request_op_name": name_of(said.request_op, _OP_NAMES),
                "response_code": said.code,
                "response_name": said.name,
                "ok": said.code in (Code.SUCCESS, Code.NO_RECORDS_FOUND),
            }
        case Request():
            return fields | said.operand


DECODERS: Mapping[str, Decoder] = {"ble.racp": decode}
