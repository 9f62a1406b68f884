"""The argparse parser of one command. Only the command that runs gets one: building all costs more than `ls`."""

from __future__ import annotations

import argparse

from lite.cli.commands import FAMILIES, Command
from lite.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Raises `UsageError` instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"{self.prog} --help shows examples")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    # a fixed width: asking for the terminal's imports shutil, for every option of every command
    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=100, max_help_position=28)


def command_parser(name: str, command: Command) -> Parser:
    parser = Parser(
        prog=f"qd {name}",
        description=FAMILIES[name][1],
        epilog="examples:\n" + "\n".join(f"  {line}" for line in command.examples.strip().splitlines()),
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    command.configure(parser)
    add_globals(parser)
    return parser


def add_globals(parser: argparse.ArgumentParser) -> None:
    """The global options, also allowed after the command."""
    group = parser.add_argument_group("global options")
    absent = argparse.SUPPRESS
    group.add_argument("--home", metavar="DIR", default=absent, help="the home to work with")
    group.add_argument("--json", action="store_true", default=absent, help="answer in JSON")
    group.add_argument("--color", choices=("auto", "always", "never"), default=absent, help="when to use colours")
