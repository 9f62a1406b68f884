"""One stage per test; at the end, a table of what each agent came to in each case."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.agents import ROWS, Row, chosen
from tests.real.models.http import ClosedPort
from tests.real.models.server import ModelServer
from tests.real.stage import Stage, prepare

_results: dict[str, dict[str, str]] = defaultdict(dict)  # case -> row -> outcome
_SHOWN = {"passed": "ok", "failed": "FAILED", "skipped": "-", "": ""}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "row" in metafunc.fixturenames:
        only = getattr(metafunc.module, "TALKING_ONLY", False)
        rows = [row for row in chosen() if row.talks or not only]
        metafunc.parametrize("row", rows, ids=repr, scope="session")


@pytest.fixture
def stage(row: Row, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    case = getattr(request.node, "originalname", request.node.name).removeprefix("test_")
    if why := row.unlike.get(case):
        pytest.skip(why)
    if not row.program.installed:
        pytest.fail(f"{row.program.name} is not installed: make test-real does it", pytrace=False)
    rest = row.rests.get(case, "100ms")
    with ClosedPort() as nowhere, ModelServer() as server, prepare(row, server, nowhere, tmp_path, rest) as fleet:
        assert fleet.up() == "ready"
        yield Stage(row, server, fleet, nowhere)
        assert server.failures == []
    assert fleet.survivors() == [], "something of the project runs on"


def pytest_runtest_setup(item: pytest.Item) -> None:
    callspec = getattr(item, "callspec", None)
    if callspec is not None and "row" in callspec.params:
        row = callspec.params["row"]
        others = [word for word in callspec.id.split("-") if word and word not in row.name.split("-")]
        case = getattr(item, "originalname", item.name).removeprefix("test_").replace("_", " ")
        item.user_properties += [("row", row.name), ("case", " ".join((case, *others)))]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Also of what ran in other processes, of which this is told."""
    told = dict(report.user_properties)
    if "row" in told and (report.when == "call" or not report.passed):
        cases = _results[str(told["case"])]
        if cases.get(str(told["row"])) != "failed":
            cases[str(told["row"])] = report.outcome


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _results:
        return
    terminalreporter.section("real agents")
    rows = [row for row in ROWS if any(row.name in cases for cases in _results.values())]
    widths = [max(len(row.name), len(row.program.version)) + 2 for row in rows]
    first = max(map(len, _results)) + 2

    def line(head: str, cells: list[str]) -> None:
        told = "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        terminalreporter.line(f"{head:<{first}}{told}".rstrip())

    line("", [row.name for row in rows])
    line("version", [row.program.version for row in rows])
    for case in sorted(_results):
        line(case, [_SHOWN[_results[case].get(row.name, "")] for row in rows])
