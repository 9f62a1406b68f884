"""`ls`, `runs`, `show`, `explain`, `workers`, `agents`: readable, harmless, and the same in JSON."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.cli.conftest import Qd
from tests.cli.fake import FakeSupervisor, event, task

HOSTILE = "a\x1b[31m\x1b]52;c;aGk=\x07\x1b[6n\u202eb\x9b2J\r\nc\x08"
WORKER = {
    "id": "w-1",
    "node": "n",
    "state": "busy",
    "slots": 4,
    "running": ["x"],
    "agents": ["shell"],
    "labels": {},
    "cordoned": False,
    "pid": 1,
    "address": "",
    "executors": ["local"],
    "load": 0.25,
    "version": "0",
    "registered_at": 1,
    "heartbeat_at": 1,
}
AGENT = {
    "name": "dev",
    "provider": "claude",
    "roles": ["implement"],
    "slots": 2,
    "mode": None,
    "model": "",
    "identity": "",
    "env": [],
    "timeout_ms": None,
    "idle_timeout_ms": None,
    "retries": 0,
    "path": "",
    "version": "",
    "problem": "claude is not on PATH",
    "account": "claude",
    "held": "",
}
RUN = {
    "id": "01run",
    "name": "add-login",
    "key": "",
    "source": "p.yaml",
    "state": "running",
    "counts": {"running": 2},
    "created_at": 1,
    "ended_at": None,
}
EXPLANATION = {"task": "t", "state": "queued", "code": "lane", "summary": "waits", "facts": ["f"], "hint": "h"}


def test_ls_shows_state_reason_and_run(qd: Qd, supervisor: FakeSupervisor) -> None:
    supervisor.tasks(
        task(1, run="01run", state="failed", reason="exit", detail="exit code 3", lane="web"),
        task(
            2,
            state="running",
            activity="waiting",
            ended_at=None,
            worker="w-1",
            waiting={"id": "1", "kind": "question", "text": "Sure?", "hash": ""},
        ),
    )
    supervisor.routes["GET", "/v1/runs/01run"] = RUN
    result = qd("ls")
    assert result.code == 0
    first, second = result.out.splitlines()[1:]
    assert " ".join(first.split()) == "01jd8aaa1 add-login/task1 ✗ F failed exit: exit code 3 shell web 1 3.5s"
    assert "● R running" in second
    assert "waiting: Sure?" in second
    assert "\x1b" not in result.out


def test_ls_tells_what_a_waiting_task_waits_for(qd: Qd, supervisor: FakeSupervisor) -> None:
    first = task(1, state="running", activity="unknown", lane="web", ended_at=None)
    queued = {"state": "queued", "reason": "", "detail": "", "ended_at": None, "started_at": None}
    supervisor.tasks(
        first,
        task(2, lane="web", **queued),
        task(3, lane="", needs=[first["id"]], **queued),
        task(4, lane="", state="skipped", reason="need", detail="", cause=task(5)["id"]),
        task(5, lane="", state="failed"),
    )
    supervisor.routes["GET", "/v1/runs/01run"] = RUN
    lines = qd("ls").out.splitlines()[1:]
    assert "unknown" not in lines[0]
    assert "behind task1" in lines[1]
    assert "needs task1" in lines[2]
    assert "need: task5 failed" in lines[3]


def test_ls_passes_its_filters_on(qd: Qd, supervisor: FakeSupervisor) -> None:
    assert (
        qd("ls", "--run", "r", "--state", "failed", "--state", "running", "--agent", "a", "--dead", "-n", "7").code == 0
    )
    _, _, query, _ = supervisor.asked[-1]
    assert query == {
        "run": ["r"],
        "state": ["failed", "running"],
        "agent": ["a"],
        "dead": ["true"],
        "limit": ["7"],
        "newest": ["true"],
    }
    qd("ls", "--all")
    assert supervisor.asked[-1][2] == {}


@pytest.mark.parametrize("argv", [["ls"], ["runs"], ["workers"], ["agents"]])
def test_lists_are_json_lists(qd: Qd, supervisor: FakeSupervisor, argv: list[str]) -> None:
    supervisor.tasks(task())
    supervisor.routes["GET", "/v1/runs"] = [RUN]
    supervisor.routes["GET", "/v1/workers"] = [WORKER]
    supervisor.routes["GET", "/v1/agents"] = [AGENT]
    for arguments in ([*argv, "--json"], ["--json", *argv]):
        result = qd(*arguments)
        assert result.code == 0
        assert len(result.json) == 1


def _hostile(value: Any) -> Any:
    """Every free text in an answer replaced by a hostile one; ids, states and kinds stay what they are."""
    kept = ("id", "state", "kind", "session", "mode", "cost_source", "code", "on_failure")
    if isinstance(value, dict):
        return {key: each if key in kept else _hostile(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_hostile(each) for each in value]
    return HOSTILE if isinstance(value, str) else value


@pytest.mark.parametrize(
    "argv",
    [
        ["ls"],
        ["runs"],
        ["show", "x"],
        ["explain", "x"],
        ["workers"],
        ["workers", "drain", "w-1"],
        ["workers", "deregister", "w-1"],
        ["backend"],
        ["agents"],
        ["events"],
        ["cancel", "x"],
        ["wait", "x"],
        ["config", "show"],
        ["up", "-d"],
        ["run", "--dry-run", "p.yaml"],
        ["send", "x", "hi"],
        ["logs", "x"],
        ["cancel", "gone"],
        ["doctor"],
    ],
)
@pytest.mark.parametrize("color", ["never", "always"])
def test_hostile_names_never_reach_the_terminal(
    qd: Qd, supervisor: FakeSupervisor, argv: list[str], color: str, tmp_path: Any
) -> None:
    from lite.errors import NotFound
    from lite.terminal import packets

    bad = _hostile(task(1, state="failed", prompt="p", output="o", lane="l", reason="exit", detail="d", worker="w"))
    bad |= {"id": "x", "session": "x-1", "waiting": {"id": "1", "kind": "question", "text": HOSTILE, "hash": ""}}
    supervisor.tasks(bad)
    routes = supervisor.routes
    routes["GET", "/v1/runs"] = [_hostile(RUN)]
    routes["GET", "/v1/workers"] = [] if "drain" in argv else [_hostile(WORKER)]
    routes["POST", "/v1/workers/w-1/cordon"] = _hostile(WORKER)
    routes["POST", "/v1/workers/w-1/deregister"] = _hostile(WORKER)
    routes["GET", "/v1/agents"] = [_hostile(AGENT)]
    routes["GET", "/v1/tasks/x/explain"] = _hostile(EXPLANATION)
    routes["GET", "/v1/config"] = {"path": HOSTILE, "settings": {"a": HOSTILE}, "origins": {"a": HOSTILE}}
    routes["GET", "/v1/status"] |= {"backend": HOSTILE, "config_error": HOSTILE, "config_path": HOSTILE}
    routes["GET", "/v1/status"] |= {"backend_warnings": [HOSTILE], "role": HOSTILE, "worker": HOSTILE}
    routes["GET", f"/v1/runs/{HOSTILE}"] = RUN
    routes["POST", "/v1/tasks/x/cancel"] = bad
    routes["POST", "/v1/tasks/gone/cancel"] = NotFound(HOSTILE, hint=HOSTILE, place=HOSTILE)
    routes["POST", "/v1/tasks/x/send"] = {"result": "refused", "reason": HOSTILE}
    routes["POST", "/v1/plans"] = {"run": None, "tasks": [bad], "created": False}
    routes["GET", "/v1/sessions/x-1/recording"] = packets.output(0, packets.OUT, HOSTILE.encode())
    gone = {**event("worker.left", None), "worker": "w-1"}
    supervisor.events(event("task.failed", bad, data=HOSTILE, reason=HOSTILE), gone)
    (tmp_path / "p.yaml").write_text("tasks: {}")
    result = qd("--color", color, *argv)
    for text in (result.out, result.err):
        plain = re.sub(r"\x1b\[[0-9;:]*m", "", text) if color == "always" or argv[0] == "logs" else text
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", plain), repr(text)
    assert result.out + result.err


def test_show_tells_why_and_what_came_out(qd: Qd, supervisor: FakeSupervisor) -> None:
    supervisor.tasks(
        task(
            1,
            state="failed",
            exit_code=3,
            output="line 1\nline 2\n",
            tokens_in=5,
            tokens_out=7,
            cost_usd=0.5,
            cost_source="reported",
        )
    )
    one = task(1)["id"]
    supervisor.routes["GET", f"/v1/tasks/{one}/explain"] = {**EXPLANATION, "summary": "failed with exit code 3"}
    shown = qd("show", one).out
    for wanted in ("failed with exit code 3", "    line 2", "5 tokens in, 7 out, 0.5000 USD (reported)", "✗ F failed"):
        assert wanted in shown
    assert qd("show", one, "--json").json["explanation"]["summary"] == "failed with exit code 3"


def test_explain_is_one_line_and_its_evidence(qd: Qd, supervisor: FakeSupervisor) -> None:
    supervisor.routes["GET", "/v1/tasks/t/explain"] = EXPLANATION
    assert qd("explain", "t").out == "waits\n  f\n  h\n"


def test_events_are_lines_or_ndjson(qd: Qd, supervisor: FakeSupervisor) -> None:
    supervisor.events(event("task.failed", task(), 7, reason="exit"), event("worker.left", None, 8))
    assert re.search(r"7 .* task.failed .*reason=\"exit\"", qd("events").out)
    assert [json.loads(line)["cursor"] for line in qd("events", "--json").out.splitlines()] == [7, 8]
