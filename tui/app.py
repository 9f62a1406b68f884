"""The application: one feed, one fleet, the screens that show it."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Protocol

from textual import on
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.driver import Driver

from lite.errors import QuarterdeckError
from lite.terminal.emulators import preload
from lite.terminal.sanitize import safe
from tui import memory
from tui.state import EMPTY, Fleet
from tui.themes import DEFAULT, THEMES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.command import Provider
    from textual.screen import Screen

    from lite.home import Home
    from tui.gateway import Gateway
    from tui.settings import Settings

_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def _actions() -> type[Provider]:
    from tui.palette import Actions

    return Actions


def _tasks() -> type[Provider]:
    from tui.palette import Tasks

    return Tasks


class Follower(Protocol):
    """A feed: calls back in the loop with every new fleet."""

    def start(self) -> None: ...

    async def aclose(self) -> None: ...


class Dashboard(App[None]):
    """A pure client: everything on screen comes from the feed, everything done goes through the gateway."""

    TITLE = "Quarterdeck"
    CSS_PATH = "styles/main.tcss"
    COMMANDS: ClassVar = {_actions, _tasks}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit", tooltip="Everything goes on without the dashboard", id="app.quit"),
        Binding("question_mark", "help", "Help", key_display="?", show=False, id="app.help"),
        Binding("ctrl+p,colon", "command_palette", "Palette", key_display=":", show=True, id="app.palette"),
        Binding("T", "themes", "Change the theme", show=False, id="app.theme"),
        Binding("ctrl+z", "suspend_process", "To the shell", show=False, id="app.suspend"),
    ]
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self,
        home: Home,
        settings: Settings,
        *,
        slow: bool = False,
        gateway: Gateway | None = None,
        follower: Callable[[Callable[[Fleet], None]], Follower] | None = None,
        now: Callable[[], int] | None = None,
    ) -> None:
        self.environ = dict(os.environ)  # for what we start; Textual takes NO_COLOR out
        super().__init__()
        self.home = home
        self.settings = settings
        self.slow = slow
        self.now = now or (lambda: int(time.time() * 1000))
        self.fleet = EMPTY
        self._watchers: list[Callable[[], None]] = []
        self.gateway = gateway or _gateway(home)
        self._follower = (follower or partial(_feed, home))(self.deliver)
        self._memory = memory.load()
        for theme in THEMES:
            self.register_theme(theme)
        wanted = settings.theme or self._memory.get("theme", DEFAULT)
        # not yet drawn: telling the watchers would have every style sheet read twice
        self.set_reactive(App.theme, wanted if wanted in self.available_themes else DEFAULT)
        self.stylesheet.set_variables(self.get_css_variables())

    def get_default_screen(self) -> Screen[None]:
        from tui.screens.main import MainScreen

        return MainScreen(self.gateway, self.settings, self.home, now=self.now, slow=self.slow)

    def on_mount(self) -> None:
        self._mind_signals()
        self._follower.start()
        self._check_settings()

    def on_ready(self) -> None:
        """After the first paint: what was put off."""
        gc.freeze()
        gc.enable()
        preload()

    @on(Driver.SignalResume)
    def _back_from_the_shell(self) -> None:
        """Textual takes the terminal again but paints nothing."""
        self.refresh(layout=True)

    async def on_unmount(self) -> None:
        self._ignore_signals()
        self.gateway.close()
        await self._follower.aclose()

    def _mind_signals(self) -> None:
        """A signal that ends us still puts the terminal back."""
        for each in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(each, self._ended, each)

    def _ignore_signals(self) -> None:
        for each in _SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(each)

    def _ended(self, signum: int) -> None:
        self.exit(return_code=128 + signum)

    def _check_settings(self) -> None:
        problems = list(self.settings.problems)
        if self.settings.keys:
            from tui.keymap import catalogue, checked

            known = [key.id for keys in catalogue().values() for key in keys]
            keys, wrong = checked(self.settings, known)
            problems += wrong
            self.set_keymap(keys)
        if self.settings.theme and self.settings.theme not in self.available_themes:
            names = ", ".join(theme.name for theme in THEMES)
            problems.append(
                QuarterdeckError(f"no theme is called {self.settings.theme}", hint=names, place=self.settings.path)
            )
        for problem in problems:
            self.complain(problem)

    # what the feed says

    def deliver(self, fleet: Fleet) -> None:
        """Show a new state of the fleet everywhere."""
        self.fleet = fleet
        for screen in self.screen_stack:
            show = getattr(screen, "show", None)
            if show is not None:
                show(fleet)
        for call in self._watchers:
            call()

    @contextmanager
    def watched(self, call: Callable[[], None]) -> Iterator[None]:
        """`call` after every new fleet."""
        self._watchers.append(call)
        try:
            yield
        finally:
            self._watchers.remove(call)

    # what everybody may use

    def complain(self, error: QuarterdeckError, title: str = "") -> None:
        text = safe(str(error)) + (f"\n{safe(error.hint)}" if error.hint else "")
        self.notify(text, title=safe(title), severity="error", timeout=8, markup=False)

    def tell(self, text: str, *, warn: bool = False) -> None:
        self.notify(safe(text), severity="warning" if warn else "information", timeout=4, markup=False)

    def go_to_task(self, task: str) -> None:
        from tui.screens.main import MainScreen

        while not isinstance(self.screen, MainScreen) and len(self.screen_stack) > 1:
            self.pop_screen()
        if isinstance(self.screen, MainScreen):
            self.screen.go_to(task)

    def choose_theme(self, name: str) -> None:
        self.theme = name
        memory.remember(self._memory, theme=name)

    # actions

    def action_help(self) -> None:
        from tui.screens.help import Help

        if not isinstance(self.screen, Help):
            self.push_screen(Help(self.settings.path))

    def action_themes(self) -> None:
        self.search_commands(
            [(name, partial(self.choose_theme, name)) for name in sorted(self.available_themes)],
            placeholder="Theme",
        )

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """None of Textual's: ours come from the bindings."""
        del screen
        yield from ()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """The terminal and the signals belong to somebody else; taken back on every way out, with nothing painted
        between."""
        with self.batch_update():
            failure: BaseException | None = None
            with self.suspend():
                self._ignore_signals()
                try:
                    yield
                except BaseException as error:  # suspend() itself would leave the terminal lent
                    failure = error
                self._mind_signals()
            if failure is not None:
                raise failure


def _gateway(home: Home) -> Gateway:
    from tui.calls import SocketGateway

    return SocketGateway(home)


def _feed(home: Home, deliver: Callable[[Fleet], None]) -> Follower:
    from lite.api.client import Client
    from tui.feed import Feed

    return Feed(lambda: Client(home.socket_path), deliver)
