"""Why a task is in its state: everything known of it, kept up to date, without flooding the supervisor."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from lite.errors import NoSupervisor
from tests.support.dashboards import NOW, FakeGateway, fleet, now, task, task_json
from tests.support.dialogs import hosted
from tests.support.panes import eventually
from tui.screens.explain import Explain
from tui.state import Activity

SAID = {
    "task": "api",
    "state": "running",
    "code": "waiting",
    "summary": "api waits for a person",
    "facts": ["lane server: next is check"],
    "hint": "qd attach api",
}
API = task(
    "api",
    asks="Drop it?",
    needs=("schema", "gone"),
    lane="server",
    attempt=2,
    failures=1,
    faults=1,
    retries=2,
    cost_usd=0.4213,
    cost_source="reported",
    tokens_in=120345,
    tokens_out=4521,
    prompt="Add POST",
    activity=Activity("waiting", "events", "permission", NOW - 125_000, "Drop it?"),
)
KNOWN = fleet(API, task("schema", state="succeeded"), task("other"))
ROW = task_json(API) | {"rule": "role implement", "prompt": "Add POST /login", "output": "done", "timeout_ms": 90_000}


def gateway_of() -> FakeGateway:
    return FakeGateway({"explain": SAID, "task": ROW})


async def test_it_tells_everything() -> None:
    async with hosted(Explain(gateway_of(), KNOWN, "api", now=now), (100, 60)) as (host, pilot):
        await eventually(pilot, lambda: "role implement" in host.text)
        for words in (
            "? W waiting",
            "api waits for a person",
            "lane server: next is check",
            "qd attach api",
            "waiting for 2m",
            "source events, rule permission",
            "question: Drop it?",
            "✓ S schema succeeded",
            "gone  not in view",
            "2; 1 own of 3 allowed failures, 1 of the infrastructure",
            "api-1",
            "$0.4213  reported",
            "120,345 in, 4,521 out  reported",
            "timeout 1m30s",
            "Add POST /login",
            "done",
        ):
            assert words in host.text, words


async def test_how_it_ended_and_its_command() -> None:
    failed = task("lint", state="failed", exit_code=2, detail="exit code 2", command="sh -c make")
    row = task_json(failed) | {"command": ["sh", "-c", "make lint"]}
    gateway = FakeGateway({"task": row})
    async with hosted(Explain(gateway, fleet(failed), "lint", now=now), (80, 40)) as (host, pilot):
        await eventually(pilot, lambda: "make lint" in host.text)
        rows = {line.strip(" │").partition(" ")[0]: line for line in host.text.splitlines()}
        assert "2" in rows["exit"]
        assert "took 3m00s" in rows["ran"]
        assert "sh -c" not in host.text


async def test_it_follows_the_task_and_what_it_needs() -> None:
    gateway = gateway_of()
    dialog = Explain(gateway, KNOWN, "api", now=now)
    async with hosted(dialog, (100, 60)) as (host, pilot):
        await eventually(pilot, lambda: not dialog._asking)
        gateway.answers["explain"] = SAID | {"summary": "it is refused now"}
        dialog.show(fleet(API, task("schema", state="failed"), task("other")))
        assert "✗ F schema failed" in (await drawn(host, pilot))
        await eventually(pilot, lambda: "it is refused now" in host.text)


async def drawn(host: object, pilot: object) -> str:
    await pilot.pause()  # type: ignore[attr-defined]
    return str(host.text)  # type: ignore[attr-defined]


async def test_a_busy_fleet_is_no_flood_of_questions() -> None:
    gateway = gateway_of()
    dialog = Explain(gateway, KNOWN, "api", now=now)
    async with hosted(dialog) as (_, pilot):
        await eventually(pilot, lambda: not dialog._asking)
        asked = len(gateway.made("explain"))
        gateway.hold = asyncio.Event()
        for cursor in range(100):
            dialog.show(replace(KNOWN, cursor=1000 + cursor))
        dialog.show(replace(KNOWN, cursor=2000, tasks={**KNOWN.tasks, "api": replace(API, cost_usd=1.0)}))
        for cursor in range(100):
            dialog.show(replace(KNOWN, cursor=3000 + cursor))
        await pilot.pause()
        assert len(gateway.made("explain")) == asked + 1
        gateway.hold.set()
        await eventually(pilot, lambda: not dialog._asking)
        assert dialog._stale  # asked once more after the pause
        dialog._rested()
        await eventually(pilot, lambda: not dialog._asking and not dialog._stale)


async def test_a_lost_supervisor_is_said_and_what_is_known_stays() -> None:
    gateway = gateway_of()
    gateway.answers["explain"] = NoSupervisor("nobody answers")
    async with hosted(Explain(gateway, KNOWN, "api", now=now), (80, 40)) as (host, pilot):
        await eventually(pilot, lambda: "nobody answers" in host.text)
        assert "question: Drop it?" in host.text


async def test_a_task_that_has_gone_from_the_fleet() -> None:
    gateway = gateway_of()
    async with hosted(Explain(gateway, fleet(), "api", now=now)) as (host, pilot):
        await eventually(pilot, lambda: "api waits for a person" in host.text)
        assert "no longer in the fleet" in host.text


async def test_y_copies_what_is_told() -> None:
    async with hosted(Explain(gateway_of(), KNOWN, "api", now=now)) as (host, pilot):
        await eventually(pilot, lambda: "api waits" in host.text)
        await pilot.press("y")
        (copied,) = host.copied
        assert copied.startswith("? W waiting")
        assert "prompt     Add POST /login\n" in copied
        assert any("copied" in text for text in host.told)


async def test_it_scrolls_by_keys() -> None:
    async with hosted(Explain(gateway_of(), KNOWN, "api", now=now), (60, 15)) as (host, pilot):
        await eventually(pilot, lambda: "lane server" in host.text)
        box = host.dialog.query_one("#explain")
        for keys in (["j", "j", "k"], ["space"], ["ctrl+u"], ["G"]):
            before = box.scroll_y
            await pilot.press(*keys)
            await pilot.pause()
            assert box.scroll_y != before, keys
        assert box.scroll_y == box.max_scroll_y
        assert "done" in host.text
        await pilot.press("g")
        await pilot.pause()
        assert box.scroll_y == 0


async def test_ages_are_drawn_again_only_while_they_grow() -> None:
    dialog = Explain(gateway_of(), KNOWN, "api", now=now)
    async with hosted(dialog) as (_, pilot):
        await pilot.pause()
        assert dialog._ageing is not None
        ended = task("api", state="succeeded")
        dialog.show(fleet(ended))
        await pilot.pause()
        assert dialog._ageing is None
