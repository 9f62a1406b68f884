"""`events`: what happened, from the log."""

from __future__ import annotations

import json
import time

from lite.cli.commands import Command
from lite.terminal.sanitize import safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from lite.api.messages import EventJson
    from lite.cli.context import Context


def _options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("-f", "--follow", action="store_true", help="go on as things happen")
    add("--after", metavar="CURSOR", type=int, default=0, help="only newer than this cursor; -1: only what comes")
    add("--run", metavar="RUN", default="", help="only of this run")
    add("--task", metavar="ID", default="", help="only of this task")


def _events(context: Context, arguments: Namespace) -> int:
    client = context.client()
    run = client.run(arguments.run)["id"] if arguments.run else ""
    task = client.task(arguments.task)["id"] if arguments.task else ""
    for event in client.events(arguments.after, arguments.follow, run, task):
        if context.json:
            context.emit(event, flush=True)
        else:
            print(_line(event), flush=arguments.follow)
    return 0


def _line(event: EventJson) -> str:
    at = time.strftime("%H:%M:%S", time.localtime(event["at"] / 1000))
    about = event["task"] or event["run"] or event["worker"]
    attempt = f" attempt {event['attempt']}" if event["attempt"] else ""
    data = " ".join(f"{key}={json.dumps(value)}" for key, value in event["data"].items() if value not in (None, "", []))
    return safe(f"{event['cursor']:>6}  {at}  {event['kind']:18}  {about}{attempt}  {data}".rstrip())


COMMANDS = {
    "events": Command(
        _options,
        _events,
        """
qd events --run add-login      everything about a run
qd events -f --after -1        from now on
qd events -f --json            NDJSON, for a script""",
    )
}
