"""The themes: colours of the house, of states and of terminals. Every state colour is a variable `$state-...`."""

from __future__ import annotations

from textual.theme import Theme

_DARK = {
    "state-queued": "#7aa2f7",
    "state-running": "#4fd6be",
    "state-waiting": "#ffc777",
    "state-succeeded": "#8bd17c",
    "state-failed": "#ff757f",
    "state-cancelled": "#c099ff",
    "state-skipped": "#7a8099",
}
_LIGHT = {
    "state-queued": "#1f4fbf",
    "state-running": "#00707a",
    "state-waiting": "#8f5a00",
    "state-succeeded": "#2a7a1f",
    "state-failed": "#b3152a",
    "state-cancelled": "#6b2fb3",
    "state-skipped": "#5f6473",
}
# Okabe and Ito's set, told apart with every common form of colour blindness
_COLOUR_BLIND = {
    "state-queued": "#56b4e9",
    "state-running": "#f0e442",
    "state-waiting": "#e69f00",
    "state-succeeded": "#009e73",
    "state-failed": "#d55e00",
    "state-cancelled": "#cc79a7",
    "state-skipped": "#999999",
}
_CONTRAST = {
    "state-queued": "#9fd0ff",
    "state-running": "#00ffff",
    "state-waiting": "#ffff00",
    "state-succeeded": "#00ff66",
    "state-failed": "#ff8080",
    "state-cancelled": "#ffa0ff",
    "state-skipped": "#d0d0d0",
}

DEFAULT = "harbour"
THEMES = (
    Theme(
        name="harbour",
        primary="#65bcff",
        secondary="#86e1fc",
        accent="#ffc777",
        foreground="#c8d3f5",
        background="#12141c",
        surface="#181b26",
        panel="#222637",
        success="#8bd17c",
        warning="#ffc777",
        error="#ff757f",
        dark=True,
        variables=_DARK | {"block-cursor-text-style": "none", "footer-key-foreground": "#ffc777"},
    ),
    Theme(
        name="chart",
        primary="#1f4fbf",
        secondary="#00707a",
        accent="#8f5a00",
        foreground="#1b1f2a",
        background="#fbfaf6",
        surface="#f1efe8",
        panel="#e3e0d5",
        success="#2a7a1f",
        warning="#8f5a00",
        error="#b3152a",
        dark=False,
        variables=_LIGHT | {"block-cursor-text-style": "none"},
    ),
    Theme(
        name="beacon",  # high contrast
        primary="#ffffff",
        secondary="#00ffff",
        accent="#ffff00",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#1c1c1c",
        success="#00ff66",
        warning="#ffff00",
        error="#ff8080",
        dark=True,
        variables=_CONTRAST | {"block-cursor-text-style": "bold", "border": "#ffffff", "border-blurred": "#a0a0a0"},
    ),
    Theme(
        name="signal",  # colour-blind safe
        primary="#56b4e9",
        secondary="#56b4e9",
        accent="#e69f00",
        foreground="#dddddd",
        background="#101318",
        surface="#171b22",
        panel="#232935",
        success="#009e73",
        warning="#e69f00",
        error="#d55e00",
        dark=True,
        variables=_COLOUR_BLIND | {"block-cursor-text-style": "none"},
    ),
)
