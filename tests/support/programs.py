"""Programs that tests run but do not bring with them."""

from __future__ import annotations

import os
import shutil

import pytest


def needs(program: str) -> pytest.MarkDecorator:
    """Skips without the program, but never in CI: there its absence is a failure."""
    absent = shutil.which(program) is None and not os.environ.get("CI")
    return pytest.mark.skipif(absent, reason=f"{program} is not installed")
