"""Which providers there are, by name. Loaded when first asked for; a broken plug-in is reported, never fatal."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Mapping
from importlib import metadata

from providers.base import Capabilities, Provider
from providers.errors import BrokenProvider, UnknownProvider

GROUP = "quarterdeck.providers"
Load = Callable[[], Provider]


class Registry:
    """Thread-safe. The first name registered is the default."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._capabilities: dict[str, Capabilities] | None = None  # of all, once somebody asked
        self._refused: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Registry {', '.join(self.names())}; broken: {', '.join(self.broken()) or 'none'}>"

    @classmethod
    def with_installed(cls) -> Registry:
        """The built-in providers, then those of installed plug-ins."""
        registry = cls()
        for name, load in BUILT_IN.items():
            registry.register_lazy(name, load)
        registry.load_entry_points()
        return registry

    def register(self, name: str, provider: Provider) -> None:
        """Raises ValueError when the name is taken."""
        self.register_lazy(name, lambda: provider)

    def register_lazy(self, name: str, load: Load) -> None:
        """`load` is called once, when the provider is first needed; what it raises makes the provider broken."""
        with self._lock:
            if name in self._entries:
                raise ValueError(f"provider {name!r} is registered already")
            self._entries[name] = _Entry(name, load)
            self._capabilities = None

    def load_entry_points(self) -> None:
        """Register what installed distributions offer. Built-ins and earlier names win: a second one is reported."""
        for point in metadata.entry_points(group=GROUP):
            try:
                self.register_lazy(point.name, _loader(point))
            except ValueError:
                owner = point.dist.name if point.dist is not None else "?"
                if not point.value.startswith("providers."):
                    self._refused[f"{point.name} ({owner})"] = f"the name {point.name!r} is taken by another provider"

    @property
    def default(self) -> str:
        """The first registered name; "" when there is none."""
        with self._lock:
            return next(iter(self._entries), "")

    def names(self) -> tuple[str, ...]:
        """Everything registered but what turned out broken, in order."""
        with self._lock:
            return tuple(name for name, entry in self._entries.items() if not entry.problem)

    def get(self, name: str) -> Provider:
        """Raises `UnknownProvider` or `BrokenProvider`."""
        with self._lock:
            entry = self._entries.get(name)
            known = tuple(self._entries)
        if entry is None:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known providers: {', '.join(known) or 'none'}"
            raise UnknownProvider(f"unknown provider {name!r}", hint=hint, field="provider")
        return entry.provider()

    def capabilities(self) -> Mapping[str, Capabilities]:
        """Of every provider that could be loaded."""
        with self._lock:
            known = self._capabilities
        if known is None:
            known = {}
            for name in self.names():
                try:
                    known[name] = self.get(name).capabilities()
                except BrokenProvider:
                    continue
            with self._lock:
                self._capabilities = known
        return known

    def broken(self) -> Mapping[str, str]:
        """Name to message, of what could not be loaded so far."""
        with self._lock:
            found = {name: entry.problem for name, entry in self._entries.items() if entry.problem}
        return found | self._refused


class _Entry:
    """One provider, loaded at most once. Its own lock, so that a slow import holds up nobody else."""

    def __init__(self, name: str, load: Load) -> None:
        self.problem = ""
        self._name = name
        self._load = load
        self._lock = threading.RLock()
        self._loaded: Provider | None = None

    def provider(self) -> Provider:
        with self._lock:
            if self._loaded is None and not self.problem:
                try:
                    loaded = self._load()
                    if not isinstance(loaded, Provider):
                        raise TypeError(f"{loaded!r} is not a provider")
                    loaded.capabilities()
                    self._loaded = loaded
                except Exception as error:  # whatever a stranger's plug-in raises
                    self.problem = f"{type(error).__name__}: {error}"
            if self._loaded is None:
                raise BrokenProvider(
                    f"provider {self._name!r} cannot be loaded: {self.problem}",
                    hint="reinstall or remove the package it comes from",
                    field="provider",
                )
            return self._loaded


def _loader(point: metadata.EntryPoint) -> Load:
    def load() -> Provider:
        made: Provider = point.load()()
        return made

    return load


# Imports spelled out: found in a frozen executable, which has no distribution metadata.
def _shell() -> Provider:
    from providers.shell import ShellProvider

    return ShellProvider()


def _claude() -> Provider:
    from providers.claude import ClaudeProvider

    return ClaudeProvider()


def _codex() -> Provider:
    from providers.codex import CodexProvider

    return CodexProvider()


def _opencode() -> Provider:
    from providers.opencode import OpenCodeProvider

    return OpenCodeProvider()


def _gemini() -> Provider:
    from providers.gemini import GeminiProvider

    return GeminiProvider()


def _http() -> Provider:
    from providers.http import HttpProvider

    return HttpProvider()


def _scripted() -> Provider:
    from providers.scripted import ScriptedProvider

    return ScriptedProvider()


def _acp() -> Provider:
    from providers.acp import AcpProvider

    return AcpProvider()


def _noop() -> Provider:
    from providers.noop import NoopProvider

    return NoopProvider()


BUILT_IN: Mapping[str, Load] = {
    "shell": _shell,
    "claude": _claude,
    "codex": _codex,
    "opencode": _opencode,
    "gemini": _gemini,
    "http": _http,
    "scripted": _scripted,
    "noop": _noop,
    "acp": _acp,
}
