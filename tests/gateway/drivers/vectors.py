"""The public vectors, as data: bytes of real meters and of other projects' tests, each with its source."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "vectors"
VECTORS: list[dict[str, Any]] = [
    vector for file in sorted(FOLDER.glob("*.json")) for vector in json.loads(file.read_text("utf-8"))
]
