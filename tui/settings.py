"""What a person sets for their own dashboard: `dashboard.yaml` in the XDG configuration directory.

A wrong value keeps its default and is told with file, line and column; it never keeps the dashboard from opening.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lite.errors import QuarterdeckError, UsageError
from lite.terminal.keys import DEFAULT, DetachKey

NAME = "dashboard.yaml"
_TOP = ("theme", "detach_key", "slow_link", "mouse", "keys")


class SettingsInvalid(QuarterdeckError):
    """The dashboard's settings are wrong; `place` is file:line:column."""

    code, exit_code = "dashboard-settings", 3


@dataclass(frozen=True)
class Settings:
    """`keys`: binding id -> keys, comma separated, in Textual's names. `problems` were met while reading."""

    theme: str = ""  # "": the one chosen last, or the default
    detach_key: str = DEFAULT  # leaves an attached session and a pane typed into
    slow_link: str = "auto"  # auto, on, off
    mouse: bool = True
    keys: Mapping[str, str] = field(default_factory=dict)
    path: str = ""
    problems: tuple[QuarterdeckError, ...] = ()


def settings_path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path("~/.config").expanduser())
    return Path(base) / "quarterdeck" / NAME


def load(path: Path | None = None) -> Settings:
    """The settings in force; those of a missing file are the defaults."""
    path = path or settings_path()
    try:
        text = path.read_text()
    except FileNotFoundError:
        return Settings(path=str(path))
    except (OSError, UnicodeDecodeError) as error:
        return Settings(path=str(path), problems=(SettingsInvalid(f"cannot be read: {error}", place=str(path)),))
    from lite.config.yamlmarks import read_document  # yaml costs 15 ms: only for who has such a file

    try:
        document = read_document(text, str(path), SettingsInvalid)
    except SettingsInvalid as error:
        return Settings(path=str(path), problems=(error,))
    return _Reader(document.value, document.place, str(path)).settings()


class _Reader:
    def __init__(self, value: Any, place: Any, path: str) -> None:
        self._value = {} if value is None else value
        self._place = place
        self._path = path
        self._problems: list[QuarterdeckError] = []

    def settings(self) -> Settings:
        if not isinstance(self._value, dict):
            self._wrong("must be a mapping")
            return Settings(path=self._path, problems=tuple(self._problems))
        for key in self._value:
            if key not in _TOP:
                self._wrong(f"unknown key {key!r}", key, hint=f"known are {', '.join(_TOP)}")
        return Settings(
            theme=self._text("theme", ""),
            detach_key=self._detach(),
            slow_link=self._slow(),
            mouse=self._mouse(),
            keys=self._keys(),
            path=self._path,
            problems=tuple(self._problems),
        )

    def _wrong(self, message: str, *where: str, hint: str = "") -> None:
        self._problems.append(SettingsInvalid(message, hint=hint, place=self._place(*where)))

    def _text(self, key: str, default: str) -> str:
        value = self._value.get(key, default)
        if isinstance(value, str):
            return value
        self._wrong(f"{key} must be text", key)
        return default

    def _detach(self) -> str:
        name = self._text("detach_key", DEFAULT)
        try:
            DetachKey(name)
        except UsageError as error:
            self._wrong(error.message, "detach_key", hint=error.hint)
            return DEFAULT
        return name

    def _slow(self) -> str:
        value = self._value.get("slow_link", "auto")
        if isinstance(value, bool):
            return "on" if value else "off"
        if value in ("auto", "on", "off"):
            return str(value)
        self._wrong("slow_link must be auto, on or off", "slow_link")
        return "auto"

    def _mouse(self) -> bool:
        value = self._value.get("mouse", True)
        if isinstance(value, bool):
            return value
        self._wrong("mouse must be true or false", "mouse")
        return True

    def _keys(self) -> dict[str, str]:
        given = self._value.get("keys") or {}
        if not isinstance(given, dict):
            self._wrong("keys must map an action to its keys", "keys")
            return {}
        found: dict[str, str] = {}
        for name, value in given.items():
            listed = value if isinstance(value, list) else [value]
            if all(isinstance(one, str) and one.strip() for one in listed):
                found[name] = ",".join(_key_name(one) for one in listed)
            else:
                self._wrong(f"the keys of {name} must be text or a list of texts", "keys", name)
        return found


def _key_name(text: str) -> str:
    """`ctrl-x` as people write it, for Textual's `ctrl+x`; a lone character stays."""
    return text if len(text) == 1 else ",".join(part.strip().replace("ctrl-", "ctrl+") for part in text.split(","))


def is_slow(choice: str, environ: Mapping[str, str]) -> bool:
    """The slow-link profile: by itself over SSH."""
    if choice == "auto":
        return bool(environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"))
    return choice == "on"
