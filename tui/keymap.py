"""Every binding of the dashboard by its id, what a keymap file may say of them, and one to begin with."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import NamedTuple

from textual.binding import Binding

from lite.errors import QuarterdeckError
from tui.settings import Settings, SettingsInvalid

# area of the ids -> where its bindings stand, and its heading
AREAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "app": ("Everywhere", ("tui.app:Dashboard",)),
    "deck": ("Work", ("tui.screens.main:MainScreen",)),
    "fleet": ("Fleet list", ("tui.widgets.fleet_list:FleetList",)),
    "filter": ("Filter", ("tui.widgets.filter_bar:FilterBar",)),
    "pane": ("Terminal", ("tui.widgets.terminal:TerminalPane",)),
    "grid": ("Grid of terminals", ("tui.widgets.grid:TerminalGrid",)),
    "run": ("Run", ("tui.screens.run:RunScreen",)),
    "new": ("New task", ("tui.screens.new_task:NewTask", "tui.widgets.task_chooser:TaskChooser")),
    "plans": ("Plans", ("tui.screens.plans:PlanPicker",)),
    "send": ("Send", ("tui.screens.send:Send",)),
    "explain": ("Explain", ("tui.screens.explain:Explain",)),
    "confirm": ("Confirm", ("tui.screens.confirm:Confirm",)),
    "help": ("Help", ("tui.screens.help:Help",)),
}


class Key(NamedTuple):
    """One binding with an id."""

    id: str
    keys: str  # comma separated, as Textual names them
    text: str


def catalogue() -> dict[str, list[Key]]:
    """Area -> its bindings. Imports every screen: for the help and for checking a keymap, not for starting."""
    found: dict[str, list[Key]] = {}
    for area, (_, places) in AREAS.items():
        keys: dict[str, Key] = {}
        for place in places:
            module, _, name = place.partition(":")
            for key in bindings_of(getattr(import_module(module), name)):
                keys.setdefault(key.id, key)
        found[area] = list(keys.values())
    return found


def bindings_of(owner: type) -> Iterator[Key]:
    """Those with an id, of a class and of the classes it is made of."""
    for each in owner.__mro__:
        for binding in each.__dict__.get("BINDINGS", ()):
            if isinstance(binding, Binding) and binding.id:
                yield Key(binding.id, binding.key, binding.description)


def checked(settings: Settings, known: Iterable[str]) -> tuple[dict[str, str], list[QuarterdeckError]]:
    """The keymap to use, and what is wrong with the one in the file."""
    ids = set(known)
    keys: dict[str, str] = {}
    problems: list[QuarterdeckError] = []
    for name, value in settings.keys.items():
        if name in ids:
            keys[name] = value
            continue
        near = difflib.get_close_matches(name, ids, 1)
        hint = f"did you mean {near[0]}?" if near else "the help (?) lists them"
        problems.append(SettingsInvalid(f"no action is called {name}", hint=hint, place=f"{settings.path}: keys"))
    return keys, problems


def sample(found: Mapping[str, list[Key]]) -> str:
    """A `dashboard.yaml` with every setting commented out at its default."""
    lines = [
        "# Settings of the dashboard. Take the # away from what you want to change.",
        "# theme: harbour           # harbour, chart, beacon, signal, and Textual's own",
        "# detach_key: ctrl-]       # leaves an attached session, and a terminal you type into",
        "# slow_link: auto          # auto (over SSH), on, off: fewer frames, no animation",
        "# mouse: true",
        "keys:                      # action: keys; several with commas",
    ]
    for area, keys in found.items():
        lines.append(f"  # {AREAS[area][0]}")
        lines += [f"  # {key.id}: {_yaml(key.keys)}    # {key.text}" for key in keys]
    return "\n".join(lines) + "\n"


def _yaml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_SHOWN = {
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "escape": "esc",
    "slash": "/",
    "question_mark": "?",
    "colon": ":",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "asterisk": "*",
    "plus": "+",
    "minus": "-",
    "pageup": "pgup",
    "pagedown": "pgdn",
    "space": "space",
    "full_stop": ".",
    "comma": ",",
}


def shown(keys: str) -> str:
    """`j,down` as people read it: `j ↓`."""
    return " ".join(_one(key.strip()) for key in keys.split(",") if key.strip())


def _one(key: str) -> str:
    *modifiers, last = key.split("+") if len(key) > 1 else [key]
    last = _SHOWN.get(last, last)
    if modifiers == ["ctrl"]:
        return f"^{last}"
    return "-".join([*modifiers, last])
