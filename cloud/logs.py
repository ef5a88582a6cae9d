"""What the cloud's processes write into their logs: a line per event, and of an error its class and its places.

Never its words: PostgreSQL quotes the row it refuses, and a value, a name or a phone number is in that row. Done
in the formatter, so that no caller, and no library's own traceback, has to remember it.
"""

import logging
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

PROJECT = Path(__file__).resolve().parents[1]
FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"

_ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def configure() -> None:
    """Sends every log line of this process to stderr in this form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Discreet(FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


class Discreet(logging.Formatter):
    """Formats an exception without what it says."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        record.exc_text = None  # another handler may have left the whole text here
        return super().format(record)

    def formatException(self, ei: _ExcInfo) -> str:
        """See logging.Formatter."""
        return "\n".join(_told(ei[1])) if ei[1] is not None else ""


def _told(error: BaseException) -> Iterator[str]:
    """The class of `error` and where it passed, outermost first; then the same of what caused it."""
    yield f"{type(error).__module__}.{type(error).__qualname__}"
    for frame, line in traceback.walk_tb(error.__traceback__):
        yield f"  at {_short(frame.f_code.co_filename)}:{line} in {frame.f_code.co_name}"
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _told(one)
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield "because of"
        yield from _told(before)


def _short(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(PROJECT)) if path.is_relative_to(PROJECT) else "/".join(path.parts[-3:])
