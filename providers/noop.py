"""Work that does nothing and succeeds at once: for benchmarks, tests, and joints in a plan."""

from __future__ import annotations

from providers.base import Capabilities, Launch, Parser, Request
from providers.parsing import ExitCodeParser


class NoopProvider:
    """Takes any prompt and ignores it."""

    name = "noop"

    def capabilities(self) -> Capabilities:
        return Capabilities(modes=("headless",))

    def validate(self, request: Request) -> None:
        """Everything will do."""

    def launch(self, request: Request) -> Launch:
        return Launch(inline="noop")

    def parser(self, request: Request) -> Parser:
        return ExitCodeParser()

    def version(self, stdout: str) -> str:
        return ""
