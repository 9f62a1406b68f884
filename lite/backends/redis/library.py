"""The Lua of the verbs: the files of `lua/` in order, as one library of functions the server keeps.

A script (EVALSHA) would define all its functions anew at every call, which costs more than most verbs do.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Library(NamedTuple):
    """`takes` is the function for batches that bring work: refused by a server that is out of memory. `works` is the
    one for all others. Both are named for the text, so that two versions of it can be at work side by side."""

    text: str
    takes: str
    works: str


@cache
def library() -> Library:
    folder = Path(__file__).parent / "lua"
    body = "\n".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.lua")))
    name = "quarterdeck_" + hashlib.sha256(body.encode()).hexdigest()[:16]
    return Library(f"#!lua name={name}\n" + body.replace("@NAME@", name), f"{name}_takes", f"{name}_works")
