"""A progress bar in colour, for terminals and recordings."""

import sys

WIDTH = 32


def show(label: str, done: float) -> None:
    """Paint the bar; `done` goes from 0 to 1, which ends the line."""
    filled = round(WIDTH * done)
    bar = f"\x1b[32m{'█' * filled}\x1b[90m{'░' * (WIDTH - filled)}\x1b[0m"
    sys.stdout.write(f"\r\x1b[K\x1b[36m{label}\x1b[0m {bar} {done:4.0%}{chr(10) if done >= 1 else ''}")
    sys.stdout.flush()
