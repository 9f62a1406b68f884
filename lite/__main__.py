"""`qd` and `python -m lite`: hand over to the part that was asked for, importing no other."""

from __future__ import annotations

import os
import sys


def main(argv: list[str] | None = None) -> int:
    """The exit code. Names that begin with `_` are how Quarterdeck starts itself again."""
    arguments = sys.argv[1:] if argv is None else argv
    part = arguments[0] if arguments else ""
    try:
        code = _run(part, arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader went away; keep the interpreter's own flush at exit from saying so
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except KeyboardInterrupt:
        return 130
    return code


def _run(part: str, arguments: list[str]) -> int:
    if part == "_nursery":
        from lite.executors.local import nursery

        return nursery.main(arguments[1:])
    if part == "_daemon":
        from lite import daemon

        return daemon.main(arguments[1:])
    if part == "_scripted":
        from lite.scripted import program

        return program.main(arguments[1:])
    if part == "_drive":
        from lite.drivers import program as driver

        return driver.main(arguments[1:])
    if part == "_pod":
        from lite.executors.kubernetes import bridge

        return bridge.main(arguments[1:])
    from lite.cli import app

    return app.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
