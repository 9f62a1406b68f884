"""Secrets in headers go to their hosts, also after redirects, and come back as stars."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from lite.executors.inline import InlineExecutor
from lite.model.session import HeaderSecret, SessionRequest
from lite.model.task import Outcome, OutcomeKind
from providers.base import HttpCall, Launch
from tests.executors.web import Web

CANARY = "sk-canary-5a6b7c8d9e0f"
STARS = "*" * len(CANARY)


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    made = Web()
    await made.open()
    yield made
    await made.close()


async def everywhere(_host: str, _port: int) -> Sequence[str]:
    return ["127.0.0.1"]


async def call(web: Web, path: str, host: str, *hosts: str) -> Outcome:
    """GET with `Authorization: Bearer CANARY`, which may go to `hosts`."""
    allowed = tuple(f"http://{one}:{web.port}" for one in hosts)
    http = HttpCall(web.url(path, host), headers={"Authorization": "Bearer ", "X-Plain": "1"}, allow_private=True)
    secret = {"authorization": HeaderSecret(f"Bearer {CANARY}", allowed, CANARY)}
    executor = InlineExecutor(resolve=everywhere)
    request = SessionRequest("task", 1, 1, Launch(inline=http), "/", {}, "/nowhere", timeout_ms=20_000, headers=secret)
    assert CANARY not in repr(request)

    async def record(_handle: str) -> None:
        pass

    handle = await executor.start(request, record)
    outcome = await asyncio.wait_for(executor.wait(handle), 60)
    await executor.close()
    assert CANARY not in repr(outcome)
    return outcome


def sent(web: Web) -> list[tuple[str, str | None]]:
    """Whom it was sent what as `Authorization`."""
    return [(seen.headers["host"].partition(":")[0], seen.headers.get("authorization")) for seen in web.seen]


async def test_it_goes_to_its_host_after_its_prefix(web: Web) -> None:
    web.answer("/x", b"fine")
    assert (await call(web, "/x", "api.example", "api.example")).output == "fine"
    assert sent(web) == [("api.example", f"Bearer {CANARY}")]
    assert web.seen[0].headers["x-plain"] == "1"


async def test_a_redirect_elsewhere_is_followed_without_it(web: Web) -> None:
    web.answer("/start", status="302 Found", location=f"http://evil.example:{web.port}/take")
    web.answer("/take", b"taken")
    assert (await call(web, "/start", "api.example", "api.example")).output == "taken"
    assert sent(web) == [("api.example", f"Bearer {CANARY}"), ("evil.example", None)]


async def test_a_redirect_to_another_of_its_hosts_takes_it_along(web: Web) -> None:
    web.answer("/start", status="307 Temporary", location=f"http://www.example:{web.port}/there")
    web.answer("/there", status="307 Temporary", location=f"http://other.example:{web.port}/away")
    web.answer("/away", status="307 Temporary", location=f"http://api.example:{web.port}/end")
    web.answer("/end", b"end")
    assert (await call(web, "/start", "api.example", "api.example", "www.example")).output == "end"
    with_it = f"Bearer {CANARY}"
    expected = [("api.example", with_it), ("www.example", with_it), ("other.example", None), ("api.example", with_it)]
    assert sent(web) == expected
    assert all("x-plain" not in seen.headers for seen in web.seen[1:])


async def test_another_port_is_another_host(web: Web) -> None:
    other = Web()
    await other.open()
    try:
        other.answer("/x", b"other")
        web.answer("/start", status="302 Found", location=other.url("/x", "api.example"))
        assert (await call(web, "/start", "api.example", "api.example")).output == "other"
        assert sent(other) == [("api.example", None)]
    finally:
        await other.close()


@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden"])
async def test_a_host_that_repeats_it_is_not_repeated(web: Web, status: str) -> None:
    web.answer("/echo", f'{{"authorization": "Bearer {CANARY}"}}'.encode(), status=status)
    outcome = await call(web, "/echo", "api.example", "api.example")
    assert outcome.kind is (OutcomeKind.SUCCEEDED if status == "200 OK" else OutcomeKind.FAILED)
    assert STARS in (outcome.output or outcome.detail)


async def test_what_is_cut_off_in_a_refusal_is_no_piece_of_it(web: Web) -> None:
    web.answer("/echo", b"x" * 285 + CANARY.encode(), status="403 Forbidden")
    outcome = await call(web, "/echo", "api.example", "api.example")
    assert CANARY[:10] not in outcome.detail
    assert outcome.detail.endswith("*")
