"""What `pip install` gets: the programs' data too (Lua, SQL, styles), and nothing else of the project."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

from tests.examples.project import ROOT
from tests.packaging.executable import run

PACKAGES = ("lite", "tui", "providers")


def test_a_wheel_has_every_file_of_the_packages(tmp_path: Path) -> None:
    code = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    done = run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        found = {name for name in content.namelist() if ".dist-info/" not in name}
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file())
    wanted = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    assert {Path(name).suffix for name in wanted} >= {".py", ".lua", ".sql", ".tcss"}
    assert "lite/backends/redis/lua/99_main.lua" in wanted
    assert found == wanted
