"""The messages themselves: a reading, an answer given at the dock, the batch they travel in, the receipt that
answers it, a gateway's status.

It holds shapes only. `codec` turns them into bytes and back, `topics` says where they go.
"""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import msgspec

from gateway.wire.vocabulary import Kind, Meal, OffScale

VERSION = 1
"""The wire version. It changes only when an old reader would misunderstand a message; see `codec`."""
WITH_ANSWERS = 2
"""The version of a batch that carries answers: a cloud of version 1 would pass over them and receipt the batch,
and the gateway would forget them. This way it sets the batch aside, to be replayed after its next update."""

MAX_BATCH_READINGS = 200
MAX_BATCH_BYTES = 256 * 1024
"""A batch of 200 readings is about 160 kB; above this a message is set aside unread (and still receipted)."""


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every wire shape: immutable, by keyword, defaults left out of the bytes."""


class Purpose(StrEnum):
    """What a measurement was for. Only `patient` may ever become a member's reading."""

    PATIENT = "patient"
    CONTROL = "control"  # control solution or quality control run


class Quality(StrEnum):
    """What plausibility made of the numbers. `rejected` is kept as evidence and shown to no rule."""

    PLAUSIBLE = "plausible"
    FLAGGED = "flagged"
    REJECTED = "rejected"


class TimeQuality(StrEnum):
    """How `taken_at` is known; see `gateway.vouch`."""

    DEVICE = "device"  # the meter's clock, seen to agree with the gateway's
    CORRECTED = "corrected"  # the meter's clock plus the offset measured in the same conversation
    GATEWAY = "gateway"  # seen being taken: it was measured when it arrived, whatever the meter's clock says
    UNTRUSTED = "untrusted"  # nobody's clock can be believed


class Device(Message, frozen=True, kw_only=True):
    """A meter. `key` is what identifies it for ever: its serial number, else its address."""

    key: str
    maker: str = ""
    model: str = ""
    serial: str = ""
    address: str = ""
    firmware: str = ""


class Shown(Message, frozen=True, kw_only=True):
    """What the meter itself declared, kept beside the converted value: `value` in `unit`, untouched."""

    quantity: str
    value: str
    unit: str


class TakenAt(Message, frozen=True, kw_only=True):
    """The three times of a reading, and the one to use."""

    at: datetime  # UTC, what every screen and rule uses
    quality: TimeQuality
    received: datetime  # UTC, the gateway's clock when the bytes arrived
    device: str = ""  # naive ISO 8601, exactly what the meter said
    offset_s: float | None = None  # gateway minus meter, measured in the same conversation
    early_s: float = 1.0  # it may have been so much earlier than `at`: what a clock shows is cut off, not rounded


TAIL_ONLY = "TAIL-"
"""How the code of a visit begins of which only the end of a phone number is known. Never looked up as a card."""
CANDIDATE = "Q-"
"""How a code begins that the cloud made for one question of one dock: for who stands there now, nobody else."""


class Visit(Message, frozen=True, kw_only=True):
    """Evidence of who stood at the slot: an opened visit. The gateway reports it; only the cloud decides."""

    id: UUID
    code: str  # as scanned or typed: a member card, a member code
    slot: str
    opened: datetime
    closed: datetime | None = None
    staff: str = ""


class Reading(Message, frozen=True, kw_only=True):
    """One physical measurement, vouched for by a gateway.

    `id` comes from the event itself (device key, kind, the meter's own record key), so sending it twice is
    harmless. `values` are canonical decimals by quantity name; `off_scale` holds HI/LO for quantities that have
    no number.
    """

    id: UUID
    kind: Kind
    device: Device
    record_key: str
    time: TakenAt
    conversation: UUID
    driver: str
    values: dict[str, Decimal] = {}
    off_scale: dict[str, OffScale] = {}
    shown: tuple[Shown, ...] = ()
    meal: Meal = Meal.UNKNOWN
    purpose: Purpose = Purpose.PATIENT
    quality: Quality = Quality.PLAUSIBLE
    quality_why: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()  # what the meter said about the measurement: body_movement, irregular_pulse ...
    user_slot: str = ""
    visit: Visit | None = None


