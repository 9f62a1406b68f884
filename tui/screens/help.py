"""Help: every key by area, where the keymap file is, and a way to write one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from lite.errors import QuarterdeckError
from tui.keymap import AREAS, Key, catalogue, sample, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tui.app import Dashboard

_KEYS = 16  # cells
_ABOUT = (
    "Everything here goes on without the dashboard: q leaves, qd comes back.\n"
    "A badge is shape, letter and colour: ○ Q queued  ● R running  ? W waits for you  ◷ T throttled\n"
    "✓ S succeeded  ✗ F failed  ⊘ C cancelled  ↷ K skipped\n"
)


class Help(ModalScreen[None]):
    """Keys as they are in force, remapped ones too."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark", "dismiss", "Close", id="help.close"),
        Binding("j,down", "scroll(1)", "Down", show=False, id="help.down"),
        Binding("k,up", "scroll(-1)", "Up", show=False, id="help.up"),
        Binding("W", "write", "Write a keymap file", id="help.write"),
    ]

    @property
    def deck(self) -> Dashboard:
        app: Dashboard = self.app  # type: ignore[assignment]
        return app

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help") as box:
            box.border_title = "Keys"
            yield Static(self._text(catalogue()), id="help-text", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one("#help").focus()

    def _text(self, found: Mapping[str, list[Key]]) -> Text:
        text = Text(_ABOUT + "\n")
        remapped = self.deck.settings.keys
        for area, keys in found.items():
            text.append(f"{AREAS[area][0]}\n", "bold")
            for key in keys:
                if key.text:
                    text.append(f"  {shown(remapped.get(key.id, key.keys)):{_KEYS}} ", "bold")
                    text.append(f"{key.text:36} ")
                    text.append(f"{key.id}\n", "dim")
            text.append("\n")
        text.append(f"Keys, theme, detach key and slow link are set in\n  {self._path}\n")
        text.append("W writes one with every default in it, unless there is one.")
        return text

    def action_scroll(self, by: int) -> None:
        self.query_one("#help", VerticalScroll).scroll_relative(y=by, animate=False)

    def action_write(self) -> None:
        path = Path(self._path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x") as file:
                file.write(sample(catalogue()))
        except FileExistsError:
            self.deck.tell(f"{path} is there already; it is left alone", warn=True)
        except OSError as error:
            self.deck.complain(QuarterdeckError(f"cannot write it: {error.strerror or error}", place=str(path)))
        else:
            self.deck.tell(f"written: {path}")
