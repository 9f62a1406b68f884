"""The command palette: every action that has a key here and now, and every task by its name."""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from lite.terminal.sanitize import safe
from tui.badges import badge_of
from tui.keymap import shown

if TYPE_CHECKING:
    from textual.dom import DOMNode

    from tui.app import Dashboard

_MOST_TASKS = 50


class _Action(NamedTuple):
    text: str
    keys: str
    action: str
    node: DOMNode


class Actions(Provider):
    """Every enabled binding from the focused widget up to the app."""

    async def startup(self) -> None:
        keys: dict[tuple[str, str], list[str]] = {}
        nodes: dict[tuple[str, str], DOMNode] = {}
        for key, active in self.screen.active_bindings.items():
            binding = active.binding
            if active.enabled and binding.description and binding.id:
                at = (binding.description, binding.action)
                keys.setdefault(at, []).append(key)
                nodes[at] = active.node
        self._actions = [
            _Action(text, shown(",".join(found)), action, nodes[text, action]) for (text, action), found in keys.items()
        ]

    async def discover(self) -> Hits:
        for one in self._actions:
            yield DiscoveryHit(Content(one.text), self._command(one), text=one.text, help=one.keys)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for one in self._actions:
            score = matcher.match(one.text)
            if score > 0:
                yield Hit(score, matcher.highlight(one.text), self._command(one), text=one.text, help=one.keys)

    def _command(self, one: _Action) -> partial[Coroutine[object, object, bool]]:
        return partial(self.app.run_action, one.action, one.node)


class Tasks(Provider):
    """Go to a task by its name."""

    async def search(self, query: str) -> Hits:
        app: Dashboard = self.app  # type: ignore[assignment]
        matcher = self.matcher(query)
        scored = []
        for task in app.fleet.tasks.values():
            run = app.fleet.runs.get(task.run)
            name = safe(f"{run.name}/{task.name}" if run else task.name or task.id[:8])
            score = matcher.match(name)
            if score > 0:
                scored.append((score, task.seq, name, task))
        scored.sort(key=lambda one: one[:2], reverse=True)
        for score, _, name, task in scored[:_MOST_TASKS]:
            badge = badge_of(task)
            text = f"{badge.shape} {badge.letter} {name}"
            yield Hit(score, Content(text), partial(app.go_to_task, task.id), text=text, help=badge.word)
