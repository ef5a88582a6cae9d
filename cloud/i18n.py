"""The cloud's words in Chinese and English: msgids are English, the .po file is the Chinese, read as it is.

There is no compiled catalogue to forget. `python -m cloud.i18n check` proves that every msgid used in a template
or a module has a Chinese text and that no text is left over; `... missing` prints what to add. Labels of kinds,
meals and rules are data with both languages beside each other and stay where they are.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

ROOT = Path(__file__).parent
PO_FILE = ROOT / "locale" / "zh_CN" / "LC_MESSAGES" / "messages.po"
METHODS = [("crm/templates/**.html", "jinja2.ext:babel_extract"), ("**.py", "python")]
KEYWORDS = {"_": None, "N_": None}
"""`_` translates now; `N_` only marks a msgid kept as data, to be translated where it is shown."""

LANGUAGES = {"zh": "zh-CN", "en": "en"}
SHOWN_ZONE = ZoneInfo("Asia/Shanghai")
"""Stored UTC, shown here: every store of a chain is in China's one time zone."""
WEEKDAYS_ZH = "一二三四五六日"


def N_(msgid: str) -> str:
    """Marks `msgid` for translation where it is kept as data."""
    return msgid


@cache
def _chinese() -> dict[str, str]:
    with PO_FILE.open("rb") as file:
        catalog = read_po(file)
    return {str(m.id): str(m.string) for m in catalog if m.id and m.string and not m.fuzzy}


def is_known(msgid: str) -> bool:
    """Whether `msgid` is a text of ours."""
    return msgid in _chinese()


@dataclass(frozen=True, slots=True)
class Translator:
    """One reader's language: calls translate, `pick` chooses between two given texts, the rest writes times."""

    language: str = "zh"

    def __call__(self, msgid: str, **values: object) -> str:
        """`msgid` in this language with its %(name)s filled in."""
        words = _chinese().get(msgid, msgid) if self.language == "zh" else msgid
        return words % values if values else words

    def pick(self, zh: str, en: str) -> str:
        """Whichever of the two is this language."""
        return zh if self.language == "zh" else en

    @property
    def html_lang(self) -> str:
        """For <html lang>."""
        return LANGUAGES[self.language]

    def day(self, moment: datetime) -> str:
        """2026-11-21 周六."""
        local = moment.astimezone(SHOWN_ZONE)
        weekday = self.pick(f"周{WEEKDAYS_ZH[local.weekday()]}", f"{local:%a}")
        return f"{local:%Y-%m-%d} {weekday}"

    def minute(self, moment: datetime) -> str:
        """2026-11-21 周六 09:30."""
        return f"{self.day(moment)} {moment.astimezone(SHOWN_ZONE):%H:%M}"

    def short(self, moment: datetime, now: datetime) -> str:
        """11-21 09:30, with the year where it is another one."""
        local, today = moment.astimezone(SHOWN_ZONE), now.astimezone(SHOWN_ZONE)
        return f"{local:%m-%d %H:%M}" if local.year == today.year else f"{local:%Y-%m-%d %H:%M}"

    def age(self, moment: datetime, now: datetime) -> str:
        """How long ago, in the largest unit that says enough: 3 天前."""
        return self._span(now - moment, self(N_("just now")), self(N_("%(span)s ago")))

    def lasting(self, seconds: int) -> str:
        """For how long, in the largest unit that says enough: 3 天."""
        return self._span(timedelta(seconds=seconds), self(N_("less than a minute")), "%(span)s")

    def until(self, moment: datetime, now: datetime) -> str:
        """How long until then, or how much too late."""
        if moment >= now:
            return self._span(moment - now, self(N_("now")), self(N_("in %(span)s")))
        return self._span(now - moment, self(N_("now")), self(N_("%(span)s late")))

    def _span(self, span: timedelta, at_once: str, frame: str) -> str:
        minutes = int(span.total_seconds() // 60)
        if minutes < 1:
            return at_once
        if minutes < 60:
            words = self(N_("%(n)d min"), n=minutes)
        elif minutes < 48 * 60:
            words = self(N_("%(n)d h"), n=minutes // 60)
        elif minutes < 60 * 24 * 60:
            words = self(N_("%(n)d days"), n=minutes // (24 * 60))
        else:
            words = self(N_("%(n)d months"), n=minutes // (30 * 24 * 60))
        return frame % {"span": words}


def used() -> dict[str, list[str]]:
    """Every msgid in templates and modules, with where it stands."""
    found: dict[str, list[str]] = {}
    for name, line, message, _comments, _context in extract_from_dir(
        ROOT, method_map=METHODS, keywords=KEYWORDS, directory_filter=lambda path: "static" not in Path(path).parts
    ):
        if isinstance(message, str) and message:
            found.setdefault(message, []).append(f"{name}:{line}")
    return found


_PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%%")


def problems() -> Iterator[str]:
    """What keeps the Chinese from being complete: missing, fuzzy, left over, or with other placeholders."""
    with PO_FILE.open("rb") as file:
        catalog = read_po(file)
    wanted = used()
    texts = {str(m.id): m for m in catalog if m.id}
    for msgid, places in wanted.items():
        entry = texts.get(msgid)
        if entry is None or not entry.string:
            yield f"missing: {msgid!r} ({places[0]})"
        elif entry.fuzzy:
            yield f"fuzzy: {msgid!r}"
        elif sorted(_PLACEHOLDER.findall(msgid)) != sorted(_PLACEHOLDER.findall(str(entry.string))):
            yield f"placeholders differ: {msgid!r}"
    yield from (f"unused: {msgid!r}" for msgid in texts if msgid not in wanted)


def main(argv: list[str]) -> int:
    """`check` or `missing`; returns the exit status."""
    match argv:
        case ["check"]:
            found = list(problems())
            sys.stdout.write("".join(f"cloud/locale: {line}\n" for line in found))
            return 1 if found else 0
        case ["missing"]:
            have = set(_chinese())
            for msgid in sorted(set(used()) - have):
                escaped = msgid.replace("\\", "\\\\").replace('"', '\\"')
                sys.stdout.write(f'msgid "{escaped}"\nmsgstr ""\n\n')
            return 0
        case _:
            sys.stderr.write("usage: python -m cloud.i18n check|missing\n")
            return 2


def today(now: datetime) -> tuple[datetime, datetime]:
    """The first moment of the shown day that `now` falls in, and of the next; both UTC."""
    start = now.astimezone(SHOWN_ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    return start.astimezone(UTC), (start + timedelta(days=1)).astimezone(UTC)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
