"""Every key of every view is pressed on a fleet with something of everything: none may raise or hang."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.binding import Binding

from tests.support.dashboards import FakeGateway
from tests.support.opened import dashboard, main_screen, opened
from tests.support.scenes import EXPLANATION, RUN, a_fleet, a_log
from tui.app import Dashboard
from tui.keymap import AREAS, catalogue

# area -> the keys that open its view from the list
WAYS = {
    "app": (),
    "deck": (),
    "fleet": (),
    "filter": ("slash",),
    "pane": ("enter",),
    "grid": ("v",),
    "run": ("d",),
    "new": ("n",),
    "plans": ("p",),
    "send": ("s",),
    "explain": ("e",),
    "confirm": ("c",),
    "help": ("question_mark",),
}
ENDS = {"app.quit", "app.suspend", "deck.attach"}  # proven in tests/e2e, in a real terminal


def keys_of(area: str) -> list[str]:
    return [key for each in catalogue()[area] if each.id not in ENDS for key in _names(each.keys)]


def _names(keys: str) -> list[str]:
    made = Binding.make_bindings([Binding(keys, "x", "x")])
    return [binding.key for binding in made]


def test_every_area_is_here() -> None:
    assert set(WAYS) == set(AREAS)


@pytest.mark.parametrize("size", [(130, 40), (60, 15)], ids=str)
@pytest.mark.parametrize("area", sorted(WAYS))
async def test_press_all(tmp_path: Path, area: str, size: tuple[int, int]) -> None:
    (tmp_path / "p.yaml").write_text("tasks:\n  a: {command: 'true'}\n")
    gateway = FakeGateway()
    gateway.answers["explain"] = EXPLANATION
    gateway.logs[RUN] = a_log()
    app = dashboard(tmp_path, a_fleet(), gateway)
    async with opened(app, size) as pilot:
        for key in keys_of(area):
            back_to_list(app)
            await pilot.pause()
            await pilot.press(*WAYS[area])
            await pilot.press(key)
        assert app.is_running
        assert app._exception is None


def back_to_list(app: Dashboard) -> None:
    while len(app.screen_stack) > 1:
        app.pop_screen()
    screen = main_screen(app)
    screen.remove_class("-grid", "-zoomed")
    screen.go_to("api")
