"""The gateway's words in the reader's language: English in the code, Chinese in one .po file.

`python -m gateway.i18n check` proves that every word used is translated and none is left over. Names of kinds and
quantities are `gateway.wire.vocabulary`'s, words of judgement `gateway.clinical`'s.
"""

import io
import sys
from collections.abc import Callable
from functools import cache
from gettext import GNUTranslations
from pathlib import Path
from typing import TypeAlias

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

SOURCE = Path(__file__).parent
LANGUAGES = ("zh_CN", "en")
Translate: TypeAlias = Callable[[str], str]


@cache
def translator(language: str) -> Translate:
    """The function that turns an English text into `language`; English is returned as it is."""
    if language == "en":
        return str
    compiled = io.BytesIO()
    write_mo(compiled, _catalog(language))
    compiled.seek(0)
    return GNUTranslations(compiled).gettext


def problems(language: str = "zh_CN") -> list[str]:
    """What is wrong with the translation, one line each; empty if it is complete."""
    used = _used()
    found = []
    translated = {str(one.id): one for one in _catalog(language) if one.id}
    for text in sorted(used - translated.keys()):
        found.append(f"not translated: {text!r}")
    for text, message in sorted(translated.items()):
        if text not in used:
            found.append(f"no longer used: {text!r}")
        elif message.fuzzy or not message.string:
            found.append(f"{'fuzzy' if message.fuzzy else 'empty'}: {text!r}")
    return found


def _catalog(language: str) -> Catalog:
    with (SOURCE / "locale" / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def _used() -> set[str]:
    from babel.messages.extract import extract  # only this check reads sources

    used: set[str] = set()
    for pattern, method in (("*.py", "python"), ("*.html", "jinja2.ext:babel_extract")):
        for path in sorted(SOURCE.rglob(pattern)):
            with path.open("rb") as file:
                used.update(text for _, text, _, _ in extract(method, file, {"_": None}) if isinstance(text, str))
    return used


def main(argv: list[str]) -> int:
    """`check`: prints what is wrong; 0 if nothing is."""
    if argv != ["check"]:
        print("usage: python -m gateway.i18n check", file=sys.stderr)
        return 2
    found = problems()
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
