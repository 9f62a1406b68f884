"""Choose a plan, see what it would run, run it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.fuzzy import Matcher
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from lite.errors import IllegalState, NotFound, QuarterdeckError
from tui.cells import line
from tui.plan_files import find_plans
from tui.screens.dialog import Dialog, Problem
from tui.widgets.entry import Entry
from tui.widgets.key_bar import KeyBar
from tui.widgets.plan_preview import PlanPreview

if TYPE_CHECKING:
    from textual.timer import Timer

    from lite.api.messages import PlanSubmittedJson
    from tui.gateway import Gateway

_LARGEST = 1 << 20  # bytes of a plan
_SETTLE = 0.15  # seconds the cursor rests on a file before it is tried
_LONGEST = 1_000  # characters typed


class _Tried(NamedTuple):
    """What the preview shows; `found` None: the plan is refused."""

    path: Path
    text: str
    found: PlanSubmittedJson | None


class PlanPicker(Dialog[str]):
    """The id of the run it started, "" when it was left. What runs is the text that was tried, and only if clean."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "run", "Run it", priority=True, id="plans.run"),
        Binding("down,ctrl+n", "move(1)", "Next", show=False, priority=True, id="plans.down"),
        Binding("up,ctrl+p", "move(-1)", "Previous", show=False, priority=True, id="plans.up"),
        Binding("ctrl+t", "file", "File / tasks", priority=True, id="plans.file"),
        Binding("ctrl+r", "again", "Look again", priority=True, id="plans.again"),
        Binding("pagedown", "scroll(1)", "Preview down", show=False, priority=True, id="plans.page_down"),
        Binding("pageup", "scroll(-1)", "Preview up", show=False, priority=True, id="plans.page_up"),
        Binding("escape", "close", "Close", id="plans.close"),
    ]

    def __init__(self, gateway: Gateway, project: Path) -> None:
        super().__init__()
        self._gateway = gateway
        self._project = project
        self._found: list[Path] = []  # relative to the project
        self._kept: list[Path] = []  # those listed, absolute or relative
        self._looked = False
        self._tried: _Tried | None = None
        self._wanted: Path | None = None  # to be run as soon as its preview is clean
        self._starting = False
        self._settling: Timer | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="plans") as box:
            box.border_title = "Run a plan"
            yield Entry(placeholder="type to find, or a path", id="plan-filter", compact=True, max_length=_LONGEST)
            with Horizontal(id="plans-both"):
                yield OptionList(id="plan-files", compact=True)
                yield PlanPreview()
            yield Problem()
        yield KeyBar(last="escape")

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self._preview.say("looking for plans")
        self._find()

    @property
    def _preview(self) -> PlanPreview:
        return self.query_one(PlanPreview)

    @property
    def _files(self) -> OptionList:
        return self.query_one("#plan-files", OptionList)

    # which files there are

    @work(exclusive=True, group="find")
    async def _find(self) -> None:
        self._found = await asyncio.to_thread(find_plans, self._project)
        self._looked = True
        self._list()

    @on(Input.Changed)
    def _typed(self) -> None:
        self._wanted = None
        self._list()

    def _list(self, first: Path | None = None) -> None:
        """Show what fits the words typed; `first` is a file they name themselves."""
        wanted = self.query_one(Input).value.strip()
        matcher = Matcher(wanted) if wanted else None
        scored = [(matcher.match(str(path)) if matcher else 1.0, path) for path in self._found]
        kept = [path for score, path in sorted(scored, key=lambda one: -one[0]) if score > 0]
        self._kept = [first, *(path for path in kept if self._project / path != first)] if first else kept
        self._files.clear_options()
        self._files.add_options(Option(Text(line(str(path)), no_wrap=True, overflow="ellipsis")) for path in self._kept)
        if self._kept:
            self._files.highlighted = 0
        elif self._looked:
            self._tried = None
            self.calm()
            here = line(str(self._project))
            self._preview.say("no plan fits" if wanted else f"No plan below {here}: a YAML file with tasks: in it.")
        if wanted and first is None:
            self._look_for(wanted)

    @work(exclusive=True, group="name")
    async def _look_for(self, wanted: str) -> None:
        """Has somebody typed the path of a file?"""
        path = await asyncio.to_thread(_named, self._project, wanted)
        if path is not None:
            self._list(first=path)

    @on(OptionList.OptionHighlighted)
    def _highlighted(self) -> None:
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(_SETTLE, self._settled)

    def _settled(self) -> None:
        chosen = self._chosen()
        if chosen is not None and (self._tried is None or chosen != self._tried.path):
            self._try(chosen)

    def _chosen(self) -> Path | None:
        at = self._files.highlighted
        return self._project / self._kept[at] if at is not None and at < len(self._kept) else None

    # looking

    @work(exclusive=True, group="preview")
    async def _try(self, path: Path, because: QuarterdeckError | None = None) -> None:
        """`because`: why it is tried again, to be read beside the new preview."""
        self._preview.say("trying it")
        text = ""
        try:
            text = await asyncio.to_thread(_read, path)
            found = await self._gateway.plan(text, source=str(path), cwd=str(self._project), dry_run=True)
        except QuarterdeckError as error:
            self._tried, self._wanted = _Tried(path, text, None), None
            self.complain(error)
            self._preview.show_error(text, error.place)
            return
        if because is None:
            self.calm()
        else:
            self.complain(because)
        self._tried = _Tried(path, text, found)
        self._preview.show_plan(text, found)
        if self._wanted == path:
            self._run(self._tried)

    def action_move(self, by: int) -> None:
        self._wanted = None
        if by > 0:
            self._files.action_cursor_down()
        else:
            self._files.action_cursor_up()

    def action_file(self) -> None:
        self._preview.turn()

    def action_scroll(self, by: int) -> None:
        self._preview.scroll_page(by)

    def action_again(self) -> None:
        """Files and contents may have changed."""
        self._tried = self._wanted = None
        self._find()

    def action_close(self) -> None:
        if self._starting:
            self.tell("closed before the supervisor answered: the run may have been started", warn=True)
        self.dismiss("")

    # running

    def action_run(self) -> None:
        chosen = self._chosen()
        if chosen is None or self._starting:
            return
        tried = self._tried
        if tried is None or tried.path != chosen:
            self._wanted = chosen  # the preview is on its way
            self._try(chosen)
        elif tried.found is not None:
            self._run(tried)
        else:
            self._try(chosen)  # it may have been mended

    @on(events.Click, "#plan-files")
    def _clicked(self, event: events.Click) -> None:
        if event.chain == 2:
            self.action_run()

    def _run(self, tried: _Tried) -> None:
        self._starting, self._wanted = True, None
        self._submit(tried)

    @work
    async def _submit(self, tried: _Tried) -> None:
        try:
            if await asyncio.to_thread(_read, tried.path) != tried.text:
                changed = IllegalState("the file has just changed", hint="look at it again, then press Enter")
                self._try(tried.path, changed)
                return
            made = await self._gateway.plan(tried.text, source=str(tried.path), cwd=str(self._project))
        except QuarterdeckError as error:
            self.complain(error)
            return
        finally:
            self._starting = False
        self.dismiss(made["run"]["id"] if made["run"] else "")


def _named(project: Path, words: str) -> Path | None:
    """The file that `words` are the path of."""
    try:
        path = project / Path(words).expanduser()
        return path if path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # too long, an unknown user, a NUL
        return None


def _read(path: Path) -> str:
    """Raises `NotFound` in words for whatever cannot be read."""
    try:
        if not path.is_file():
            raise NotFound("is not a file", place=str(path))
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise NotFound("too large for a plan", hint="1 MiB is the most", place=str(path))
        return data.decode()
    except UnicodeDecodeError as error:
        raise NotFound(f"is not UTF-8: byte {error.start}", place=str(path)) from error
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise NotFound(f"cannot be read: {said}", place=str(path)) from error
