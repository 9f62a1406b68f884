"""Inline work: no-ops for free, HTTP calls that reach only where they may, bounded in time and size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from lite.errors import ExecutorError, HandleGone
from lite.executors import http_call
from lite.executors.http_again import TRIES, seconds_of
from lite.executors.http_call import forbidden
from lite.executors.inline import InlineExecutor
from lite.model.session import SessionRequest
from lite.model.task import MAX_OUTPUT, Outcome, OutcomeKind, Reason
from lite.ports import Executor
from providers.base import HttpCall, Launch
from tests.contracts.executor import ExecutorContract, Make
from tests.executors.web import Web


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    made = Web()
    await made.open()
    yield made
    await made.close()


NOW = 1_700_000_000_000


class Names:
    """A resolver that answers from a table and remembers what it was asked."""

    def __init__(self, **table: Sequence[str]) -> None:
        self.table = {name.replace("_", "."): answers for name, answers in table.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host not in self.table:
            raise OSError(-2, "Name or service not known")
        return self.table[host]


def request(launch: Launch, timeout_ms: int | None = None, task: str = "task") -> SessionRequest:
    return SessionRequest(task, 1, 1, launch, "/", {}, "/nowhere", timeout_ms=timeout_ms)


class Hasty:
    """Sleeps take no time, but are counted."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> int:
        return NOW + round(self.monotonic() * 1000)

    def monotonic(self) -> float:
        return sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


async def run(call: HttpCall, *, timeout_ms: int | None = 20_000, **options: Any) -> Outcome:
    options = {"clock": Hasty()} | options
    executor = InlineExecutor(**options)
    recorded: list[str] = []

    async def record(handle: str) -> None:
        recorded.append(handle)

    handle = await executor.start(request(Launch(inline=call), timeout_ms), record)
    assert recorded == [handle]
    outcome = await asyncio.wait_for(executor.wait(handle), 60)
    await executor.destroy(handle)
    await executor.close()
    return outcome


def here(web: Web, path: str, **more: Any) -> HttpCall:
    return HttpCall(web.url(path), allow_private=True, **more)


class TestContract(ExecutorContract):
    @pytest.fixture
    async def make(self, web: Web) -> AsyncIterator[Make]:
        web.answer("/good", b"fine")
        web.raw("/lasting", hang=True)
        self.web = web
        made: list[Executor] = []

        async def build() -> Executor:
            executor = InlineExecutor()
            await executor.open()
            made.append(executor)
            return executor

        yield build
        for executor in made:
            await executor.close()

    def succeeding(self) -> Launch:
        return Launch(inline=here(self.web, "/good"))

    def failing(self) -> Launch:
        return Launch(inline=here(self.web, "/missing"))

    def lasting(self) -> Launch:
        return Launch(inline=here(self.web, "/lasting"))


async def test_a_noop_costs_no_record_no_job_and_no_wait() -> None:
    executor = InlineExecutor()

    async def record(handle: str) -> None:
        raise AssertionError("nothing to record")

    before = len(asyncio.all_tasks())
    handle = await executor.start(request(Launch(inline="noop")), record)
    assert len(asyncio.all_tasks()) == before
    assert (await executor.wait(handle)).kind is OutcomeKind.SUCCEEDED
    assert not (await executor.inspect(handle)).alive
    await executor.stop(handle, grace_ms=0)
    await executor.destroy(handle)


async def test_a_noop_is_not_recovered() -> None:
    """Nothing was recorded, so its handle means nothing to another supervisor."""
    with pytest.raises(HandleGone):
        await InlineExecutor().recover("1:noop", 1)


async def test_it_starts_no_programs() -> None:
    with pytest.raises(ExecutorError):
        await InlineExecutor().start(request(Launch(argv=("true",))), _no_record)


async def test_when_the_record_fails_no_call_is_made(web: Web) -> None:
    web.answer("/x", b"y")
    executor = InlineExecutor()

    async def record(handle: str) -> None:
        raise RuntimeError("the store is gone")

    with pytest.raises(RuntimeError):
        await executor.start(request(Launch(inline=here(web, "/x"))), record)
    await executor.close()
    assert web.seen == []


