"""What the dashboard asks of the supervisor: the synchronous client, one call a thread, never in the loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lite.api.messages import (
        AgentJson,
        AttachJson,
        EventJson,
        ExplanationJson,
        PlanSubmittedJson,
        SendJson,
        SubmitBody,
        SubmittedJson,
        TaskJson,
    )
    from lite.recordings.reader import Chunk


class Gateway(Protocol):
    """Every method raises the `lite.errors.QuarterdeckError` the supervisor gave, `NoSupervisor` when none answers."""

    async def submit(self, body: SubmitBody) -> SubmittedJson: ...

    async def plan(self, text: str, *, source: str = "", cwd: str = "", dry_run: bool = False) -> PlanSubmittedJson: ...

    async def task(self, task: str) -> TaskJson: ...

    async def explain(self, task: str) -> ExplanationJson: ...

    async def cancel(self, task: str) -> TaskJson: ...

    async def retry(self, task: str) -> TaskJson: ...

    async def send(self, task: str, data: str | bytes) -> SendJson: ...

    async def answer(self, task: str, question: str, decision: str, text: str, hash: str) -> SendJson: ...

    async def agents(self) -> list[AgentJson]: ...

    async def events(self, run: str, after: int = 0) -> list[EventJson]:
        """The event log of one run from a cursor on, oldest first."""
        ...

    async def attach(self, session: str, *, control: bool) -> AttachJson:
        """The way to a live session: `address` is a Unix socket that speaks `lite.terminal.packets`."""
        ...

    async def recording(self, session: str, offset: int, limit: int) -> Sequence[Chunk]:
        """About `limit` bytes of a session's recording from `offset` on; empty at its end."""
        ...

    async def recording_end(self, session: str) -> tuple[int, int]:
        """(first offset kept, offset after the last byte) of a recording at this moment."""
        ...

    async def transcript_end(self, session: str) -> int | None:
        """Bytes of what a structured session has said in neutral words; None: its output is not structured."""
        ...

    async def transcript(self, session: str, offset: int, limit: int) -> bytes:
        """About `limit` bytes of it from `offset` on, whole lines; empty at its end."""
        ...

    def follow_transcript(self, session: str, offset: int) -> AsyncGenerator[bytes, None]:
        """The same as it comes, until the session has ended."""
        ...

    def close(self) -> None:
        """Hang up. What is under way raises `NoSupervisor`."""
        ...
