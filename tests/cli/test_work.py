"""`submit`, `run`, `wait`, `cancel`, `retry`: what is asked of the supervisor, and the exit code of the worst task."""

from __future__ import annotations

import io
import itertools
import sys
from pathlib import Path

import pytest

from lite.cli.endings import WORST, exit_code, worst
from lite.errors import IllegalState, PlanInvalid
from tests.cli.conftest import Qd
from tests.cli.fake import FakeSupervisor, event, status, task


def test_submit_sends_what_was_said_and_nothing_else(qd: Qd, supervisor: FakeSupervisor, tmp_path: Path) -> None:
    supervisor.routes["POST", "/v1/tasks"] = {"task": task(), "created": True}
    assert qd("submit", "--", "make", "--wait", "--json").out.strip() == task()["id"]
    assert qd("submit", "--json", "fix", "it").json["created"] is True
    argv = "--agent dev --name n --lane l --needs a --needs b --touches x/** --key k --mode headless --timeout 1h30m"
    argv += " --idle-timeout 5m --retries 2 --priority -3 --delay 250ms --env A=b=c --cwd . --on-failure fail"
    assert qd("submit", *argv.split(), "fix it").code == 0
    first, second, third = supervisor.bodies("POST", "/v1/tasks")
    assert first == {"command": ["make", "--wait", "--json"], "cwd": str(tmp_path), "priority": 0}
    assert second["prompt"] == "fix it"
    assert third == {
        "agent": "dev", "name": "n", "lane": "l", "needs": ["a", "b"], "touches": ["x/**"], "key": "k",
        "mode": "headless", "timeout_ms": 5_400_000, "idle_timeout_ms": 300_000, "retries": 2, "priority": -3,
        "delay_ms": 250, "env": {"A": "b=c"}, "cwd": str(tmp_path), "on_failure": "fail", "prompt": "fix it",
    }  # fmt: skip


def test_only_who_says_so_or_sits_at_a_terminal_watches(
    qd: Qd, supervisor: FakeSupervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor.routes["POST", "/v1/tasks"] = {"task": task(), "created": True}
    supervisor.routes["POST", "/v1/plans"] = {"run": None, "tasks": [], "created": False}
    (tmp_path / "p.yaml").write_text("name: p")

    def said() -> list[bool]:
        qd("submit", "x")
        qd("submit", "x", "--watch")
        qd("run", "p.yaml", "--dry-run")
        qd("run", "p.yaml", "--dry-run", "--watch")
        bodies = supervisor.bodies("POST", "/v1/tasks")[-2:] + supervisor.bodies("POST", "/v1/plans")[-2:]
        return [body.get("watched", False) for body in bodies]

    assert said() == [False, True, False, True]
    monkeypatch.setattr("lite.cli.watching.os.isatty", lambda fd: True)
    assert said() == [True] * 4


def test_a_prompt_may_come_from_stdin(qd: Qd, supervisor: FakeSupervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor.routes["POST", "/v1/tasks"] = {"task": task(), "created": True}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"line 1\nline 2\n")))
    assert qd("submit", "-").code == 0
    assert supervisor.bodies("POST", "/v1/tasks")[0]["prompt"] == "line 1\nline 2\n"


def test_run_sends_the_text_its_path_and_the_project_root(qd: Qd, supervisor: FakeSupervisor, tmp_path: Path) -> None:
    (tmp_path / "plans").mkdir()
    plan = tmp_path / "plans" / "p.yaml"
    plan.write_text("tasks: {}\n")
    run = {"id": "01run", "name": "p", "state": "running", "counts": {}}
    supervisor.routes["POST", "/v1/plans"] = {"run": run, "tasks": [task()], "created": True}
    assert qd("run", "plans/p.yaml", "--key", "k").out == "01run\n"
    (tmp_path / "quarterdeck.yaml").write_text("")
    assert qd("run", "plans/p.yaml", "--json").json["run"]["id"] == "01run"
    first, second = supervisor.bodies("POST", "/v1/plans")
    assert first == {
        "text": "tasks: {}\n", "source": str(plan), "cwd": str(plan.parent), "key": "k", "dry_run": False,
    }  # fmt: skip
    assert second["cwd"] == str(tmp_path)


