"""`qd down` waits for the end of a process, not for somebody to collect it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lite.cli.supervisor import _is_gone


def test_a_running_process_is_not_gone() -> None:
    assert not _is_gone(os.getpid())


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_an_ended_process_that_nobody_has_reaped_is_gone() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert _is_gone(process.pid)
    process.wait()
    assert _is_gone(process.pid)
