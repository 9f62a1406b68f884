"""Any command; a command line arrives as `sh -c LINE`. The exit code decides, results go to `$QD_OUTPUT`."""

from __future__ import annotations

from providers.base import Capabilities, Launch, Parser, Request
from providers.checks import check_argv, check_mode
from providers.errors import InvalidRequest
from providers.parsing import ExitCodeParser


class ShellProvider:
    """Interactive: in a terminal. Headless: stdout and stderr on pipes, stdin empty."""

    name = "shell"

    def capabilities(self) -> Capabilities:
        return Capabilities(default_mode="interactive", prompt=False)

    def validate(self, request: Request) -> None:
        check_mode(request, self.capabilities(), self.name)
        if request.http is not None:
            raise InvalidRequest("a shell task takes a command, not an HTTP call", field="http")
        if not request.argv:
            raise InvalidRequest("there is no command", hint="give one after --, or as command:", field="command")
        if not request.argv[0]:
            raise InvalidRequest("the program's name is empty", field="command")
        check_argv(request.argv)

    def launch(self, request: Request) -> Launch:
        if request.mode == "headless":
            return Launch(argv=request.argv, stdio="pipes", stdin="null")
        return Launch(argv=request.argv)

    def parser(self, request: Request) -> Parser:
        return ExitCodeParser()

    def version(self, stdout: str) -> str:
        return ""
