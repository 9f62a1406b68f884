"""Is somebody there who will answer what agents ask?"""

from __future__ import annotations

import os

WATCH = "somebody will answer what its agents ask (qd waiting); a terminal says so by itself"


def somebody_is_there() -> bool:
    return os.isatty(0) and os.isatty(1)
