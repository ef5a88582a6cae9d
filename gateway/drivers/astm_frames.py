"""ASTM E1381 (LIS1-A) frames and E1394 (LIS2-A2) records: from a line's bytes to a message's fields, and back to
an acknowledgement.

What a test is called by which analyser, and what is said when, is `astm`'s.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.conversation import Decoder, Garbled
from gateway.drivers.framing import Framer

STX, ETX, EOT, ENQ, ACK, NAK, ETB = b"\x02", b"\x03", b"\x04", b"\x05", b"\x06", b"\x15", b"\x17"
CR, LF = b"\r", b"\n"

CHECKSUM_BYTES = 2
NUMBERS = 8  # frames are numbered 1, 2 ... 7, 0, 1 ...
MAX_MESSAGE_BYTES = 64 * 1024
"""A message with a hundred results has 10 kB; beyond this it is none."""

ENQS_IN_A_ROW = 2
"""One within a transfer may be noise; two in a row are meant."""

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""What stands in no text: all control characters but CR, LF and TAB."""


# --- bytes to frames ---------------------------------------------------------------------------------------


def cut(buffer: bytes) -> int:
    """For a Framer: a frame with its line end, a single ENQ or EOT, or a stray line end."""
    first = buffer[:1]
    if first in (ENQ, EOT, CR, LF):
        return 1
    if first != STX:
        return -(_first_of(buffer, 0, STX, ENQ, EOT) or len(buffer))
    end = _first_of(buffer, 1, ETX, ETB)
    again = _first_of(buffer, 1, STX, ENQ, EOT)
    if again and (not end or again < end):
        return -again  # this frame was cut off
    size = end + 1 + CHECKSUM_BYTES
    if not end or len(buffer) <= size:
        return 0
    if buffer[size : size + 2] == CR + LF:
        return size + 2
    return size + 1 if buffer[size : size + 1] in (CR, LF) else size


