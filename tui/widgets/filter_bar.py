"""The filter bar: a filter as it is typed, with what is wrong with it and what may follow."""

from __future__ import annotations

from typing import ClassVar

from rich.highlighter import Highlighter
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Input

from tui.cells import clip, line
from tui.filters import EVERYTHING, Filter, FilterError, parse
from tui.state import EMPTY, Fleet
from tui.widgets.filter_words import Offer, offer

_HINT = "words, state:failed agent:dev -run:x; tab completes"


class FilterBar(Input):
    """`open(text)` shows it with the filter in force, `show(fleet)` tells it what there is to complete. Says `Filtered`
    while the user types, and `Closed` when done."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "keep", "Keep the filter", id="filter.keep"),
        Binding("escape", "restore", "As it was", id="filter.restore"),
        Binding("tab", "complete(1)", "Complete", id="filter.complete"),
        Binding("shift+tab", "complete(-1)", "Complete backward", show=False, id="filter.complete_back"),
        Binding("down", "keep", "To the list", show=False, id="filter.to_list"),
    ]
    DEFAULT_CSS = """
    FilterBar {
        display: none; height: 3; padding: 0 1; background: $surface; border: round $foreground 25%;
        border-title-color: $text-muted; border-subtitle-color: $text-muted;
        &:focus { border: round $border; background-tint: $foreground 0%; }
        &.-wrong, &.-wrong:focus { border: round $error; border-subtitle-color: $error; }
    }
    """

    class Filtered(Message):
        """The filter to use now; while a term is wrong, that of the others."""

        def __init__(self, filter: Filter) -> None:
            super().__init__()
            self.filter = filter

    class Closed(Message):
        """The bar is gone, the filter said last holds. Give the focus back to the list."""

    def __init__(self, *, id: str | None = None) -> None:
        self._wrong_at = _WrongAt()
        super().__init__(id=id, highlighter=self._wrong_at, select_on_focus=False, max_length=500)
        self._fleet = EMPTY
        self._good = self._before = EVERYTHING
        self._offer: Offer | None = None  # what Tab goes through
        self._taken = -1
        self._completed = ""  # the text Tab made; another text begins anew
        self.border_title = "Filter"
        self.cursor_blink = False  # nothing is written while nobody types

    def show(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def open(self, text: str) -> None:
        """Show the bar with `text`, the filter in force, and take the keys."""
        self._good = self._before = _parsed(text)
        self.value = self._good.text
        self.cursor_position = len(self.value)
        self.display = True
        self._say(_HINT)
        self.focus()

    def watch_value(self, value: str) -> None:
        clean = line(value)
        if clean != value:  # a paste may carry anything
            self.value = clean
            return
        if not self.display or (value == self._good.text and not self.has_class("-wrong")):
            return
        try:
            found = parse(value)
        except FilterError as error:
            found = error.kept
            self._say(f"{error}; {error.hint}" if error.hint else str(error), wrong_at=error.position)
        else:
            self._say(_HINT)
        if found != self._good:
            self._good = found
            self.post_message(self.Filtered(found))

    def on_blur(self) -> None:
        """Leaving by the mouse keeps the filter; a terminal that loses the focus changes nothing."""
        if self.display and self.app.app_focus:
            self._close()

    def action_keep(self) -> None:
        self._close()

    def action_restore(self) -> None:
        if self._good != self._before:
            self._good = self._before
            self.post_message(self.Filtered(self._before))
        self._close()

    def action_complete(self, by: int) -> None:
        """The word at the cursor becomes the next of what it may be; the border lists them."""
        if self._offer is None or self.value != self._completed:
            self._offer, self._taken = offer(self.value, self.cursor_position, self._fleet), -1
        words = self._offer.words
        if not words:
            self._say("nothing to complete")
            return
        self._taken = (self._taken + by) % len(words) if self._taken >= 0 or by > 0 else len(words) - 1
        word = words[self._taken]
        text = self.value
        end = self._offer.end
        self.value = text[: self._offer.start] + word + text[end:]
        self.cursor_position = self._offer.start + len(word)
        self._completed = self.value
        self._offer = self._offer._replace(end=self.cursor_position)
        if len(words) == 1:  # the next Tab completes what comes after
            self._offer = None
            shown = offer(self.value, self.cursor_position, self._fleet).words
        else:
            shown = (*words[self._taken :], *words[: self._taken])
        self._say("  ".join(each.rpartition(":")[2] or each for each in shown[:8]))

    def _close(self) -> None:
        self.display = False
        self._wrong_at.position = None
        self.set_class(False, "-wrong")
        self._offer = None
        self.post_message(self.Closed())

    def _say(self, text: str, *, wrong_at: int | None = None) -> None:
        self._wrong_at.position = wrong_at
        self.set_class(wrong_at is not None, "-wrong")
        self.border_subtitle = Content(clip(line(text), max(10, self.size.width)))


def _parsed(text: str) -> Filter:
    try:
        return parse(text)
    except FilterError as error:
        return error.kept


class _WrongAt(Highlighter):
    """Underlines what follows the place of the error."""

    position: int | None = None

    def highlight(self, text: Text) -> None:
        if self.position is not None:
            text.stylize("underline", min(self.position, max(0, len(text) - 1)))
