"""Short commands import nothing heavy: they must cost little more than the interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.cli.fake import FakeSupervisor, task

HEAVY = {
    "asyncio",
    "pydantic",
    "fastapi",
    "starlette",
    "uvicorn",
    "httpx",
    "textual",
    "rich",
    "redis",
    "sqlite3",
    "yaml",
    "psutil",
    "dataclasses",
    "inspect",
    "subprocess",
    "shutil",
    "ssl",
    "http.client",
    "urllib.request",
    "logging",
    "argcomplete",
    "importlib.metadata",
    "email",
    "tempfile",
    "hashlib",
    "lite.engine",
    "lite.backends",
    "lite.executors",
    "lite.model",
    "lite.config",
    "lite.api.server",
    "lite.api.messages",
    "tui",
    "providers.base",
    "providers.registry",
}
PROGRAM = """
import sys
from lite.__main__ import main
code = main(sys.argv[1:])
print("\\n" + __import__("json").dumps([code, sorted(sys.modules)]))
"""


@pytest.mark.parametrize(
    "argv", [["ls"], ["ls", "--json"], ["version"], ["runs"], ["show", task()["id"]], ["cancel", "x"]]
)
def test_short_commands_import_nothing_heavy(supervisor: FakeSupervisor, argv: list[str]) -> None:
    supervisor.tasks(task())
    supervisor.routes["GET", f"/v1/tasks/{task()['id']}/explain"] = {"summary": "s", "facts": [], "hint": ""}
    supervisor.routes["POST", "/v1/tasks/x/cancel"] = task()
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, *argv],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    assert not HEAVY & set(modules)
