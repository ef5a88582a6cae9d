"""How a failure is logged: its class and place, never its words, which could hold a reading, a name or a card."""

import traceback
from pathlib import Path


def failing(failure: BaseException) -> str:
    """`error=CLASS at=FILE:LINE`, the innermost line of it."""
    frames = traceback.extract_tb(failure.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    return f"error={type(failure).__name__} at={place}"