async def test_get(web: Web) -> None:
    web.answer("/data", "grüße".encode("latin-1"), content_type="text/plain; charset=iso-8859-1")
    outcome = await run(here(web, "/data?q=1", headers={"X-Key": "k"}))
    assert (outcome.kind, outcome.output, outcome.detail) == (OutcomeKind.SUCCEEDED, "grüße", "200 OK")
    (seen,) = web.seen
    assert (seen.method, seen.target, seen.headers["x-key"]) == ("GET", "/data?q=1", "k")
    assert seen.headers["host"] == f"127.0.0.1:{web.port}"
    assert "idempotency-key" not in seen.headers


async def test_post_carries_the_tasks_id_for_idempotency(web: Web) -> None:
    web.answer("/data", b"{}", status="201 Created")
    outcome = await run(
        here(web, "/data", method="POST", body='{"a": "ß"}', headers={"Content-Type": "application/json"})
    )
    assert (outcome.kind, outcome.output) == (OutcomeKind.SUCCEEDED, "{}")
    (seen,) = web.seen
    assert seen.body == '{"a": "ß"}'.encode()
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["idempotency-key"] == "task"


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "500 Oops", "304 Not Modified", "302 Found"])
async def test_any_status_but_2xx_is_the_tasks_own_failure(web: Web, status: str) -> None:
    body = b"" if status.startswith("304") else b"the reason"
    web.answer("/x", body, status=status)
    outcome = await run(here(web, "/x"))
    assert (outcome.kind, outcome.reason, outcome.exit_code) == (OutcomeKind.FAILED, Reason.HTTP, int(status[:3]))
    assert status in outcome.detail
    assert body.decode() in outcome.detail


