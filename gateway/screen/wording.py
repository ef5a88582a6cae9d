"""One reader of the screen: the language, and the time zone that a moment is told in. Pure.

The words themselves are in the templates, in the modules that use this one, and in locale/.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.clinical import Text
from gateway.i18n import Translate, translator
from gateway.wire.vocabulary import KINDS, MEAL_LABELS, Kind, Meal

CHINESE = "zh_CN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """How things are said to one reader. `say` turns an English text into theirs."""

    say: Translate
    chinese: bool
    local: timedelta  # of the store's zone to UTC

    @classmethod
    def of(cls, language: str, local_utc_offset_min: int) -> "Wording":
        """The wording for readers of `language` in that zone."""
        return cls(
            say=translator(language),
            chinese=language == CHINESE,
            local=timedelta(minutes=local_utc_offset_min),
        )

    def text(self, text: Text) -> str:
        """One of the clinical texts."""
        return text.zh if self.chinese else text.en

    def kind(self, kind: Kind) -> str:
        """What was measured."""
        return KINDS[kind].zh if self.chinese else KINDS[kind].en

    def meal(self, meal: Meal) -> str:
        """When a glucose was taken."""
        return MEAL_LABELS[meal][0 if self.chinese else 1]

    def unit(self, unit: str) -> str:
        """A unit of the vocabulary, in this language."""
        return unit if self.chinese else unit.replace("次/分", "/min")

    def listed(self, things: tuple[str, ...]) -> str:
        """Several things in a row."""
        return ("、" if self.chinese else ", ").join(things)

    def labelled(self, label: str, text: str) -> str:
        """`text` and what it is about."""
        return f"{label}{'：' if self.chinese else ': '}{text}"

    def moment(self, at: datetime, now: datetime) -> str:
        """A time of today, or a date and a time."""
        there, today = at + self.local, now + self.local
        return there.strftime("%H:%M" if there.date() == today.date() else "%Y-%m-%d %H:%M")

    def ago(self, at: datetime, now: datetime) -> str:
        """How long before `now` something happened; a moment that cannot be told is "just now"."""
        seconds = (now - at).total_seconds()
        _ = self.say
        if seconds < 60:
            return _("just now")
        if seconds < 3600:
            return _("{n} min ago").format(n=int(seconds // 60))
        if seconds < 86400:
            return _("{n} h ago").format(n=int(seconds // 3600))
        return _("{n} days ago").format(n=int(seconds // 86400))

    def lasting(self, seconds: float) -> str:
        """A length of time in its one or two largest units: 3 min 20 s, 2 h 5 min, 4 days 1 h."""
        _ = self.say
        whole = int(abs(seconds))
        days, hours, minutes = whole // 86400, whole % 86400 // 3600, whole % 3600 // 60
        parts = (
            (days, _("{n} days")),
            (hours, _("{n} h")),
            (minutes, _("{n} min")),
            (whole % 60, _("{n} s")),
        )
        first = next((i for i, (n, _words) in enumerate(parts) if n), len(parts) - 1)
        return " ".join(words.format(n=n) for n, words in parts[first : first + 2] if n or n == whole)
