"""The provider of example 04, as its README says: installed beside an installed Quarterdeck, held to the contract by
its own tests, run through the front door. Nothing of it finds this checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.examples.project import EXAMPLES, ROOT, Project

pytestmark = pytest.mark.slow

FOLDER = EXAMPLES / "04_new_provider"
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
BROKEN = {
    "broken.py": "raise RuntimeError('no such parrot')\n",
    "broken-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n",
    "broken-1.0.dist-info/entry_points.txt": "[quarterdeck.providers]\nbroken = broken:Provider\n",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with both packages; the libraries they need are this one's."""
    folder = tmp_path_factory.mktemp("installed")
    offline = ["--no-deps", "--no-index"]
    sources = folder / "sources"
    shutil.copytree(FOLDER, sources, ignore=shutil.ignore_patterns("build", ".quarterdeck", "__pycache__"))
    build = [*PIP, "wheel", *offline, "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT), str(sources)]
    subprocess.run(build, check=True, timeout=120, cwd=folder)
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / "bin" / "python"
    wheels = map(str, folder.glob("*.whl"))
    subprocess.run([*PIP, "--python", str(python), "install", *offline, *wheels], check=True, timeout=120, cwd=folder)
    site_packages(python).joinpath("libraries.pth").write_text(sysconfig.get_path("purelib"))
    return python


def site_packages(python: Path) -> Path:
    (found,) = python.parents[1].glob("lib/python*/site-packages")
    return found


def run(python: Path, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST_"))}
    return subprocess.run([python, *args], cwd=cwd, env=env, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture
def its_tests(tmp_path: Path) -> Path:
    """What it is tested with, without its source."""
    for name in ("tests", "transcripts"):
        shutil.copytree(FOLDER / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_its_own_tests_need_installed_packages_only(installed: Path, its_tests: Path) -> None:
    where = (
        "import providers.testing, quarterdeck_parrot; print(providers.testing.__file__, quarterdeck_parrot.__file__)"
    )
    found = run(installed, "-c", where, cwd=its_tests)
    assert found.returncode == 0, found.stderr
    assert all(path.startswith(str(site_packages(installed))) for path in found.stdout.split())
    done = run(installed, "-m", "pytest", "-v", "-p", "no:cacheprovider", "tests", cwd=its_tests)
    assert done.returncode == 0, done.stdout + done.stderr
    for case in ("repeats", "sleeps"):
        assert f"TestParrot::test_it_reads_the_same_however_it_is_cut[{case}] PASSED" in done.stdout
    assert "TestParrot::test_every_mode_it_claims_can_be_launched PASSED" in done.stdout


def test_its_own_tests_fail_when_a_transcript_says_otherwise(installed: Path, its_tests: Path) -> None:
    cases = its_tests / "transcripts" / "cases.json"
    cases.write_text(cases.read_text().replace('"PIECES OF EIGHT"', '"PIECES OF NINE"'))
    done = run(installed, "-m", "pytest", "-p", "no:cacheprovider", "tests", cwd=its_tests)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "repeats: got {'output': 'PIECES OF EIGHT'}, expected {'output': 'PIECES OF NINE'}" in done.stdout


def test_installed_it_is_an_agent_like_any_other(tmp_path: Path, installed: Path) -> None:
    for name, text in BROKEN.items():
        place = site_packages(installed) / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
    project = Project(tmp_path, FOLDER.name)
    project.command = str(installed.with_name("qd"))
    project.env["PATH"] = f"{installed.parent}{os.pathsep}{project.env['PATH']}"
    project.env.pop("PYTHONPATH", None)
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
