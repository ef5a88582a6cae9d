"""`python -m cloud.demo.revision "what changes"`: writes a migration against a scratch PostgreSQL."""

import re
import sys
import tempfile
from pathlib import Path

from cloud import db, migrations
from cloud.demo.servers import Postgres


def main(message: str) -> int:
    """Writes the next numbered migration; see CONTRIBUTING.md."""
    folder = Path(str(migrations.__file__)).parent / "versions"
    numbers = [int(match[1]) for path in folder.glob("*.py") if (match := re.match(r"(\d{4})_", path.name))]
    with tempfile.TemporaryDirectory() as scratch, Postgres(Path(scratch)) as server:
        engine = db.engine(server.url)
        db.migrate(engine)
        db.new_revision(engine, message, number=f"{max(numbers, default=0) + 1:04d}")
        engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
