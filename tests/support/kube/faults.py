"""What the API server is told to do wrong."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.kube.access import Use
from tests.support.kube.statuses import Refused

WORDS = {
    403: "forbidden: exceeded quota",
    429: "the server has received too many requests and has asked us to try again later",
    500: "Internal error occurred: etcdserver: request timed out",
    503: "the server is currently unable to handle the request",
    504: "Timeout: request did not complete within requested timeout",
}


class Dropped(Exception):
    """Cut the connection instead of answering."""


@dataclass(slots=True)
class Fault:
    """`status` 0: no answer at all. `after`: first do what was asked for."""

    verb: str  # "*" for any
    resource: str  # with the subresource, as `pods/log`
    status: int
    left: int
    retry_after: int | None = None
    message: str = ""
    after: bool = False

    def fits(self, use: Use) -> bool:
        return self.left > 0 and self.verb in ("*", use.verb) and self.resource in ("*", use.name)

    def error(self) -> Exception:
        if self.status == 0:
            return Dropped()
        text = self.message or WORDS.get(self.status, "it failed")
        return Refused(self.status, text, retry_after=self.retry_after)


class Faults:
    def __init__(self) -> None:
        self.planned: list[Fault] = []

    def before(self, use: Use) -> None:
        """Raises what is planned instead of the request."""
        self._strike(use, after=False)

    def after(self, use: Use) -> None:
        """Raises what is planned instead of its answer."""
        self._strike(use, after=True)

    def _strike(self, use: Use, *, after: bool) -> None:
        for fault in self.planned:
            if fault.after is after and fault.fits(use):
                fault.left -= 1
                raise fault.error()