class Asked(StrEnum):
    """What somebody at the dock was asked about a reading."""

    MEAL = "meal"  # values: one word of `Meal`
    SYMPTOMS = "symptoms"  # values: symptom codes of the clinical rules; none of them: none
    FIRST_AID = "first_aid"  # values: the rule whose card staff have read and put away
    WHOSE = "whose"  # values: VISITOR or SOMEBODY_ELSE, and the code of the visit that is meant


VISITOR = "visitor"
"""Answer to WHOSE: whoever stands there measured it. Evidence from a person where clocks leave a doubt."""
SOMEBODY_ELSE = "somebody_else"
"""Answer to WHOSE: not the visitor, also where the clocks say so."""


class Answer(Message, frozen=True, kw_only=True):
    """What a person at the dock said about one reading. Evidence like a reading: kept, sent once, never edited.

    A later answer to the same question takes the place of an earlier one. `id` names this one answer for ever.
    """

    id: UUID
    reading: UUID
    what: Asked
    values: tuple[str, ...] = ()
    at: datetime  # UTC, the gateway's clock
    slot: str
    staff: str = ""
    visit: UUID | None = None  # the visit open at the slot


class Batch(Message, frozen=True, kw_only=True):
    """Up to MAX_BATCH_READINGS readings and answers in the order they were saved, an answer never before the
    reading it is about. The same batch until it is settled."""

    id: UUID
    gateway: str
    sent: datetime
    readings: tuple[Reading, ...]
    answers: tuple[Answer, ...] = ()
    v: int = VERSION


class Outcome(StrEnum):
    """What became of a batch."""

    ACCEPTED = "accepted"
    SET_ASIDE = "set_aside"  # kept as dead letters for a person to look at; the gateway may forget it


class Receipt(Message, frozen=True, kw_only=True):
    """Sent after the cloud's commit: from here on the cloud holds the batch, and the gateway may let go."""

    batch: UUID
    outcome: Outcome
    stored: int = 0  # new in the ledger
    known: int = 0  # were there already
    set_aside: int = 0  # kept as dead letters
    reason: str = ""  # the dead letter's class, when anything was set aside
    v: int = VERSION


class Status(Message, frozen=True, kw_only=True):
    """A gateway's health, retained on its status topic; the broker publishes `online: false` as its will."""

    gateway: str
    online: bool
    at: datetime | None = None
    started: datetime | None = None
    software: str = ""
    unsent: int = 0
    oldest_unsent_s: int | None = None
    disk_free_mb: int | None = None
    clock_trusted: bool = False
    transports: dict[str, str] = {}  # name -> ok | silent | absent | failed
    meters: dict[str, datetime] = {}  # device key -> last seen
    v: int = VERSION


class Ask(Message, frozen=True, kw_only=True):
    """Somebody at a dock has no card and gives the end of a phone number. Worth an answer for seconds only."""

    id: UUID
    gateway: str
    tail: str  # four digits
    slot: str = ""
    staff: str = ""
    v: int = VERSION


class Found(StrEnum):
    """What became of the question."""

    SOME = "some"
    NOBODY = "nobody"
    TOO_MANY = "too_many"  # more than a person should be shown to find one
    TOO_OFTEN = "too_often"  # this gateway has asked enough for now


class Candidate(Message, frozen=True, kw_only=True):
    """Somebody who may be meant, shown as far as staff need to ask "is that you?". `code` opens a visit of theirs;
    it was made for this question, means nothing elsewhere and is on no card."""

    code: str
    name: str  # 张**
    sex: str  # FHIR administrative gender
    born: int | None = None  # the decade: 1950


class Told(Message, frozen=True, kw_only=True):
    """The answer to one Ask."""

    ask: UUID
    found: Found
    candidates: tuple[Candidate, ...] = ()
    v: int = VERSION
