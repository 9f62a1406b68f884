"""Which commands there are and which module each lives in; what a family module has to offer."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from lite.cli.context import Context

# command -> (module in lite.cli, one line)
FAMILIES = {
    "up": ("supervisor", "start the supervisor of this home"),
    "down": ("supervisor", "stop the supervisor"),
    "homes": ("supervisor", "list the homes of this user"),
    "submit": ("submit", "hand in one task"),
    "run": ("run", "hand in a plan"),
    "ls": ("fleet", "list tasks"),
    "runs": ("fleet", "list runs"),
    "show": ("show", "everything about one task"),
    "explain": ("show", "why a task is in its state"),
    "wait": ("wait", "wait until tasks have ended"),
    "logs": ("logs", "print the output of a task"),
    "attach": ("attach", "take over a task's terminal"),
    "send": ("attach", "type a line into a task's terminal"),
    "waiting": ("answers", "what waits for a person"),
    "approve": ("answers", "allow what a session asks leave for"),
    "deny": ("answers", "refuse it"),
    "answer": ("answers", "answer a session's question"),
    "cancel": ("change", "cancel tasks"),
    "retry": ("change", "run ended tasks again"),
    "export": ("export", "write a recording as an asciicast"),
    "workers": ("workers", "list workers, cordon, drain or forget them"),
    "agents": ("workers", "list agents and the programs they need"),
    "costs": ("costs", "what agents used and cost"),
    "events": ("events", "print what happened"),
    "config": ("config", "show, validate or reload the configuration"),
    "backend": ("backend", "where truth is kept, and how durable that is"),
    "doctor": ("doctor", "find what is wrong and how to fix it"),
    "version": ("supervisor", "print the version"),
}


class Command:
    """One command as its family module offers it, in a dict `COMMANDS` by name. `examples` stand below its help, one a
    line."""

    def __init__(
        self,
        configure: Callable[[ArgumentParser], None],
        run: Callable[[Context, Namespace], int],
        examples: str,
    ) -> None:
        self.configure = configure
        self.run = run
        self.examples = examples
