"""The SQL of `statements.sql` by name. Stable texts, so that each connection prepares them once."""

from __future__ import annotations

import re
from importlib import resources


def _load() -> dict[str, str]:
    text = (resources.files("lite.backends.sqlite") / "statements.sql").read_text("utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return {name: sql.strip().rstrip(";") for name, sql in zip(parts[1::2], parts[2::2], strict=True)}


SQL = _load()
