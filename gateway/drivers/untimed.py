"""Results that carry neither time nor number, and that cuffs tell again and again: which of them are new.

What a result says is each driver's own. Where a meter names its results, by whatever, none of this is needed.
"""

from gateway.conversation import Step, remember
from gateway.drivers.ble_told import FIRST_TIMEOUT_S, IDLE_TIMEOUT_S


class Untimed:
    """A result that is the last one byte for byte counts once, unless a measurement was seen going on between.

    The last one is remembered over conversations: `last` is `Context.last_record`.
    """

    def __init__(self, last: str | None) -> None:
        self.count = 0  # results told in this conversation, new or not
        self.seen = False  # the last of them was seen being taken
        self._last = last
        self._going_on = False

    @property
    def is_going_on(self) -> bool:
        """Whether a measurement was seen going on, whose result is still to come."""
        return self._going_on

    @property
    def patience_s(self) -> float:
        """How long to wait for more: shortly after a result, else for a measurement to begin or to go on."""
        return IDLE_TIMEOUT_S if self.count and not self._going_on else FIRST_TIMEOUT_S

    def going_on(self) -> None:
        """A measurement is seen going on: the next result is its."""
        self._going_on = True

    def came_to_nothing(self) -> None:
        """The measurement that went on has no result: the next one told is another's."""
        self._going_on = False

    def is_new(self, result: bytes) -> bool:
        """Takes a result that was told; whether it is another one than the last."""
        self.count += 1
        self.seen, self._going_on = self._going_on, False
        again = not self.seen and result.hex() == self._last
        self._last = result.hex()
        return not again

    def keep(self) -> Step[None]:
        """Remembers the last one for the next conversation; to be called when it is on disk."""
        yield from remember(self._last or "")
