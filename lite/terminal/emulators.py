"""Which emulator serves: Ghostty's core where there is a build of it, bittty elsewhere."""

from __future__ import annotations

import os
import threading

from lite.errors import UsageError
from lite.terminal.emulator import DEFAULT_SCROLLBACK, Emulator

VARIABLE = "QD_EMULATOR"
NAMES = ("ghostty", "bittty")


def make_emulator(cols: int, rows: int, *, scrollback: int = DEFAULT_SCROLLBACK) -> Emulator:
    """`scrollback` is about how many rows stay above the screen. QD_EMULATOR=ghostty or =bittty forces one."""
    name = chosen()
    if name == "ghostty":
        from lite.terminal.ghostty import GhosttyEmulator

        return GhosttyEmulator(cols, rows, scrollback=scrollback)
    from lite.terminal.bittty_screen import BitttyEmulator

    return BitttyEmulator(cols, rows, scrollback=scrollback)


def chosen() -> str:
    """The emulator's name. Imports it, which costs some 100 ms the first time."""
    forced = os.environ.get(VARIABLE, "")
    if forced and forced not in NAMES:
        raise UsageError(f"no such emulator: {forced}", hint=f"{VARIABLE} is {' or '.join(NAMES)}", place=VARIABLE)
    if forced == "bittty":
        return forced
    try:
        import lite.terminal.ghostty  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: a library for another machine
        if forced:
            raise UsageError(
                f"{forced} cannot be loaded: {error}", hint=f"unset {VARIABLE} to use what works", place=VARIABLE
            ) from error
        return "bittty"
    return "ghostty"


def preload() -> threading.Thread:
    """Import the emulator beside whatever else starts, so that the first pane need not wait for it."""
    thread = threading.Thread(target=_preload, name="emulator-import", daemon=True)
    thread.start()
    return thread


def _preload() -> None:
    try:
        if chosen() == "bittty":
            import lite.terminal.bittty_screen  # noqa: F401
    except UsageError:
        pass  # said where the first emulator is made
