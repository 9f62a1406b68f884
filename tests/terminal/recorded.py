"""The recordings in `recordings/`: what real programs wrote to a terminal of 120x40."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

COLS, ROWS = 120, 40
_FOLDER = Path(__file__).parent / "recordings"


def recordings() -> list[str]:
    return sorted(path.name.removesuffix(".raw.gz") for path in _FOLDER.glob("*.raw.gz"))


@cache
def read(name: str) -> bytes:
    return gzip.decompress((_FOLDER / f"{name}.raw.gz").read_bytes())