class TestAgain:
    @pytest.fixture
    def clock(self) -> Hasty:
        return Hasty()

    @staticmethod
    def flaky(web: Web, *statuses: str, **headers: str) -> None:
        """`/x` answers with these in turn, then with 200."""
        left = list(statuses)
        web.answer("/x", b"done")
        well = web.routes["/x"]

        async def reply(seen: Any, writer: asyncio.StreamWriter) -> None:
            if left:
                web.answer("/once", b"busy", status=left.pop(0), **headers)
                await web.routes["/once"](seen, writer)
            else:
                await well(seen, writer)

        web.routes["/x"] = reply

    async def test_a_get_is_made_again_for_what_passes_by_itself(self, web: Web, clock: Hasty) -> None:
        self.flaky(web, "503 Busy", "502 Bad Gateway", "504 Too Late")
        outcome = await run(here(web, "/x"), clock=clock)
        assert (outcome.kind, outcome.output) == (OutcomeKind.SUCCEEDED, "done")
        assert (len(web.seen), clock.slept) == (4, [0.5, 1.0, 2.0])

    async def test_not_for_ever(self, web: Web, clock: Hasty) -> None:
        self.flaky(web, *["503 Busy"] * 9)
        outcome = await run(here(web, "/x"), clock=clock)
        assert (outcome.kind, outcome.exit_code, len(web.seen)) == (OutcomeKind.FAILED, 503, TRIES)

    async def test_not_beyond_the_time_limit(self, web: Web, clock: Hasty) -> None:
        self.flaky(web, *["503 Busy"] * 9)
        outcome = await run(here(web, "/x"), clock=clock, timeout_ms=1200)
        assert (outcome.exit_code, len(web.seen)) == (503, 2)

    async def test_a_broken_line_is_tried_again(self, web: Web, clock: Hasty) -> None:
        web.raw("/x", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
        outcome = await run(here(web, "/x"), clock=clock)
        assert (outcome.kind, len(web.seen)) == (OutcomeKind.FAILED, TRIES)

    @pytest.mark.parametrize("status", ["404 Not Found", "500 Oops"])
    async def test_what_stays_wrong_is_not_repeated(self, web: Web, clock: Hasty, status: str) -> None:
        self.flaky(web, status)
        assert (await run(here(web, "/x"), clock=clock)).kind is OutcomeKind.FAILED
        assert len(web.seen) == 1

    async def test_a_post_is_never_made_again(self, web: Web, clock: Hasty) -> None:
        self.flaky(web, "503 Busy")
        outcome = await run(here(web, "/x", method="POST", body="x"), clock=clock)
        assert (outcome.kind, len(web.seen)) == (OutcomeKind.FAILED, 1)

    async def test_the_wait_the_server_asks_for_is_kept_exactly(self, web: Web, clock: Hasty) -> None:
        self.flaky(web, "429 Slow Down", retry_after="7")
        assert (await run(here(web, "/x"), clock=clock)).kind is OutcomeKind.SUCCEEDED
        assert clock.slept == [7.0]

    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_a_longer_one_parks_the_task(self, web: Web, clock: Hasty, method: Any) -> None:
        self.flaky(web, "429 Slow Down", retry_after="3600")
        outcome = await run(here(web, "/x", method=method), clock=clock)
        assert (outcome.kind, outcome.reason) == (OutcomeKind.RESCHEDULED, "rate-limit")
        assert outcome.until == NOW + 3_600_000
        assert "busy" in outcome.detail
        assert clock.slept == []

    @pytest.mark.parametrize(
        ("said", "seconds"),
        [
            ("0", 0.0),
            (" 12 ", 12.0),
            ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
            ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
            ("Tue, 14 Nov 2033 22:00:00 GMT", None),
            ("99999999", None),
            ("-1", None),
            ("soon", None),
            ("", None),
            ("\u0663", None),
            ("9" * 400, None),
        ],
    )
    def test_retry_after(self, said: str, seconds: float | None) -> None:
        assert seconds_of(said, NOW) == seconds


async def test_nobody_listening_is_told(unused_port: int) -> None:
    outcome = await run(HttpCall(f"http://127.0.0.1:{unused_port}/", allow_private=True))
    assert (outcome.kind, outcome.reason) == (OutcomeKind.FAILED, Reason.HTTP)
    assert "127.0.0.1" in outcome.detail


async def test_an_unknown_name_is_told() -> None:
    outcome = await run(HttpCall("http://nowhere.invalid/"), resolve=Names())
    assert (outcome.kind, outcome.reason) == (OutcomeKind.FAILED, Reason.HTTP)
    assert "nowhere.invalid" in outcome.detail


@pytest.mark.parametrize(
    "garbage",
    [b"SSH-2.0-x\r\n", b"", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", b"HTTP/1.1 200 OK\r\nx" * 50_000],
)
async def test_a_broken_answer_is_told(web: Web, garbage: bytes) -> None:
    web.raw("/x", garbage)
    outcome = await run(here(web, "/x"))
    assert (outcome.kind, outcome.reason) == (OutcomeKind.FAILED, Reason.HTTP)
    assert outcome.detail


async def test_an_endless_answer_is_cut_at_max_bytes(web: Web) -> None:
    web.raw("/x", b"HTTP/1.1 200 OK\r\n\r\n", *[b"z" * 65536] * 400, hang=True)
    outcome = await run(here(web, "/x", max_bytes=100_000))
    assert (outcome.kind, outcome.reason) == (OutcomeKind.FAILED, Reason.HTTP)
    assert "100000 bytes" in outcome.detail
    await asyncio.wait_for(web.gone.wait(), 30)


async def test_an_answer_over_the_output_limit_is_an_output_failure(web: Web) -> None:
    web.answer("/most", b"x" * MAX_OUTPUT)
    web.answer("/more", b"x" * (MAX_OUTPUT + 1))
    assert (await run(here(web, "/most"))).kind is OutcomeKind.SUCCEEDED
    outcome = await run(here(web, "/more"))
    assert (outcome.kind, outcome.reason) == (OutcomeKind.FAILED, Reason.OUTPUT)
    assert str(MAX_OUTPUT + 1) in outcome.detail


async def test_compression_is_neither_asked_for_nor_unpacked(web: Web) -> None:
    web.answer("/bomb", b"\x1f\x8b\x08", content_encoding="gzip")
    outcome = await run(here(web, "/bomb"))
    assert "gzip" in outcome.detail
    assert outcome.kind is OutcomeKind.FAILED
    assert web.seen[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nslow"])
async def test_the_time_limit_covers_the_whole_call(web: Web, head: bytes) -> None:
    web.raw("/x", head, hang=True)
    outcome = await run(here(web, "/x"), timeout_ms=200)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.FAILED, Reason.TIMEOUT)
    assert "0.2 s" in outcome.detail
    await asyncio.wait_for(web.gone.wait(), 30)


async def test_stop_hangs_up(web: Web) -> None:
    web.raw("/x", hang=True)
    arrived = asyncio.Event()
    hang = web.routes["/x"]

    async def reply(seen: Any, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await hang(seen, writer)

    web.routes["/x"] = reply
    executor = InlineExecutor()
    handle = await executor.start(request(Launch(inline=here(web, "/x"))), _no_record)
    await asyncio.wait_for(arrived.wait(), 60)
    await executor.stop(handle, grace_ms=0)
    assert (await asyncio.wait_for(executor.wait(handle), 30)).kind is OutcomeKind.CANCELLED
    await asyncio.wait_for(web.gone.wait(), 30)
    await executor.close()


async def test_closing_ends_the_calls_as_nobodys_failure(web: Web) -> None:
    web.raw("/x", hang=True)
    executor = InlineExecutor()
    handle = await executor.start(request(Launch(inline=here(web, "/x"))), _no_record)
    waiting = asyncio.ensure_future(executor.wait(handle))
    await asyncio.sleep(0)
    await executor.close()
    assert (await asyncio.wait_for(waiting, 30)).kind is OutcomeKind.UNEXECUTABLE
    with pytest.raises(HandleGone):
        await InlineExecutor().recover(handle, 2)


# where a call may go


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "fec0::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "nonsense",
    ],
)
def test_an_address_that_is_not_public_is_forbidden(address: str) -> None:
    assert forbidden(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_a_public_address_is_not(address: str) -> None:
    assert forbidden(address) == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "2130706433", "0x7f.1", "0", "[::ffff:127.0.0.1]"])
