"""A virtual Lepu LPM-311: shows one result, and tells it to whoever says `connect`.

Written from the layout in the maker's kit. The line is `line`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from gateway.simulators.line import LineMeter

SERVICE, CHANNEL = "ffe0", "ffe1"

_NOT_MEASURED = "ffffffff"


@dataclass(kw_only=True)
class Lpm311Meter(LineMeter):
    """Values are in its unit; None is what it could not measure."""

    in_mg_dl: bool = False
    user: str = "001"
    is_released: bool = False
    _shown: bytes = b""

    def measure(
        self,
        total_cholesterol: Decimal | None,
        hdl: Decimal | None,
        triglyceride: Decimal | None,
        *,
        at: datetime | None = None,
    ) -> None:
        """Takes one measurement; it is on the display until the next."""
        fields = "".join(map(self._field, (total_cholesterol, hdl, triglyceride)))
        time = (at or self.clock()).strftime("%Y%m%d%H%M%S")
        self._shown = f"{time},{fields},{self.in_mg_dl:d}{self.user:3.3}".encode()

    def _field(self, value: Decimal | None) -> str:
        if value is None:
            return _NOT_MEASURED
        return f"{int(value if self.in_mg_dl else value * 100):08x}"

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter."""
        if data == b"connect" and self._shown:
            yield self._shown
        elif data == b"disconnect":
            self.is_released = True
