"""`python -m tests.real.install [AGENT..]`: the pinned programs of these agents from npm, each in a folder of its own
under `build/real-agents`. What is there already is left alone."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent
FOLDER = _HERE.parents[1] / "build" / "real-agents"
_MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Program:
    """One row of `programs.toml`. `node`: the package that carries its own node, "" when the system's serves."""

    name: str
    program: str
    packages: tuple[str, ...]
    node: str = ""

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @property
    def path(self) -> str:
        """The directories to put on PATH for it, first ones first."""
        modules = self.folder / "node_modules"
        directories = [modules / ".bin"]
        if self.node:
            directories.insert(0, modules / self.node.rpartition("@")[0] / "bin")
        return ":".join(map(str, directories))

    @property
    def version(self) -> str:
        """As pinned."""
        return self.packages[0].rpartition("@")[2]

    @property
    def installed(self) -> bool:
        stamp = self.folder / "installed"
        return stamp.exists() and stamp.read_text() == self._wanted

    @property
    def _wanted(self) -> str:
        return "\n".join((*self.packages, self.node))

    def install(self) -> None:
        """Raises `CalledProcessError` when npm fails; its output goes where ours does."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        packages = [*self.packages, *([self.node] if self.node else ())]
        quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
        subprocess.run(["npm", "install", "--prefix", str(self.folder), *quiet, *packages], check=True)
        (self.folder / "installed").write_text(self._wanted)


@cache
def programs() -> dict[str, Program]:
    table = tomllib.loads((_HERE / "programs.toml").read_text(encoding="utf-8"))
    own = f"node-{sys.platform}-{_MACHINES.get(platform.machine().lower(), '')}@{table.pop('node')['version']}"
    have = _node_version()
    return {
        name: Program(name, row["program"], tuple(row["packages"]), own if row.get("node", 0) > have else "")
        for name, row in table.items()
    }


def _node_version() -> int:
    """The major version of the system's node; 0 when there is none."""
    if shutil.which("node") is None:
        return 0
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    major = said.strip().removeprefix("v").partition(".")[0]
    return int(major) if major.isdigit() else 0


def main() -> int:
    if shutil.which("npm") is None:
        print("make test-real installs the agents' programs with npm, which is not here: install node first")
        return 1
    from tests.real.agents import ROWS  # which need this module

    rows = {row.name: row for row in ROWS}
    wanted = sys.argv[1:] or list(rows)
    if unknown := [name for name in wanted if name not in rows]:
        print(f"no agent {', '.join(unknown)} in tests/real/agents.py; there are {', '.join(rows)}")
        return 2
    for name in dict.fromkeys(rows[one].program.name for one in wanted):
        program = programs()[name]
        if not program.installed:
            print(f"installing {' '.join(program.packages)}", flush=True)
            try:
                program.install()
            except subprocess.CalledProcessError as error:
                print(f"npm could not install {name} (it ended with {error.returncode})")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
