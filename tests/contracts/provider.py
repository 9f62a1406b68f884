"""The suite our own providers are held to is the one everybody can install, `providers.testing`."""

from __future__ import annotations

from collections.abc import Sequence

from providers import testing
from providers.base import AgentEvent, EventKind, Provider, Request
from providers.testing import (
    ProviderContract,
    Transcript,
    TranscriptContract,
    check_transcript,
    replay,
    transcripts,
)

__all__ = [
    "ProviderContract",
    "Transcript",
    "TranscriptContract",
    "check_transcript",
    "check_truncation",
    "replay",
    "transcripts",
    "unknown_events",
]


def check_truncation(provider: Provider, request: Request, transcript: Transcript, last: str = "result") -> None:
    """As there; of most of our agents a line with `"type": "result"` must be the last."""
    testing.check_truncation(provider, request, transcript, last)


def unknown_events(events: Sequence[AgentEvent]) -> list[AgentEvent]:
    return [event for event in events if event.kind is EventKind.UNKNOWN]
