"""Did you mean: the known word nearest to one that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

_LONGEST = 64  # characters of a word worth comparing
_MOST = 500  # words compared with


def nearest(word: str, known: Iterable[str]) -> str:
    """The most similar known word, "" when none comes close."""
    words = list(islice(known, _MOST))
    if len(word) > _LONGEST:
        return ""
    found = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if found:
        return found[0]
    folded = {one.casefold().replace("-", "_"): one for one in words}
    return folded.get(word.casefold().replace("-", "_"), "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?` to append to a message, or ""."""
    close = nearest(word, known)
    return f", did you mean {close!r}?" if close else ""


def listing(words: Iterable[str], limit: int = 12) -> str:
    """`a, b, c` in order, cut after `limit` with a count of the rest."""
    every = list(words)
    shown = ", ".join(every[:limit])
    return shown if len(every) <= limit else f"{shown} and {len(every) - limit} more"


def quoted(text: str, limit: int = 60) -> str:
    """The text as it may stand in a message: control characters escaped, long ones cut."""
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")
