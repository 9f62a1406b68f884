"""The provider of example 04: held to the contract, installed as its README says, run through the front door."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from providers.base import Failure, Provider, Request
from tests.contracts.provider import ProviderContract, Transcript, check_transcript, transcripts
from tests.examples.project import EXAMPLES, Project

FOLDER = EXAMPLES / "04_new_provider"
CASES = transcripts(FOLDER / "transcripts")
BROKEN = {
    "broken.py": "raise RuntimeError('no such parrot')\n",
    "broken-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n",
    "broken-1.0.dist-info/entry_points.txt": "[quarterdeck.providers]\nbroken = broken:Provider\n",
}


@pytest.fixture
def provider() -> Provider:
    spec = importlib.util.spec_from_file_location("quarterdeck_parrot", FOLDER / "quarterdeck_parrot.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: Provider = module.ParrotProvider()
    return made


@pytest.fixture
def request_() -> Request:
    return Request("t", 1, "headless", "pieces of eight")


class TestParrot(ProviderContract):
    @pytest.fixture
    def provider(self, provider: Provider) -> Provider:
        return provider

    @pytest.fixture
    def request_(self, request_: Request) -> Request:
        return request_


@pytest.mark.parametrize("transcript", CASES, ids=repr)
def test_a_transcript_reads_the_same_however_it_is_cut(
    provider: Provider, request_: Request, transcript: Transcript
) -> None:
    check_transcript(provider, request_, transcript)


def test_the_words_come_with_the_time(provider: Provider, request_: Request) -> None:
    parser = provider.parser(request_)
    parser.feed("out", next(case for case in CASES if case.name == "sleeps").out)
    verdict = parser.end(0, None)
    assert (verdict.reason, verdict.after_ms) == (Failure.OVERLOADED, 1500)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Where the package is installed: beside Quarterdeck as far as an interpreter can tell."""
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(site), str(FOLDER)], check=True, timeout=120)
    # a session's program gets no PYTHONPATH, and an installation in an environment needs none
    (site / "bin" / "parrot").write_text(f'#!/bin/sh\nexec {sys.executable} {site}/parrot.py "$@"\n')
    return site


def test_installed_it_is_an_agent_like_any_other(tmp_path: Path, site: Path) -> None:
    for name, text in BROKEN.items():
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text(text)
    project = Project(tmp_path, FOLDER.name)
    project.env["PYTHONPATH"] = str(site)
    project.env["PATH"] = f"{site / 'bin'}{os.pathsep}{project.env['PATH']}"
    try:
        project.qd("up", "-d")
        (polly,) = [agent for agent in project.ask("agents") if agent["name"] == "polly"]
        assert (polly["provider"], polly["version"], polly["problem"]) == ("parrot", "1.2.0", "")
        project.qd("run", "--wait", "plan.yaml")
        tasks = project.tasks()
        assert tasks["again"]["output"] == "ONCE MORE: PIECES OF EIGHT"
        assert tasks["greet"]["tokens_in"] == len("pieces of eight")
        assert "pieces of eight" in project.qd("logs", "parrot/greet")
        (cost,) = project.ask("costs")["costs"]
        assert (cost["key"], cost["attempts"]) == ("polly", 2)
        assert cost["estimated_usd"] > 0
        sleepy = project.ask("submit", "--agent", "polly", "a sleepy sailor")["id"]
        project.await_event("task.parked")
        assert "asleep" in project.qd("explain", sleepy)
        project.qd("cancel", sleepy)
        assert "! provider broken: RuntimeError: no such parrot" in project.qd("doctor")
        assert "provider 'broken' is skipped" in project.log()
    finally:
        project.close()
