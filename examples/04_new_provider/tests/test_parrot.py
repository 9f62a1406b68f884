"""parrot's adapter, held to what Quarterdeck asks of every provider. `pytest tests` needs only what is installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from quarterdeck_parrot import ParrotProvider

from providers.base import Failure, Provider, Request
from providers.errors import InvalidRequest
from providers.testing import Transcript, TranscriptContract

RECORDED = Path(__file__).parents[1] / "transcripts"


class TestParrot(TranscriptContract):
    """Every transcript, cut at every byte, with values of every shape, ended in every way."""

    transcripts = RECORDED

    @pytest.fixture
    def provider(self) -> Provider:
        return ParrotProvider()

    @pytest.fixture
    def request_(self) -> Request:
        return Request("t", 1, "headless", "pieces of eight")


# What is parrot's own:


def test_the_words_come_with_the_time() -> None:
    parser = ParrotProvider().parser(Request("t", 1, "headless", "x"))
    parser.feed("out", Transcript(RECORDED, "sleeps", {}).out)
    verdict = parser.end(0, None)
    assert (verdict.reason, verdict.after_ms) == (Failure.OVERLOADED, 1500)


def test_it_goes_on_with_a_conversation() -> None:
    launch = ParrotProvider().launch(Request("t", 2, "headless", "and again", resume="c-1"))
    assert launch.argv == ("parrot", "--continue", "c-1")
    assert launch.files["prompt.txt"] == b"and again"


def test_nothing_to_repeat() -> None:
    with pytest.raises(InvalidRequest) as refused:
        ParrotProvider().validate(Request("t", 1, "headless", " "))
    assert refused.value.field == "prompt"
