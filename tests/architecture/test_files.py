"""The shape of the source: sizes, docstrings, nothing of the machine it was written on."""

from __future__ import annotations

import ast
import re
import statistics
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, name, python_files, tracked_files, tree

MOST_LINES = 600
LOOK_AT = 400  # lines; past this there is mostly a second thing in the file


def test_no_file_is_too_long(record_property: pytest.RecordProperty) -> None:
    sizes = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()}
    long = {path: lines for path, lines in sizes.items() if lines > LOOK_AT}
    record_property("files over 400 lines", ", ".join(f"{path} {lines}" for path, lines in long.items()) or "none")
    assert {path: lines for path, lines in sizes.items() if lines > MOST_LINES} == {}
    assert statistics.median(lines for lines in sizes.values() if lines > 1) <= 170


def test_every_package_says_what_it_is_for() -> None:
    silent = [name(path) for path in python_files() if path.name == "__init__.py" and not ast.get_docstring(tree(path))]
    assert silent == []


def test_no_room_for_odds_and_ends() -> None:
    vague = {"utils", "util", "helpers", "misc", "common", "stuff"}
    assert [name(path) for path in python_files() if path.stem in vague or path.parent.name in vague] == []


def _machine_paths() -> re.Pattern[str]:
    folders = "|".join(("root", "work"))
    return re.compile(rf"(?<![\w.~$}}*-])/(?:{folders})/")


def _registries() -> re.Pattern[str]:
    hosts = (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"), ("crates", "io"))
    return re.compile("|".join(rf"{host}\.{top}" for host, top in hosts) + "|index-url +http")


@pytest.mark.parametrize("pattern", [_machine_paths(), _registries()], ids=["paths of a machine", "registry hosts"])
def test_no_file_mentions(pattern: re.Pattern[str]) -> None:
    """What is true on one machine only does not belong into the project."""
    assert tracked_files()
    found = []
    for path in tracked_files():
        for number, line in enumerate(_lines(path), 1):
            if pattern.search(line):
                found.append(f"{name(path)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_the_check_above_can_fail() -> None:
    slash = "/"
    assert _machine_paths().search(f"cd {slash}root{slash}x")
    assert not _machine_paths().search("a path such as ~/work/x")
    assert _registries().search("https://pypi." + "org/simple")


def _lines(path: Path) -> list[str]:
    if path.is_relative_to(ROOT / "tests" / "providers" / "transcripts"):
        return []  # recorded from real programs, as they were
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return []
