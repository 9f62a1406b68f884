"""Runs first in the frozen program, in place of PyInstaller's own bootstrap.

Every module lies in the bundle as a file, so Python's import system needs no help. PyInstaller's own script would
import ctypes into every short command, and take VIRTUAL_ENV from the environment, which belongs to the agents.
"""

import sys

sys.frozen = True  # type: ignore[attr-defined]
