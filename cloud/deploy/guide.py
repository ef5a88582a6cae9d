"""Writes the table of settings in README.md beside this file from `cloud.config.SETTINGS`.

`python -m cloud.deploy.guide` writes it, with --check it only says whether it is what it would write.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from cloud.config import SETTINGS

GUIDE = Path(__file__).with_name("README.md")
HEAD = "| variable | default | what it means |\n|---|---|---|\n"
BEGIN, END = "<!-- settings: made by `python -m cloud.deploy.guide` -->\n", "<!-- end of settings -->\n"


def main(argv: Sequence[str]) -> int:
    """Writes the guide, or with --check returns 1 if it is stale."""
    old = GUIDE.read_text("utf-8")
    before, _, rest = old.partition(BEGIN)
    _, _, after = rest.partition(END)
    new = f"{before}{BEGIN}{HEAD}{table()}{END}{after}"
    if "--check" in argv:
        if new != old:
            print(f"{GUIDE.name} is stale: run python -m cloud.deploy.guide", file=sys.stderr)
        return int(new != old)
    GUIDE.write_text(new, "utf-8")
    return 0


def table() -> str:
    """One line per variable."""
    return "".join(
        f"| `{one.name}` | {_default(one.default)} | {one.means.replace('|', '/')} |\n" for one in SETTINGS
    )


def _default(default: str | None) -> str:
    if default is None:
        return "must be set"
    return f"`{default}`" if default else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
