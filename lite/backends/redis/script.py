"""The Lua of the verbs: the files of `lua/` in order, as one script in two guises."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Script(NamedTuple):
    text: str
    sha: str


@cache
def script(*, takes_work: bool) -> Script:
    """`takes_work`: refused by a server that is out of memory. The other one runs there too, so that what was accepted
    can be worked off."""
    folder = Path(__file__).parent / "lua"
    body = "\n".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.lua")))
    text = f"#!lua{'' if takes_work else ' flags=allow-oom'}\n{body}"
    return Script(text, hashlib.sha1(text.encode()).hexdigest())