async def test_this_machine_is_refused_however_it_is_written(host: str, web: Web) -> None:
    outcome = await run(HttpCall(f"http://{host}:{web.port}/"))
    assert (outcome.kind, outcome.reason) == (OutcomeKind.FAILED, Reason.HTTP)
    assert "allow_private" in outcome.detail
    assert web.seen == []


async def test_one_private_address_among_public_ones_is_enough() -> None:
    names = Names(mixed_example=["93.184.216.34", "10.0.0.7"])
    outcome = await run(HttpCall("http://mixed.example/"), resolve=names)
    assert "10.0.0.7" in outcome.detail
    assert "private" in outcome.detail


async def test_it_connects_to_the_address_it_checked(web: Web) -> None:
    """A name is looked up once: a second look-up could give another answer."""
    web.answer("/x", b"fine")
    names = Names(site_example=["127.0.0.1"])
    outcome = await run(HttpCall(web.url("/x", "site.example"), allow_private=True), resolve=names)
    assert outcome.output == "fine"
    assert names.asked == ["site.example"]
    assert web.seen[0].headers["host"] == f"site.example:{web.port}"


async def test_the_next_address_is_tried_when_one_refuses(web: Web) -> None:
    web.answer("/x", b"fine")
    names = Names(site_example=["127.0.0.2", "127.0.0.1"])
    outcome = await run(HttpCall(web.url("/x", "site.example"), allow_private=True), resolve=names)
    assert outcome.output == "fine"