def _first_of(buffer: bytes, start: int, *wanted: bytes) -> int:
    """Where the first of `wanted` stands, from `start` on; 0 if nowhere."""
    return min((at for each in wanted if (at := buffer.find(each, start)) > 0), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame: `last` if it ends with ETX, so that a record ends with it too."""

    number: int
    body: bytes
    last: bool
    checksum: str


def frame_of(data: bytes) -> Frame:
    """A frame with its line end, CR LF or one of them.

    Raises Garbled: no_stx, truncated, trailing_bytes, checksum, control_character, frame_number.
    """
    if not data.startswith(STX):
        raise Garbled("no_stx" if data else "truncated")
    end = _first_of(data, 1, ETX, ETB)
    declared, tail = data[end + 1 : end + 1 + CHECKSUM_BYTES], data[end + 1 + CHECKSUM_BYTES :]
    if not end or len(declared) < CHECKSUM_BYTES or not tail:
        raise Garbled("truncated")
    if tail not in (CR, LF, CR + LF):
        raise Garbled("trailing_bytes")
    if declared.upper() != checksum(data[1 : end + 1]).encode():
        raise Garbled("checksum")
    if _CONTROL.search(data[2:end]):  # a zero byte that noise put in does not change a sum
        raise Garbled("control_character")
    number = data[1:2]
    if number not in (b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7"):
        raise Garbled("frame_number")
    return Frame(
        number=int(number), body=data[2:end], last=data[end : end + 1] == ETX, checksum=declared.decode("ascii")
    )


def checksum(data: bytes) -> str:
    """Of what stands between STX and the checksum, frame number and ETX or ETB included: bytes as sent."""
    return f"{sum(data) % 256:02X}"


def text_of(data: bytes) -> str:
    """What a sender wrote. No charset is declared: UTF-8, else GBK if all high bytes come in pairs, else Latin-1,
    which keeps a lone µ and loses nothing."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    if all(len(run) % 2 == 0 for run in re.findall(rb"[\x80-\xff]+", data)):
        try:
            return data.decode("gb18030")
        except UnicodeDecodeError:
            pass
    return data.decode("latin-1")


# --- frames to messages: the receiver ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a piece of line means: `reply` is sent after everything in `message` is safe; `error` is noted."""

    reply: bytes = b""
    message: bytes = b""  # records, each with its CR
    error: str = ""


@dataclass(slots=True)
class Receiver:
    """The receiving side of E1381. One transfer is ENQ, frames, EOT; a message ends with its L record, or with the
    transfer if the analyser writes none."""

    in_transfer: bool = False
    _text: bytes = b""  # of the message that has not ended
    _whole: bool = True  # whether _text ends where a record ends
    _last: bytes = b""  # the frame that was acknowledged last
    _number: int | None = None
    _refused: bool = False
    _enqs: int = 0  # in a row, within a transfer

    @property
    def is_amid_message(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._text)

    def hear(self, piece: bytes) -> Heard:
        """Takes what `cut` cut."""
        match piece:
            case b"\x05":
                return self._enq()
            case b"\x04":
                return self._eot()
            case b"\r" | b"\n":
                return Heard()
        if not self.in_transfer and not _begins_message(piece):
            # Without an ENQ nobody waits for an answer; or another gateway answered it, and has what came before.
            return Heard(error="frame_outside_transfer")
        return self._frame(piece)

    def _enq(self) -> Heard:
        error = ""
        if self.in_transfer:
            # Noise, and an ACK or NAK would be taken for the answer to a frame. Or the analyser gave up without an
            # EOT, or missed our ACK: then it hears nothing for 15 s, and says EOT or ENQ once more.
            self._enqs += 1
            if self._enqs < ENQS_IN_A_ROW:
                return Heard(error="garbled_enq")
            error = "message_cut_off" if self._text else ""
            self._forget()
        self.in_transfer = True
        return Heard(reply=ACK, error=error)

    def _eot(self) -> Heard:
        text, ended_well = self._text, self._whole and not self._refused
        self._forget()
        if not text:
            return Heard()
        return Heard(message=text) if ended_well else Heard(error="message_cut_off")

    def _frame(self, piece: bytes) -> Heard:
        self._enqs = 0
        try:
            frame = frame_of(piece)
        except Garbled as garbled:
            self._refused = True
            return Heard(reply=NAK, error=f"garbled_{garbled.error}")
        if piece == self._last:
            return Heard(reply=ACK)  # our ACK was lost: it is sent again, and the frame is not taken again
        awaited = 1 if self._number is None else (self._number + 1) % NUMBERS
        error = ""
        if frame.number != awaited:
            if not _begins_message(piece):
                self._refused = True
                return Heard(reply=NAK, error="garbled_frame_number")
            error = "message_cut_off" if self._text else ""  # it begins again, from the first frame on
            self._text = b""
        if len(self._text) + len(frame.body) > MAX_MESSAGE_BYTES:
            self._forget()
            return Heard(reply=EOT, error="garbled_too_long")  # E1381: a receiver's EOT asks to stop
        self.in_transfer, self._refused = True, False
        self._last, self._number, self._whole = piece, frame.number, frame.last
        self._text += frame.body
        if frame.last and not self._text.endswith(CR):
            self._text += CR
        if frame.last and _is_ended(self._text):
            text, self._text = self._text, b""
            return Heard(reply=ACK, message=text, error=error)
        return Heard(reply=ACK, error=error)

    def _forget(self) -> None:
        self.in_transfer, self._text, self._whole = False, b"", True
        self._last, self._number, self._refused, self._enqs = b"", None, False, 0


def _begins_message(piece: bytes) -> bool:
    return piece.startswith(STX + b"1H")


def _is_ended(text: bytes) -> bool:
    """Whether the last record is an L record: its letter, and no other letter after it."""
    last = text.replace(LF, CR).strip(CR).rpartition(CR)[2]
    return re.fullmatch(rb"L([^A-Za-z].*)?", last, re.DOTALL) is not None


# --- messages to fields ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Delimiters:
    """What a sender separates with, read from its H record."""

    field: str = "|"
    repeat: str = "\\"
    component: str = "^"
    escape: str = "&"

    @classmethod
    def of(cls, header: str) -> "Delimiters":
        """From the first five characters of an H record; raises Garbled("delimiters") unless they differ."""
        used = header[1:5]
        if len(set(used)) < len("|\\^&") or any(each.isalnum() or each.isspace() for each in used):
            raise Garbled("delimiters")
        return cls(field=used[0], repeat=used[1], component=used[2], escape=used[3])

    def plain(self, text: str) -> str:
        """`text` with its escapes undone: &F& is a field delimiter, and so on; what nobody defined stays."""
        meant = {"F": self.field, "R": self.repeat, "S": self.component, "E": self.escape}
        escape = re.escape(self.escape)
        return re.sub(f"{escape}([FRSE]){escape}", lambda found: meant[found[1]], text)


@dataclass(frozen=True, slots=True)
class Row:
    """One record; fields and components are counted from 1, as E1394 does. What is not there is ""."""

    text: str
    delimiters: Delimiters

    @property
    def kind(self) -> str:
        """Its letter: H, P, O, R, C, M, Q or L."""
        return self.text[:1]

    def raw(self, number: int) -> str:
        """A field as it stands."""
        fields = self.text.split(self.delimiters.field)
        return fields[number - 1] if number <= len(fields) else ""

    def field(self, number: int) -> str:
        """A field, escapes undone."""
        return self.delimiters.plain(self.raw(number))

    def component(self, number: int, of: int) -> str:
        """One component of a field, escapes undone, without blanks around it."""
        components = self.raw(number).split(self.delimiters.component)
        return self.delimiters.plain(components[of - 1]).strip() if of <= len(components) else ""

    def repeats(self, number: int) -> list[str]:
        """All that stands in a field that may hold several."""
        return [self.delimiters.plain(each).strip() for each in self.raw(number).split(self.delimiters.repeat)]


def rows_of(message: bytes) -> list[Row]:
    """The records of a message; raises Garbled("delimiters"). Without an H record they are the usual ones."""
    delimiters = Delimiters()
    rows = []
    for text in text_of(message).replace("\n", "\r").split("\r"):
        if text.startswith("H"):
            delimiters = Delimiters.of(text)
        if text:
            rows.append(Row(text, delimiters))
    return rows


def messages_in(rows: list[Row]) -> Iterator[list[Row]]:
    """`rows` cut before each H record: an analyser that writes no L records may say several messages at once."""
    message: list[Row] = []
    for row in rows:
        if row.kind == "H" and message:
            yield message
            message = []
        message.append(row)
    yield message


@dataclass(slots=True, kw_only=True)
class Order:
    """An O record and the results that follow it."""

    row: Row
    results: list[Row] = field(default_factory=list)


def orders_in(rows: list[Row]) -> Iterator[Order]:
    """Each order with its results; results without an order make one of their own."""
    order: Order | None = None
    for row in rows:
        if row.kind in ("H", "P", "O", "L"):
            if order is not None:
                yield order
            order = Order(row=row) if row.kind == "O" else None
        elif row.kind == "R":
            order = order or Order(row=Row("O", row.delimiters))
            order.results.append(row)
    if order is not None:
        yield order


# --- decoders ----------------------------------------------------------------------------------------------


def decode_checksum(data: bytes) -> dict[str, Any]:
    """The checksum of what stands between STX and it."""
    if not data:
        raise Garbled("truncated")
    return {"checksum": checksum(data)}


def decode_frame(data: bytes) -> dict[str, Any]:
    """One frame as fields; `records` may begin and end in the middle of one."""
    frame = frame_of(data)
    return {
        "frame_number": frame.number,
        "terminator": "ETX" if frame.last else "ETB",
        "checksum": frame.checksum,
        "records": [text for text in text_of(frame.body).split("\r") if text],
    }


def decode_message(data: bytes) -> dict[str, Any]:
    """A transfer, or its frames alone, as fields; a frame that was sent again counts once.

    Raises Garbled as `frame_of` does, and frame_sequence, delimiters, grammar.
    """
    pieces = Framer(cut)
    pieces.feed(data)
    frames: list[Frame] = []
    while (piece := pieces.take()) is not None:
        if piece in (ENQ, EOT, CR, LF):
            continue
        frame = frame_of(piece)
        if frames and frame == frames[-1]:
            continue
        if frames and frame.number != (frames[-1].number + 1) % NUMBERS and not _begins_message(piece):
            raise Garbled("frame_sequence")
        frames.append(frame)
    if left := pieces.flush():
        frame_of(left)
    if not frames:
        raise Garbled("no_stx" if data else "truncated")
    if pieces.skipped:
        raise Garbled("grammar")
    rows = rows_of(b"".join(frame.body + (CR if frame.last else b"") for frame in frames))
    header = next((row for row in rows if row.kind == "H"), None)
    fields: dict[str, Any] = {
        "frames": len(frames),
        "frame_numbers": [frame.number for frame in frames],
        "record_types": "".join(row.kind for row in rows),
        "records": [row.text for row in rows],
        "results": [_result_fields(row) for row in rows if row.kind == "R"],
    }
    if header is not None:
        fields |= {"sender": header.raw(5), "header_time": header.raw(14)}
    return fields


RESULT_FIELDS = {"test": 3, "value": 4, "units": 5, "flag": 7, "status": 9, "completed": 13}


def _result_fields(row: Row) -> dict[str, str]:
    """What an R record says, leaving out what it leaves out. Fields are whole, with escapes as they stand: undone,
    an escaped delimiter would look like one that divides components."""
    return {name: said for name, number in RESULT_FIELDS.items() if (said := row.raw(number))}


DECODERS: Mapping[str, Decoder] = {
    "astm.checksum": decode_checksum,
    "astm.frame": decode_frame,
    "astm.message": decode_message,
}
