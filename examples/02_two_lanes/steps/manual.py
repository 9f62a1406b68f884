"""Write the tool's manual from its own --help and commit it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import bar

TOOL = Path("build/tool")


def main() -> None:
    name = Path(os.environ["QD_NEEDS_NAMING"]).read_text().strip()
    asked = subprocess.run([sys.executable, "-B", str(TOOL), "--help"], capture_output=True, text=True, check=True)
    sections = ["# " + name, "", "The most frequent words of a file.", "", "```", asked.stdout.strip(), "```", ""]
    written: list[str] = []
    for at, section in enumerate(sections):
        written.append(section)
        bar.show("manual", (at + 1) / len(sections))
        time.sleep(0.1)
    (TOOL / "MANUAL.md").write_text("\n".join(written))
    subprocess.run(["git", "add", "MANUAL.md"], cwd=TOOL, check=True)
    subprocess.run(["git", "commit", "-qm", f"Write the manual of {name}"], cwd=TOOL, check=True)
    print(asked.stdout.strip())


if __name__ == "__main__":
    main()
