"""The main views as pictures: a fleet that stands still, sessions that replay real programs. For snapshots and for
`make screenshots`."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from tests.support.dashboards import NOW, FakeGateway, event_json, fleet, task
from tests.support.opened import dashboard, main_screen, opened
from tests.support.panes import Held, eventually
from tests.terminal import recorded
from tui.app import Dashboard
from tui.state import Fleet, RunView, SupervisorView
from tui.viewing import Standing
from tui.widgets.terminal import TerminalPane

_S, _M = 1_000, 60_000
RUN, OLD = "01m7run0", "01m7run1"
EXPLANATION = {
    "task": "check",
    "state": "queued",
    "code": "needs",
    "summary": "check waits for what it needs: api and ui run",
    "facts": ["it needs api, which runs (waiting for a person)", "it needs ui, which runs (working)"],
    "hint": "qd show login/api tells what it asks",
}


@dataclass
class SceneGateway(FakeGateway):
    """Sessions with a holder each; everything else as the fake one."""

    folder: Path = Path()
    real: bool = True  # sessions replay real programs; else a few lines that fit into every pane
    held: dict[str, Held] = field(default_factory=dict)

    def output(self, session: str) -> bytes:
        if self.real:
            return recorded.read(SESSIONS[session])
        return f"\x1b[1m{session}\x1b[0m works\r\n\x1b[32m+ one line\x1b[0m\r\n> ".encode()

    async def attach(self, session: str, *, control: bool) -> Any:
        if session not in SESSIONS:
            return await super().attach(session, control=control)
        held = self.held.get(session)
        if held is None:
            held = self.held[session] = Held(session, self.folder, recorded.COLS, recorded.ROWS)
            held.print(self.output(session))
            await held.start()
        answer: Any = {"session": session, "address": str(held.path), "ticket": "", "cols": 120, "rows": 40}
        return answer | {"protocol": 1}


def a_fleet() -> Fleet:
    def one(name: str, ago: int, **fields: Any) -> Any:
        begun = {"started_at": NOW - ago} if fields.get("state") != "queued" else {}
        return task(name, **{"run": RUN, **begun, **fields})

    tasks = (
        one("schema", 9 * _M, agent="dev", lane="server", state="succeeded", ended_at=NOW - 6 * _M),
        one("api", 4 * _M, agent="dev", lane="server", needs=("schema",), asks="Run the database migration?"),
        one("ui", 3 * _M, agent="claude", lane="web", needs=("schema",), doing="working"),
        one("icons", 2 * _M, agent="gemini", lane="web", doing="idle"),
        one("docs", 5 * _M, agent="writer", needs=("schema",), doing="working"),
        one("bench", 70 * _S, agent="shell", needs=("api",), doing="working"),
        one("watch", 8 * _M, agent="shell", doing="working"),
        one("check", 0, agent="shell", state="queued", needs=("api", "ui")),
        one("e2e", 0, agent="tester", state="queued", needs=("check",)),
        one("release", 0, agent="shell", state="queued", needs=("check", "docs", "e2e")),
        one("lint", 3 * _M, run=OLD, agent="shell", state="failed", reason="exit", exit_code=2, ended_at=NOW - 2 * _M),
        one("types", 3 * _M, run=OLD, agent="shell", state="succeeded", ended_at=NOW - 2 * _M),
        one("deploy", 0, run=OLD, agent="shell", state="skipped", reason="need", needs=("lint",)),
    )
    runs = [
        RunView(OLD, "nightly", state="failed", created_at=NOW - 20 * _M, ended_at=NOW - 2 * _M),
        RunView(RUN, "add-login", created_at=NOW - 9 * _M),
    ]
    supervisor = SupervisorView(pid=1, home="~/shop/.quarterdeck", version="0.1.0", backend="sqlite", slots=8)
    return fleet(*tasks, runs=runs, supervisor=supervisor)


SESSIONS = {
    "api-1": "claude",
    "ui-1": "codex",
    "icons-1": "gemini",
    "docs-1": "vim",
    "bench-1": "log",
    "watch-1": "htop",
}


def a_log() -> list[Any]:
    """The event log that leads to the run of `a_fleet`."""
    known = [each for each in a_fleet().tasks.values() if each.run == RUN and each.started_at]
    found: list[tuple[int, str, str, int]] = [(NOW - 8 * _M, "task.claimed", "api", 1)]
    found += [(NOW - 7 * _M, "task.started", "api", 1), (NOW - 5 * _M, "task.retrying", "api", 1)]
    for each in known:
        attempt = 2 if each.id == "api" else 1
        begun = each.started_at or 0
        found += [(begun - 5 * _S, "task.claimed", each.id, attempt), (begun, "task.started", each.id, attempt)]
        if each.waiting:
            found.append((NOW - _M, "session.waiting", each.id, 0))
        if each.ended_at:
            found.append((each.ended_at, f"task.{each.state}", each.id, attempt))
    return [
        event_json(cursor, kind, task, at=at, attempt=attempt, run=RUN, worker="w1")
        for cursor, (at, kind, task, attempt) in enumerate(sorted(found), 1)
    ]


@dataclass(frozen=True)
class Scene:
    """`prepare` presses what leads to the view."""

    name: str
    prepare: Callable[[Pilot[None], Dashboard], Awaitable[None]]


async def _drawn(pilot: Pilot[None], app: Dashboard) -> None:
    """Every pane in sight shows its session."""

    def ready() -> bool:
        panes = [pane for pane in app.screen.query(TerminalPane) if pane.region.width and pane.shown_task]
        return panes and all(map(_shows_all, panes))

    await eventually(pilot, ready, turns=4000)
    await pilot.pause()


def _shows_all(pane: TerminalPane) -> bool:
    viewer = pane._viewer
    if pane.standing is not Standing.LIVE or not viewer.picture.rows or viewer._link is None:
        return False
    gateway: SceneGateway = pane.app.gateway  # type: ignore[attr-defined]
    whole = viewer._link.offset >= len(gateway.output(viewer.session))
    return whole and not viewer._link.pending and not viewer.frames.armed


async def _still(pilot: Pilot[None], app: Dashboard) -> None:
    """Nothing on screen changes any more."""
    before, same = "", 0
    while same < 5:
        await pilot.pause()
        now = app.export_screenshot(title="")
        before, same = now, same + 1 if now == before else 0


async def _list(pilot: Pilot[None], app: Dashboard) -> None:
    main_screen(app).go_to("ui")
    await pilot.pause()
    if main_screen(app).has_class("-narrow"):
        return
    await eventually(pilot, lambda: app.screen.query_one(TerminalPane).shown_task is not None, turns=4000)
    await _drawn(pilot, app)


async def _grid(pilot: Pilot[None], app: Dashboard) -> None:
    await pilot.press("v", "6")
    await _drawn(pilot, app)


async def _run(pilot: Pilot[None], app: Dashboard) -> None:
    main_screen(app).go_to("check")
    await pilot.press("d")
    await pilot.pause()


async def _lanes(pilot: Pilot[None], app: Dashboard) -> None:
    await _run(pilot, app)
    await pilot.press("2")
    await pilot.pause()


async def _new(pilot: Pilot[None], app: Dashboard) -> None:
    await pilot.press("n")
    await pilot.press(*"Add a reset link to the login form")
    await pilot.pause()


async def _explain(pilot: Pilot[None], app: Dashboard) -> None:
    main_screen(app).go_to("check")
    await pilot.press("e")
    await pilot.pause()


async def _help(pilot: Pilot[None], app: Dashboard) -> None:
    await pilot.press("question_mark")
    await pilot.pause()


SCENES = (
    Scene("fleet", _list),
    Scene("grid", _grid),
    Scene("run", _run),
    Scene("timeline", _lanes),
    Scene("new-task", _new),
    Scene("explain", _explain),
    Scene("help", _help),
)


def app_of(folder: Path, *, real: bool = True) -> Dashboard:
    """The dashboard on the fleet of the scenes; its sessions' sockets are made in `folder`, which has a short name."""
    gateway = SceneGateway(folder=folder, real=real)
    gateway.answers["explain"] = EXPLANATION
    gateway.logs[RUN] = a_log()
    return dashboard(folder, a_fleet(), gateway)


async def stop_sessions(app: Dashboard) -> None:
    for held in app.gateway.held.values():  # type: ignore[attr-defined]
        await held.stop()


@asynccontextmanager
async def shown(
    scene: Scene, size: tuple[int, int], theme: str = "harbour", *, real: bool = True
) -> AsyncIterator[Dashboard]:
    """The dashboard at this view."""
    with tempfile.TemporaryDirectory(prefix="qd-") as folder:
        app = app_of(Path(folder), real=real)
        try:
            async with opened(app, size) as pilot:
                app.theme = theme
                await scene.prepare(pilot, app)
                await _still(pilot, app)
                yield app
        finally:
            await stop_sessions(app)
