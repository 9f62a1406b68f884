"""What every command is given: the home, the client, and how to answer."""

from __future__ import annotations

import os
import sys

from lite.cli.style import wants_colour
from lite.home import Home, find_home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from lite.api.client import Client
    from lite.cli.tables import Cell


class Context:
    """One command's surroundings."""

    def __init__(self, home: Home, *, json: bool = False, color: str = "auto") -> None:
        self.home = home
        self.json = json
        self.color = color
        self.colour = wants_colour(color, sys.stdout)
        self._client: Client | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Context:
        return cls(find_home(given.get("home")), json=bool(given.get("json")), color=str(given.get("color", "auto")))

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()

    def client(self) -> Client:
        """Talks to the supervisor of this home; its calls raise `NoSupervisor` when none runs."""
        from lite.api.client import Client

        if self._client is None:
            self._client = Client(self.home.socket_path)
        return self._client

    def client_starting(self) -> Client:
        """The same, after starting a supervisor if none runs (and saying so on stderr)."""
        from lite.cli.starting import ensure_supervisor

        if ensure_supervisor(self.home):
            self.note(f"started a supervisor for {self.home.root} (qd down stops it)")
            for warning in self.client().status().get("backend_warnings", ()):
                self.note(f"WARNING: {warning}")
        return self.client()

    @property
    def width(self) -> int | None:
        """Of the terminal on stdout; None when there is none."""
        if not sys.stdout.isatty():
            return None
        try:
            return int(os.environ.get("COLUMNS") or 0) or os.get_terminal_size(1).columns
        except (OSError, ValueError):
            return 80

    def emit(self, value: object, *, flush: bool = False) -> None:
        """One JSON value on a line of its own (indented for a person at a terminal, streams never)."""
        import json

        indent = 2 if sys.stdout.isatty() and not flush else None
        print(json.dumps(value, indent=indent), flush=flush)

    def table(
        self, head: Sequence[str], rows: Sequence[Sequence[Cell | str]], *, spare: Sequence[str] = (), whole: int = 0
    ) -> None:
        """`spare` columns go first where the terminal is narrow; the first `whole` are never cut."""
        from lite.cli.tables import render

        for line in render(head, rows, width=self.width, colour=self.colour, spare=spare, whole=whole):
            print(line)

    def note(self, text: str) -> None:
        """A remark that is not the answer: to stderr, made safe."""
        from lite.terminal.sanitize import safe

        print(f"qd: {safe(text)}", file=sys.stderr, flush=True)
