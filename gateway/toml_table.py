"""One table of a TOML file, read key by key: what is missing, wrong or unknown is complained of by name.

Which keys there are is the reader's (`gateway.config`).
"""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any


class Table:
    """One TOML table being read: every getter takes its key out, and notes a problem instead of raising."""

    def __init__(self, file: str, name: str, content: Mapping[str, Any], problems: list[str]) -> None:
        self._file = file
        self._name = name
        self._left = dict(content)
        self._known: list[str] = []
        self._problems = problems

    def complain(self, key: str, found: str, expected: str) -> None:
        where = f"{self._name}.{key}" if self._name else key
        self._problems.append(f"{self._file}: {where}: {found}; expected {expected}")

    def has(self, key: str) -> bool:
        return key in self._left

    def _take(self, key: str, default: Any, expected: str) -> Any:
        self._known.append(key)
        if key in self._left:
            return self._left.pop(key)
        if default is None:
            self.complain(key, "missing", expected)
        return default

    def _typed(self, key: str, value: Any, kind: type | tuple[type, ...], expected: str) -> bool:
        # In Python True is an integer; in a settings file it is a mistake.
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return True
        if value is not None:
            self.complain(key, f"found {value!r}", expected)
        return False

    def text(
        self,
        key: str,
        default: str | None,
        pattern: re.Pattern[str] | None = None,
        expected: str = "text in quotes",
    ) -> str:
        value = self._take(key, default, expected)
        if not self._typed(key, value, str, expected):
            return default or ""
        if (pattern and not pattern.fullmatch(value)) or (default is None and not value):
            self.complain(key, f"found {value!r}", expected)
        return str(value)

    def choice(self, key: str, default: str, allowed: tuple[str, ...]) -> str:
        expected = " or ".join(repr(one) for one in allowed)
        value = self._take(key, default, expected)
        if value not in allowed:
            self.complain(key, f"found {value!r}", expected)
            return default
        return str(value)

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        expected = f"a whole number from {low} to {high}"
        value = self._take(key, default, expected)
        if not self._typed(key, value, int, expected):
            return default
        if not low <= value <= high:
            self.complain(key, f"found {value!r}", expected)
        return int(value)

    def number(self, key: str, default: float, low: float, high: float) -> float:
        expected = f"a number from {low:g} to {high:g}"
        value = self._take(key, default, expected)
        if not self._typed(key, value, (int, float), expected):
            return default
        if not low <= value <= high:
            self.complain(key, f"found {value!r}", expected)
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self._take(key, default, "true or false")
        return bool(value) if self._typed(key, value, bool, "true or false") else default

    def flag_or_none(self, key: str) -> bool | None:
        if self.has(key):
            return self.flag(key, False)
        self._known.append(key)
        return None

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        expected = 'a list of texts like ["one", "two"]'
        value = self._take(key, default, expected)
        if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
            return tuple(value)
        if value is not None:
            self.complain(key, f"found {value!r}", expected)
        return ()

    def path(self, key: str, here: Path, *, required: bool = True) -> Path | None:
        expected = "a path in quotes"
        value = self._take(key, None if required else "", expected)
        if not self._typed(key, value, str, expected) or not value:
            return None
        return here / Path(value).expanduser()

    def file(self, key: str, here: Path, *, required: bool = True) -> Path | None:
        """A path to a file that this user can read, now: later nobody is there to read the complaint."""
        path = self.path(key, here, required=required)
        if path is not None and not (path.is_file() and os.access(path, os.R_OK)):
            why = "cannot be read by this user" if path.exists() else "there is no such file"
            self.complain(key, f"{path}: {why}", "a readable file")
        return path

    def left(self) -> list[str]:
        return list(self._left)

    def secret(self, key: str, pattern: re.Pattern[str], expected: str) -> str | None:
        """A text that a complaint does not repeat."""
        value = self._take(key, None, expected)
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        self.complain(key, "not that", expected)
        return None

    def table(self, key: str, *, required: bool = False) -> "Table":
        name = f"{self._name}.{key}" if self._name else key
        value = self._take(key, None if required else {}, f"a table [{name}]")
        if not isinstance(value, dict):
            if value is not None:
                self.complain(key, f"found {type(value).__name__}", f"a table [{name}]")
            return Table(self._file, name, {}, [])  # its own keys are not missing: the table is
        return Table(self._file, name, value, self._problems)

    def tables(self, key: str) -> list["Table"]:
        value = self._take(key, [], f"tables [[{key}]]")
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            self.complain(key, f"found {value!r}", f"tables [[{key}]]")
            return []
        return [
            Table(self._file, f"{key}[{number}]", one, self._problems) for number, one in enumerate(value, start=1)
        ]

    def forbid(self, key: str, instead: str) -> None:
        if self._left.pop(key, None) is not None:
            self.complain(key, "does not belong into a file", instead)

    def nothing_else(self) -> None:
        for key in self._left:
            close = get_close_matches(key, self._known, n=1)
            hint = f"{close[0]!r} (did you mean that?)" if close else f"one of {', '.join(self._known)}"
            self.complain(key, "unknown", hint)
