"""From an argv to an exit code: global options, the command's own parser, errors in one form."""

from __future__ import annotations

import os
import sys

from lite.cli.commands import FAMILIES
from lite.errors import QuarterdeckError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from lite.cli.commands import Command

_COLORS = ("auto", "always", "never")


def main(argv: list[str]) -> int:
    """Run one command; errors go to stderr, never as a traceback (unless QD_DEBUG is set)."""
    if "_ARGCOMPLETE" in os.environ:
        from lite.cli import completion

        return completion.main()
    try:
        return _dispatch(argv)
    except QuarterdeckError as error:
        _maybe_debug()
        return _report(error.to_json(), error.exit_code, argv)
    except BrokenPipeError:
        raise
    except OSError as error:
        _maybe_debug()
        what = {"code": "os", "message": error.strerror or str(error), "hint": "", "place": str(error.filename or "")}
        return _report(what, 1, argv)
    except Exception as error:
        _maybe_debug()
        what = {"code": "internal", "message": f"internal error: {type(error).__name__}: {error}", "place": ""}
        return _report(what | {"hint": "QD_DEBUG=1 shows where; please report it"}, 1, argv)


def _dispatch(argv: list[str]) -> int:
    given, command, rest = split_globals(argv)
    if "help" in given:
        print(overview(), end="")
        return 0
    if "version" in given:
        command, rest = "version", []
    from lite.cli.context import Context

    if not command:
        from lite.cli.bare import bare

        with Context.of(given) as context:
            return bare(context)
    chosen = find_command(command)
    from lite.cli.parsing import command_parser

    after: list[str] | None = None
    if command == "submit" and "--" in rest:
        at = rest.index("--")
        rest, after = rest[:at], rest[at + 1 :]
    try:
        arguments: Namespace = command_parser(command, chosen).parse_args(rest)
    except SystemExit as ended:  # --help
        return int(ended.code or 0)
    arguments.argv = after
    given |= {name: vars(arguments)[name] for name in ("home", "json", "color") if name in arguments}
    with Context.of(given) as context:
        return chosen.run(context, arguments)


def split_globals(argv: list[str]) -> tuple[dict[str, object], str, list[str]]:
    """(global options before the command, the command or "", what follows it)."""
    given: dict[str, object] = {}
    at = 0
    while at < len(argv) and argv[at].startswith("-"):
        name, equals, value = argv[at].partition("=")
        at += 1
        if name in ("-h", "--help", "--version", "--json") and not equals:
            given["help" if name == "-h" else name[2:]] = True
        elif name in ("--home", "--color"):
            if not equals:
                if at == len(argv):
                    raise UsageError(f"{name} needs a value", hint="qd --help")
                value = argv[at]
                at += 1
            if name == "--color" and value not in _COLORS:
                raise UsageError(f"{value!r} is not one of {', '.join(_COLORS)}", place="--color")
            given[name[2:]] = value
        else:
            raise UsageError(f"unknown option {name}", hint="qd --help lists the commands and options")
    return given, argv[at] if at < len(argv) else "", argv[at + 1 :]


def find_command(name: str) -> Command:
    """Import the one module that has the command. Raises `UsageError` with the nearest names."""
    if name not in FAMILIES:
        import difflib

        close = difflib.get_close_matches(name, FAMILIES, n=2)
        hint = "did you mean " + " or ".join(close) + "?" if close else "qd --help lists the commands"
        raise UsageError(f"unknown command {name!r}", hint=hint)
    from importlib import import_module

    commands: dict[str, Command] = import_module(f"lite.cli.{FAMILIES[name][0]}").COMMANDS
    return commands[name]


def overview() -> str:
    """What `qd --help` prints."""
    width = max(map(len, FAMILIES))
    listing = "\n".join(f"  {name:{width}}  {line}" for name, (_, line) in FAMILIES.items())
    return f"""usage: qd [--home DIR] [--json] [--color auto|always|never] [COMMAND ...]

Run a fleet of coding agents from one terminal. Without a command: the dashboard.

commands:
{listing}

options:
  --home DIR   the home to work with (default: QD_HOME, else .quarterdeck beside the nearest quarterdeck.yaml,
               else the state directory of this user)
  --json       answer in JSON: a list or an object, one a line for streams
  --color WHEN colours: auto, always, never; NO_COLOR is respected
  --version    print the version
  -h, --help   this text; `qd COMMAND --help` shows examples

exit codes: 0 ok, 1 the task failed, 2 usage, 3 configuration or plan invalid, 4 not found, 5 no supervisor,
            6 over budget, 7 needs input, 8 timed out, 9 cancelled, 130 interrupted

examples:
  qd submit --wait -- make test     run a command in a terminal of its own and wait for it
  qd run plan.yaml                  hand in a plan
  qd ls                             what is going on
  qd attach ID                      take over a terminal; ctrl-] leaves it
"""


def _report(error: dict[str, str], code: int, argv: list[str]) -> int:
    before_command = argv[: argv.index("--")] if "--" in argv else argv
    if "--json" in before_command:
        import json

        print(json.dumps({"error": error | {"exit_code": code}}), file=sys.stderr)
        return code
    from lite.terminal.sanitize import safe, safe_text

    place = f"{safe(error['place'])}: " if error.get("place") else ""
    print(f"qd: {place}{safe_text(error['message'])}", file=sys.stderr)
    if error.get("hint"):
        print(f"    {safe_text(error['hint'])}", file=sys.stderr)
    return code


def _maybe_debug() -> None:
    if os.environ.get("QD_DEBUG"):
        import traceback

        traceback.print_exc()
