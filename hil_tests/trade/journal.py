"""What the gateway wrote down of what meters said, read out of its outbox from outside.

What should be in there is `truth`'s business.
"""

import json
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from uuid import UUID

from gateway.buffer.opening import LIVE
from gateway.buffer.schema import FILE_NAME, connect_to_read, unseal
from gateway.docking import HEADER


class Journal:
    """The bytes of every conversation, as they were when it was read."""

    def __init__(self, directory: Path) -> None:
        """`directory` is the outbox's; where there is none yet, nothing was written down."""
        self._said: dict[str, list[bytes]] = defaultdict(list)
        file = directory / LIVE / FILE_NAME
        if not file.exists():
            return
        with closing(connect_to_read(file)) as connection:
            rows = connection.execute("SELECT conversation, channel, data FROM journal ORDER BY seq").fetchall()
        addresses: dict[UUID, str] = {}
        streams: dict[tuple[UUID, str], bytes] = defaultdict(bytes)
        for conversation, channel, sealed in rows:
            key, data = UUID(bytes=conversation), unseal(sealed) or b""
            if channel == HEADER:
                addresses[key] = json.loads(data)["address"]
            else:
                streams[key, channel] += data
        for (key, _), stream in streams.items():
            self._said[addresses[key]].append(stream)

    def has(self, address: str, frame: bytes) -> bool:
        """Whether one conversation with the meter at `address` has all of `frame`."""
        return any(frame in stream for stream in self._said[address])
