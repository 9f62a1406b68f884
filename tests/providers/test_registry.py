"""The registry: lazily loaded, thread-safe, never broken by a stranger."""

from __future__ import annotations

import threading
from importlib import metadata

import pytest

from providers import registry
from providers.base import Provider
from providers.errors import BrokenProvider, UnknownProvider
from providers.noop import NoopProvider
from providers.registry import BUILT_IN, Registry
from providers.shell import ShellProvider


class FakeDistribution:
    name = "stranger"


class FakePoint:
    """An entry point of an installed plug-in."""

    def __init__(self, name: str, load: object) -> None:
        self.name, self.value, self._load = name, "stranger.module:Thing", load
        self.dist = FakeDistribution()

    def load(self) -> object:
        if isinstance(self._load, Exception):
            raise self._load
        return self._load


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[FakePoint]:
    points: list[FakePoint] = []
    monkeypatch.setattr(metadata, "entry_points", lambda group: points if group == registry.GROUP else [])
    return points


def test_built_in_providers_are_there_without_any_metadata(installed: list[FakePoint]) -> None:
    found = Registry.with_installed()
    assert found.names() == ("shell", "claude", "codex", "opencode", "gemini", "http", "scripted", "noop", "acp")
    assert set(found.capabilities()) == set(found.names())
    assert not found.broken()


def test_this_projects_own_entry_points_name_the_built_in_classes() -> None:
    for point in metadata.entry_points(group=registry.GROUP):
        if point.value.startswith("providers."):
            assert type(registry.BUILT_IN[point.name]()) is point.load()


def test_the_first_registered_is_the_default() -> None:
    found = Registry()
    assert found.default == ""
    found.register("b", NoopProvider())
    found.register("a", ShellProvider())
    assert found.default == "b"
    assert found.names() == ("b", "a")


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(UnknownProvider) as unknown:
        Registry.with_installed().get("cluade")
    assert unknown.value.hint == "did you mean claude?"
    with pytest.raises(UnknownProvider) as unknown:
        Registry.with_installed().get("zzz")
    assert "shell" in unknown.value.hint


def test_a_name_is_registered_once() -> None:
    found = Registry()
    found.register("x", NoopProvider())
    with pytest.raises(ValueError, match="'x'"):
        found.register("x", NoopProvider())


@pytest.mark.parametrize("problem", [ImportError("no module named gone"), RuntimeError("boom")])
def test_a_broken_plug_in_is_reported_and_skipped(installed: list[FakePoint], problem: Exception) -> None:
    installed.append(FakePoint("odd", problem))
    installed.append(FakePoint("fine", NoopProvider))
    found = Registry.with_installed()
    assert "odd" in found.names(), "not loaded before it is needed"
    with pytest.raises(BrokenProvider, match=str(problem)):
        found.get("odd")
    assert set(found.capabilities()) == {*BUILT_IN, "fine"}
    assert "odd" not in found.names()
    assert str(problem) in found.broken()["odd"]


def test_what_is_no_provider_is_broken(installed: list[FakePoint]) -> None:
    installed.append(FakePoint("odd", dict))
    with pytest.raises(BrokenProvider, match="not a provider"):
        Registry.with_installed().get("odd")


def test_a_plug_in_cannot_take_a_built_in_name(installed: list[FakePoint]) -> None:
    installed.append(FakePoint("shell", NoopProvider))
    found = Registry.with_installed()
    assert isinstance(found.get("shell"), ShellProvider)
    assert list(found.broken()) == ["shell (stranger)"]


def test_a_provider_is_loaded_once_by_many_threads() -> None:
    loads: list[int] = []
    gate = threading.Barrier(8)

    def load() -> Provider:
        loads.append(1)
        return NoopProvider()

    found = Registry()
    found.register_lazy("x", load)
    got: list[Provider] = []

    def ask(number: int) -> None:
        gate.wait(30)
        found.register(f"more-{number}", NoopProvider())
        got.append(found.get("x"))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(loads) == 1
    assert len(set(map(id, got))) == 1
    assert len(found.names()) == 9


def test_a_slow_provider_holds_up_no_other() -> None:
    entered, leave = threading.Event(), threading.Event()

    def load() -> Provider:
        entered.set()
        assert leave.wait(30)
        return NoopProvider()

    found = Registry()
    found.register_lazy("slow", load)
    found.register("quick", ShellProvider())
    thread = threading.Thread(target=found.get, args=("slow",))
    thread.start()
    assert entered.wait(30)
    assert isinstance(found.get("quick"), ShellProvider)
    assert found.names() == ("slow", "quick")
    leave.set()
    thread.join(30)
    assert isinstance(found.get("slow"), NoopProvider)