def test_a_dry_run_shows_the_routes_by_name(qd: Qd, supervisor: FakeSupervisor, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("tasks: {}\n")
    preview = [task(1, rule="agent dev"), task(2, needs=[task(1)["id"]], rule="type implement")]
    supervisor.routes["POST", "/v1/plans"] = {"run": None, "tasks": preview, "created": False}
    result = qd("run", "p.yaml", "--dry-run")
    assert "type implement" in result.out
    assert "task1" in result.out.splitlines()[2]
    assert supervisor.bodies("POST", "/v1/plans")[0]["dry_run"] is True


def test_a_refused_plan_names_its_place(qd: Qd, supervisor: FakeSupervisor, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("tasks: {}\n")
    supervisor.routes["POST", "/v1/plans"] = PlanInvalid("a cycle: a -> b -> a", place="p.yaml:3:5", hint="break it")
    result = qd("run", "p.yaml")
    assert (result.code, result.err) == (3, "qd: p.yaml:3:5: a cycle: a -> b -> a\n    break it\n")


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (["succeeded"], 0),
        (["succeeded", "cancelled"], 9),
        (["skipped"], 9),
        (["cancelled", "failed", "succeeded", "skipped"], 1),
    ],
)
def test_wait_ends_with_the_worst_and_prints_a_line_each(
    qd: Qd, supervisor: FakeSupervisor, states: list[str], code: int
) -> None:
    tasks = [task(at, state=state) for at, state in enumerate(states, 1)]
    supervisor.tasks(*tasks)
    result = qd("wait", *(one["id"] for one in tasks))
    assert result.code == code
    assert [line.split()[2] for line in result.out.splitlines()] == states
    assert [one["state"] for one in qd("wait", "--json", *(one["id"] for one in tasks)).json] == states


def test_wait_follows_the_events_to_the_end(qd: Qd, supervisor: FakeSupervisor) -> None:
    one = task(1, state="running", ended_at=None, exit_code=None)
    answers = itertools.chain([one], itertools.repeat(task(1, state="failed", reason="exit")))
    supervisor.routes["GET", f"/v1/tasks/{one['id']}"] = lambda query, body: next(answers)
    supervisor.events(event("task.retrying", one, 1, reason="exit"), event("task.failed", one, 2, reason="exit"))
    result = qd("wait", one["id"])
    assert result.code == 1
    assert "✗ F failed" in result.out
    assert "7.0s" in result.out  # from its start until the event
    assert "will be tried again: exit" in result.err


def test_wait_gives_up_in_time(qd: Qd, supervisor: FakeSupervisor) -> None:
    running = task(1, state="running", ended_at=None)
    supervisor.tasks(running, task(2))
    supervisor.events()
    result = qd("wait", "--timeout", "50ms", running["id"], task(2)["id"])
    assert result.code == 8
    assert "1 of 2 task(s) not ended" in result.err


def test_wait_gives_up_for_a_question(qd: Qd, supervisor: FakeSupervisor) -> None:
    asking = {"id": "1", "kind": "question", "text": "Sure?", "hash": ""}
    waiting = task(1, state="running", ended_at=None, waiting=asking)
    supervisor.tasks(waiting)
    assert qd("wait", "--no-input", waiting["id"]).code == 7
    answers = itertools.chain([waiting | {"waiting": None}], itertools.repeat(waiting))
    supervisor.routes["GET", f"/v1/tasks/{waiting['id']}"] = lambda query, body: next(answers)
    supervisor.events(event("session.waiting", waiting, 1, text="Sure?"))
    assert qd("wait", "--no-input", waiting["id"]).code == 7