async def test_a_redirect_to_a_private_address_is_refused(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first host passes as public, the one it points to does not."""
    web.answer("/start", status="302 Found", location=f"http://inside.example:{web.port}/secret")
    web.answer("/secret", b"secret")
    names = Names(outside_example=["127.0.0.1"], inside_example=["127.0.0.2"])
    monkeypatch.setattr(http_call, "forbidden", lambda address: "" if address == "127.0.0.1" else "a private address")
    outcome = await run(HttpCall(web.url("/start", "outside.example")), resolve=names)
    assert outcome.kind is OutcomeKind.FAILED
    assert "inside.example is 127.0.0.2" in outcome.detail
    assert [seen.target for seen in web.seen] == ["/start"]


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("file:///etc/passwd", "neither"),
        ("ftp://example.org/", "neither"),
        ("http://user:pw@127.0.0.1/", "credentials"),
        ("https:///x", "no host"),
    ],
)
async def test_a_redirect_to_what_is_no_safe_url_is_refused(web: Web, location: str, why: str) -> None:
    web.answer("/start", status="301 Moved", location=location)
    outcome = await run(here(web, "/start"))
    assert (outcome.kind, outcome.reason) == (OutcomeKind.FAILED, Reason.HTTP)
    assert why in outcome.detail


async def test_redirects_are_followed_five_times(web: Web) -> None:
    for at in range(7):
        web.answer(f"/{at}", status="302 Found", location=f"/{at + 1}")
    web.answer("/7", b"end")
    assert (await run(here(web, "/2"))).output == "end"
    outcome = await run(here(web, "/1"))
    assert "5 redirects" in outcome.detail
    assert outcome.kind is OutcomeKind.FAILED


@pytest.mark.parametrize(("status", "method", "body"), [("303 See Other", "GET", b""), ("307 Again", "POST", b"data")])
async def test_a_redirect_keeps_or_drops_the_body_as_http_says(web: Web, status: str, method: str, body: bytes) -> None:
    web.answer("/start", status=status, location="/end")
    web.answer("/end", b"ok")
    await run(here(web, "/start", method="POST", body="data", headers={"Content-Type": "text/plain"}))
    last = web.seen[-1]
    assert (last.method, last.body) == (method, body)
    assert ("content-type" in last.headers) is (method == "POST")


async def test_secrets_do_not_follow_to_another_origin(web: Web) -> None:
    web.answer("/start", status="302 Found", location=web.url("/end", "other.example"))
    web.answer("/end", b"ok")
    names = Names(one_example=["127.0.0.1"], other_example=["127.0.0.1"])
    headers = {"Authorization": "Bearer x", "X-Api-Key": "k", "Accept": "text/plain"}
    call = HttpCall(web.url("/start", "one.example"), headers=headers, allow_private=True)
    assert (await run(call, resolve=names)).output == "ok"
    assert web.seen[0].headers["authorization"] == "Bearer x"
    assert not {"authorization", "x-api-key"} & web.seen[1].headers.keys()
    assert web.seen[1].headers["accept"] == "text/plain"


async def test_the_environments_proxy_is_not_used(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    web.answer("/x", b"direct")
    assert (await run(here(web, "/x"))).output == "direct"


async def test_names_and_texts_of_the_whole_world(web: Web) -> None:
    web.answer("/b%C3%BCcher", b"ok")
    names = Names(**{"xn--bcher-kva_example": ["127.0.0.1"]})
    call = HttpCall(web.url("/bücher", "bücher.example"), headers={"X-Name": "plain"}, allow_private=True)
    assert (await run(call, resolve=names)).output == "ok"
    assert web.seen[0].headers["host"] == f"xn--bcher-kva.example:{web.port}"


@pytest.mark.parametrize(
    "call",
    [
        HttpCall("http://" + "a" * 70 + ".example/"),
        HttpCall("http://a..b.example/"),
        HttpCall("http://127.0.0.1/", headers={"X-Name": "ü\ud800"}, allow_private=True),
        HttpCall("http://127.0.0.1/", method="POST", body="\ud800", allow_private=True),
    ],
    ids=["long label", "empty label", "header", "body"],
)
async def test_what_cannot_be_sent_is_the_tasks_own_failure(call: HttpCall) -> None:
    outcome = await run(call)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.FAILED, Reason.HTTP)
    assert outcome.detail


async def test_many_calls_at_once_are_told_apart(web: Web) -> None:
    executor = InlineExecutor()
    for number in range(20):
        web.answer(f"/{number}", b"%d" % number)
    requests = [replace(request(Launch(inline=here(web, f"/{n}"))), task=f"t{n}") for n in range(20)]
    handles = [await executor.start(one, _no_record) for one in requests]
    outcomes = await asyncio.wait_for(asyncio.gather(*map(executor.wait, handles)), 60)
    assert [outcome.output for outcome in outcomes] == [str(number) for number in range(20)]
    await executor.close()


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def _no_record(handle: str) -> None:
    return None
