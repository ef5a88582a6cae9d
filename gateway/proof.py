"""How sure a driver is of what it reads: what is public of its meters' results, and what remains in doubt.

Facts that programs compare. The rest is in a driver's prose, `Driver.proven_by`; what staff read for each is
`gateway.screen.meters`'.
"""

from collections.abc import Set
from enum import StrEnum


class Proof(StrEnum):
    """The strongest evidence there is of how these meters write a result."""

    CAPTURED = "captured"  # bytes of a result: a real meter sent them, or its maker gives them as an example
    AGREED = "agreed"  # no such bytes; sources that do not know each other agree, or the maker's document says it
    ONE_SOURCE = "one_source"  # one program or one description, and nothing else


class Doubt(StrEnum):
    """What of a driver is less sure than its `Proof`: from one source alone, assumed, or never seen."""

    VALUES = "values"  # some of the quantities it measures
    MODELS = "models"  # some of its models
    CONTROL = "control"  # a control solution may count as a person's
    UNITS = "units"  # a unit that the evidence does not show
    OFF_SCALE = "off_scale"  # HI and LO
    TIMES = "times"  # when a result was taken
    MEMORY = "memory"  # results told out of its memory
    CLOCK = "clock"  # setting its clock
    ERRORS = "errors"  # what it says when it measured nothing
    ASKING = "asking"  # what it wants before it answers


OF_THE_VALUE = frozenset({Doubt.VALUES, Doubt.MODELS, Doubt.CONTROL})
"""Doubts that a look at the meter's own display settles."""


def to_compare(proof: Proof, doubts: Set[Doubt]) -> bool:
    """Whether staff should compare each value with the meter's display."""
    return proof is not Proof.CAPTURED or not doubts.isdisjoint(OF_THE_VALUE)
