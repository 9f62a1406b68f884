"""The whole dashboard on a fleet that tests hand to it: no supervisor, no clock, no user's files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from lite.home import Home
from tests.support.dashboards import NOW, FakeGateway
from tui.app import Dashboard
from tui.screens.main import MainScreen
from tui.settings import Settings
from tui.state import EMPTY, Fleet


class StillFollower:
    """A feed that has one thing to say."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.closed = False
        self._deliver: Callable[[Fleet], None] = lambda fleet: None

    def __call__(self, deliver: Callable[[Fleet], None]) -> StillFollower:
        self._deliver = deliver
        return self

    def start(self) -> None:
        self._deliver(self.fleet)

    async def aclose(self) -> None:
        self.closed = True


def dashboard(
    folder: Path,
    fleet: Fleet = EMPTY,
    gateway: Any = None,
    settings: Settings | None = None,
    now: Callable[[], int] = lambda: NOW,
) -> Dashboard:
    """Not started yet. `folder` becomes the project."""
    return Dashboard(
        Home(folder / ".quarterdeck"),
        settings or Settings(path=str(folder / "dashboard.yaml")),
        gateway=gateway or FakeGateway(),
        follower=StillFollower(fleet),
        now=now,
    )


@asynccontextmanager
async def opened(app: Dashboard, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Pilot[None]]:
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield pilot


def main_screen(app: Dashboard) -> MainScreen:
    """The lowest of the stack."""
    screen = app.screen_stack[0]
    assert isinstance(screen, MainScreen)
    return screen


def text_of(app: Dashboard) -> str:
    """What is on screen, as text."""
    width, height = app.size
    lines = app.screen._compositor.render_strips()
    return "\n".join(strip.text[:width] for strip in lines[:height])
