"""`make bench [ARGS="engine sessions attach cli dashboard binary redis"]`: all benchmarks, or the ones named."""

from __future__ import annotations

import importlib
import os
import platform
import sys
import tempfile

ALL = ("engine", "sessions", "attach", "cli", "dashboard", "binary", "redis")


def main() -> int:
    from tests.benchmarks.report import show

    wanted = sys.argv[1:] or list(ALL)
    unknown = set(wanted) - set(ALL)
    if unknown:
        print(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="qd-bench-home-") as folder:
        os.environ.update(HOME=folder, XDG_STATE_HOME=folder, XDG_RUNTIME_DIR=folder)
        print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}")
        for name in wanted:
            module = importlib.import_module(f"tests.benchmarks.{name}")
            show(name, module.run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