def test_submit_and_wait_gives_one_object(qd: Qd, supervisor: FakeSupervisor) -> None:
    supervisor.tasks(task(1, state="failed"))
    supervisor.routes["POST", "/v1/tasks"] = {"task": task(1, state="queued", ended_at=None), "created": True}
    result = qd("submit", "--wait", "--json", "--", "false")
    assert (result.code, result.json["state"]) == (1, "failed")


def test_run_and_wait_asks_for_the_whole_run(qd: Qd, supervisor: FakeSupervisor, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("tasks: {}\n")
    tasks = [task(1, run="01run"), task(2, run="01run", state="cancelled")]
    supervisor.tasks(*tasks)
    supervisor.routes["POST", "/v1/plans"] = {"run": {"id": "01run", "name": "p"}, "tasks": tasks, "created": True}
    result = qd("run", "--wait", "p.yaml")
    assert (result.code, len(result.out.splitlines())) == (9, 2)


def test_the_order_of_exit_codes_is_total() -> None:
    for one, other in itertools.combinations(WORST, 2):
        assert worst([other, one, 0]) == one
    assert worst([]) == 0
    assert exit_code(task(state="failed", reason="budget")) == 6


def test_cancel_tries_all_and_a_run_is_cancelled_from_its_end(qd: Qd, supervisor: FakeSupervisor) -> None:
    ended, running = task(1, state="cancelled"), task(2, state="running")
    supervisor.tasks(ended, running)
    supervisor.routes["GET", "/v1/runs/r"] = {"id": "01run", "name": "r"}
    for one in (ended, running):
        supervisor.routes["POST", f"/v1/tasks/{one['id']}/cancel"] = one
    result = qd("cancel", "--run", "r")
    assert [line.split()[1] for line in result.out.splitlines()] == ["task2", "task1"]
    assert "is being cancelled" in result.out
    result = qd("cancel", "nope", ended["id"], "--json")
    assert result.code == 4
    assert [one["id"] for one in result.json] == [ended["id"]]


def test_retry_refused_tells_why(qd: Qd, supervisor: FakeSupervisor) -> None:
    supervisor.routes["POST", "/v1/tasks/x/retry"] = IllegalState("a succeeded task cannot reopen")
    result = qd("retry", "x")
    assert (result.code, result.err) == (2, "qd: a succeeded task cannot reopen\n")


def test_bare_qd_without_a_terminal_lists_the_fleet(qd: Qd, supervisor: FakeSupervisor) -> None:
    assert "no tasks yet" in qd().err
    supervisor.tasks(task())
    assert "task1" in qd().out
    assert qd("--json").json[0]["name"] == "task1"


def test_down_asks_only_on_a_terminal_and_waits_until_it_is_gone(qd: Qd, supervisor: FakeSupervisor) -> None:
    supervisor.tasks(task(state="running"))
    supervisor.routes["POST", "/v1/shutdown"] = {"ok": True}
    assert qd("down").code == 0  # the pid in `status` belongs to nobody
    assert "1 session(s) go on" in qd("down", "--keep-sessions").out
    assert [body["keep_sessions"] for body in supervisor.bodies("POST", "/v1/shutdown")] == [False, True]


def test_homes_are_listed_with_their_supervisors(qd: Qd, supervisor: FakeSupervisor) -> None:
    found = [one for one in qd("homes", "--json").json if one["current"]]
    assert [(one["running"], one["pid"]) for one in found] == [(True, status()["pid"])]


def test_an_interrupted_wait_says_what_goes_on(
    qd: Qd, supervisor: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lite.api.client import Client

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    supervisor.tasks(task(1, state="running", ended_at=None))
    monkeypatch.setattr(Client, "events", interrupted)
    result = qd("wait", task(1)["id"])
    assert (result.code, "1 task(s) go on" in result.err) == (130, True)
