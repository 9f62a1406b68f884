"""kill -9 of the supervisor while an agent speaks: who follows its transcript hears every word once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from lite.transcripts.layout import transcript_path
from lite.transcripts.lines import Lines, Said
from tests.support.fleet import Fleet, until

WORDS = 60
CONFIG = "agents: {actor: {provider: scripted, mode: headless}}\nlimits: {slots: 2}\n"
SPOKEN = [f"- say: word {number}\n  delay: 0.005\n" for number in range(WORDS)]
SCRIPT = "steps:\n" + "".join([*SPOKEN[:-1], "- ask: Go on?\n", SPOKEN[-1]])


def test_every_word_once_however_often_the_supervisor_dies(tmp_path: Path) -> None:
    said: list[Said] = []
    failed: list[BaseException] = []
    with Fleet(tmp_path / "project", CONFIG) as fleet:
        assert fleet.up() == "ready"
        body: Any = {"agent": "actor", "prompt": SCRIPT, "name": "speaks"}
        task = fleet.client.submit(body)["task"]
        until(lambda: fleet.client.task(task["id"])["session"])
        session = fleet.client.task(task["id"])["session"]

        def follow() -> None:
            lines = Lines()
            try:
                for _, data in type(fleet.client)(str(fleet.home.socket)).transcript(session, follow=True):
                    said.extend(lines.feed(data))
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        for heard in (10, 90):
            until(lambda: len(said) > heard or failed, 60, lambda: f"{said[-2:]} {failed} {fleet.describe()}")  # noqa: B023
            fleet.kill()
            assert fleet.up() == "ready"
        until(lambda: said[-1].kind == "needs_user")  # it did not end before
        assert fleet.client.send(task["id"], "yes\n")["result"] == "delivered"
        (ended,) = fleet.wait()
        thread.join(60)
        assert not thread.is_alive()
        assert not failed
        assert ended["state"] == "succeeded", fleet.describe()
        assert [one.text for one in said if one.text and one.kind == "message"] == [
            f"word {number}" for number in range(WORDS)
        ]
        assert [one.kind for one in said].count("init") == 1
        assert [one.kind for one in said][-2:] == ["result", "verdict"]
        assert said == Lines().feed(transcript_path(fleet.home.session(session)).read_bytes())
        shown = fleet.qd("logs", "speaks").stdout
        assert [line.strip() for line in shown.splitlines() if line.startswith("word")] == [
            f"word {n}" for n in range(WORDS)
        ]


def test_a_pipe_that_closes_ends_logs_quietly(tmp_path: Path) -> None:
    with Fleet(tmp_path / "project", CONFIG) as fleet:
        assert fleet.up() == "ready"
        body: Any = {"agent": "actor", "prompt": "steps:\n" + "".join(SPOKEN).replace("0.005", "0"), "name": "speaks"}
        fleet.client.submit(body)
        fleet.wait()
        read_end, write_end = os.pipe()
        os.close(read_end)
        command = [sys.executable, "-P", "-m", "lite", "logs", "speaks"]
        done = subprocess.run(
            command,
            cwd=fleet.project,
            env=fleet.environ,
            stdout=write_end,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
        os.close(write_end)
        assert b"Traceback" not in done.stderr
