"""The file-scope gate: tasks that declare overlapping paths never run at the same time."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

_GLOB = frozenset("*?[{")


def literal_prefix(glob: str, root: str) -> str:
    """The absolute, normalised path before the first component of `glob` with a wildcard in it.

    A relative glob is taken from `root` (absolute). `src/**/x.py` -> `<root>/src`.
    """
    kept: list[str] = []
    for part in glob.split("/"):
        if _GLOB & set(part):
            break
        kept.append(part)
    literal = "/".join(kept)
    if not literal and glob.startswith("/"):
        literal = "/"
    return posixpath.normpath(posixpath.join(root or "/", literal))


def overlap(mine: Iterable[str], theirs: Iterable[str]) -> bool:
    """Does a prefix of one side contain (or equal) one of the other?"""
    others = [_dir(path) for path in theirs]
    return any(a.startswith(b) or b.startswith(a) for a in map(_dir, mine) for b in others)


def _dir(path: str) -> str:
    return path if path.endswith("/") else path + "/"
