"""One stage per test; at the end, a table of what each program came to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.agents import Row, chosen
from tests.real.install import programs
from tests.real.models.http import ClosedPort
from tests.real.models.server import ModelServer
from tests.real.stage import Stage, prepare

_results: dict[str, dict[str, str]] = defaultdict(dict)  # program -> case -> outcome


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "row" in metafunc.fixturenames:
        metafunc.parametrize("row", chosen(), ids=repr, scope="session")


@pytest.fixture
def stage(row: Row, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    case = getattr(request.node, "originalname", request.node.name).removeprefix("test_")
    if why := row.unlike.get(case):
        pytest.skip(why)
    if not programs()[row.name].installed:
        pytest.fail(f"{row.name} is not installed: make test-real does it", pytrace=False)
    with ClosedPort() as nowhere, ModelServer() as server, prepare(row, server, nowhere, tmp_path) as fleet:
        assert fleet.up() == "ready"
        yield Stage(row, server, fleet, nowhere)
        assert server.failures == []
    assert fleet.survivors() == [], "something of the project runs on"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    callspec = getattr(item, "callspec", None)
    row = callspec.params.get("row") if callspec else None
    if row is not None and (report.when == "call" or not report.passed):
        case = item.name.replace(f"[{row.name}", "[").replace("[-", "[").removesuffix("[]")
        if _results[row.name].get(case) != "failed":
            _results[row.name][case] = report.outcome


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _results:
        return
    terminalreporter.section("real agents")
    for name, cases in _results.items():
        counts = {word: sum(outcome == word for outcome in cases.values()) for word in ("passed", "failed", "skipped")}
        shown = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        terminalreporter.line(f"{name:<12} {programs()[name].version:<14} {shown}")
        for case, outcome in cases.items():
            if outcome != "passed":
                terminalreporter.line(f"{'':<12} {outcome}: {case.removeprefix('test_')}")
