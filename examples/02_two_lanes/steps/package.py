"""Pack the merged program into one executable file, and try it."""

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import bar


def main() -> None:
    name = Path(os.environ["QD_NEEDS_NAMING"]).read_text().strip()
    source = Path("build/main")
    files = sorted(path for path in source.iterdir() if path.suffix in (".py", ".md") and "test_" not in path.name)
    target = Path("build") / f"{name}.pyz"
    with target.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for at, path in enumerate(files):
                archive.write(path, path.name)
                bar.show("packing", (at + 1) / len(files))
                time.sleep(0.2)
    target.chmod(0o755)
    command = [sys.executable, str(target), "-n", "3", "plan.yaml"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    print(tried.stdout + tried.stderr, end="")
    if tried.returncode:
        sys.exit(f"{target} does not work: exit code {tried.returncode}")
    Path(os.environ["QD_OUTPUT"]).write_text(f"{target} ({target.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
