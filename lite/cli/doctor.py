"""`doctor`: one line per finding, each problem with its fix."""

from __future__ import annotations

from lite.cli.commands import Command
from lite.cli.style import paint
from lite.terminal.sanitize import safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from lite.cli.context import Context

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="only the problems")


def _doctor(context: Context, arguments: Namespace) -> int:
    """1 when a finding is an error."""
    from lite.cli import checks

    home = context.home
    found = [*checks.machine(), *checks.home_directory(home), *checks.configuration(home)]
    found += checks.plug_ins()
    found += checks.supervisor(home, context.client())
    shown = [one for one in found if not arguments.quiet or one.level != checks.OK]
    if context.json:
        context.emit([one._asdict() for one in shown])
    else:
        for one in shown:
            mark, colour = _MARKS[one.level]
            text = f"{mark} {one.check}: {one.message}" + (f" -> {one.fix}" if one.fix else "")
            print(paint(safe(text), colour) if context.colour and one.level != checks.OK else safe(text))
    return int(any(one.level == checks.ERROR for one in found))


COMMANDS = {
    "doctor": Command(
        _options,
        _doctor,
        """
qd doctor            everything it looked at
qd doctor -q --json  only problems, for a script""",
    )
}
