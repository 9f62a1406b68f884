"""One HTTP call, carefully: every address is checked before it is connected to, time and size are bounded.

Redirects are followed by hand (at most 5) and checked like the first URL. Proxies of the environment are not used: a
proxy would resolve names where nobody checks them.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit, urlunsplit

from lite.executors.http_again import CallFailed, persist
from lite.executors.redactor import Redactor
from lite.executors.secret_forms import forms
from lite.model.session import HeaderSecret
from lite.model.task import MAX_OUTPUT, Outcome, OutcomeKind, Reason
from lite.ports import Clock
from lite.rules.hosts import may_go
from providers.base import HttpCall
from providers.errors import InvalidRequest
from providers.http import check_call

if TYPE_CHECKING:
    import httpx

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]  # host, port -> addresses

MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_SAFE_HEADERS = frozenset({"accept", "accept-language", "user-agent"})  # kept when a redirect leaves the origin
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NONE: Mapping[str, HeaderSecret] = {}
_QUOTED = 300  # characters of a refusal's body in the detail


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    phrase: str
    location: str
    retry_after: str
    body: bytes
    charset: str


async def resolve(host: str, port: int) -> Sequence[str]:
    """All addresses of a host, by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


async def perform(
    call: HttpCall,
    seconds: float,
    resolve: Resolve,
    clock: Clock,
    *,
    key: str = "",
    secrets: Mapping[str, HeaderSecret] = _NONE,
) -> Outcome:
    """The outcome of the whole call, redirects and repetitions included, within `seconds`. Never raises but when
    cancelled. `secrets` are headers that go to their hosts only; an answer that repeats one has stars there."""
    outcome = await _perform(call, seconds, resolve, clock, key, secrets)
    if not secrets:
        return outcome
    redactor = Redactor(forms(one.secret for one in secrets.values()))

    def hidden(text: str) -> str:
        return redactor.clean(text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")

    output = None if outcome.output is None else hidden(outcome.output)
    return replace(outcome, detail=hidden(outcome.detail), output=output)


async def _perform(
    call: HttpCall, seconds: float, resolve: Resolve, clock: Clock, key: str, secrets: Mapping[str, HeaderSecret]
) -> Outcome:
    try:
        async with asyncio.timeout(seconds):
            deadline = clock.monotonic() + seconds
            answer = await persist(call.method, lambda: _follow(call, resolve, key, secrets), clock, deadline)
    except TimeoutError:
        return Outcome(OutcomeKind.FAILED, Reason.TIMEOUT, f"no complete answer within {seconds:g} s")
    except CallFailed as failed:
        return Outcome(OutcomeKind.FAILED, failed.reason, failed.detail, exit_code=failed.status)
    if isinstance(answer, Outcome):
        return answer
    if len(answer.body) > MAX_OUTPUT:
        detail = f"the answer is {len(answer.body)} bytes; a task's output may be {MAX_OUTPUT}"
        return Outcome(OutcomeKind.FAILED, Reason.OUTPUT, detail)
    return Outcome(OutcomeKind.SUCCEEDED, detail=f"{answer.status} {answer.phrase}".strip(), output=_decode(answer))


def forbidden(address: str) -> str:
    """Why an address is not a public one; "" when it is. What is embedded in an IPv6 address counts too."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "not an address"
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour
        if inner is None and parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None:
            return forbidden(str(inner))
        if parsed.teredo is not None or parsed.is_site_local:
            return "not a public address"
    if parsed.is_loopback:
        return "a loopback address"
    if parsed.is_link_local:
        return "a link-local address"
    if parsed.is_private:
        return "a private address"
    if not parsed.is_global or parsed.is_multicast or parsed.is_reserved or parsed.is_unspecified:
        return "not a public address"
    return ""


async def _follow(call: HttpCall, resolve: Resolve, key: str, secrets: Mapping[str, HeaderSecret]) -> _Answer:
    url, method, body = call.url, call.method, call.body
    headers = {name.lower(): value for name, value in call.headers.items() if name.lower() not in secrets}
    if key and method == "POST":
        headers.setdefault("idempotency-key", key)
    await asyncio.to_thread(importlib.import_module, "httpx")  # 100 ms that need not hold up the loop
    for _ in range(MAX_REDIRECTS + 1):
        # asked anew for every address: a redirect may lead to another host that may have it, or away from all
        allowed = {name: secret.value for name, secret in secrets.items() if may_go(url, secret.hosts)}
        answer = await _exchange(call, url, method, headers | allowed, body, resolve)
        if answer.status in _REDIRECTS and answer.location:
            target = _target(url, answer.location)
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
                method, body = "GET", ""
                headers = {name: value for name, value in headers.items() if not name.startswith("content-")}
            if _origin(target) != _origin(url):
                headers = {name: value for name, value in headers.items() if name in _SAFE_HEADERS}
            url = target
            continue
        if not 200 <= answer.status < 300:
            said = _decode(answer).strip()[:_QUOTED]
            phrase = f"{answer.status} {answer.phrase}".strip()
            detail = f"{phrase}: {said}" if said else phrase
            raise CallFailed(detail, status=answer.status, retry_after=answer.retry_after)
        return answer
    raise CallFailed(f"more than {MAX_REDIRECTS} redirects")


async def _exchange(
    call: HttpCall, url: str, method: str, headers: Mapping[str, str], body: str, resolve: Resolve
) -> _Answer:
    """One request to the first address that takes a connection; every address of the host was checked before."""
    import httpx

    parts = urlsplit(url)
    host = _ascii(parts.hostname or "")
    addresses = await _addresses(host, parts.port or (443 if parts.scheme == "https" else 80), resolve)
    if not call.allow_private:
        for address in addresses:
            if why := forbidden(address):
                what = f"{host} is {why}" if address == host else f"{host} is {address}, {why}"
                raise CallFailed(f"{what}; allow_private: true permits it")
    sent = {"user-agent": "quarterdeck", "accept": "*/*", **headers}
    # no compression: a small answer could unpack to any size
    sent |= {"host": _netloc(host, parts.port), "accept-encoding": "identity"}
    verify = await _tls() if parts.scheme == "https" else False
    async with httpx.AsyncClient(verify=verify, trust_env=False, timeout=None, follow_redirects=False) as client:
        for address in addresses:
            pinned = urlunsplit((parts.scheme, _netloc(address, parts.port), parts.path or "/", parts.query, ""))
            try:
                request = client.build_request(
                    method, pinned, headers=sent, content=body.encode() or None, extensions={"sni_hostname": host}
                )
            except (httpx.InvalidURL, ValueError) as error:
                raise CallFailed(f"the request cannot be sent: {error}") from error
            try:
                response = await client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                problem = f"{host} ({address}): {error or type(error).__name__}"
                continue
            except httpx.HTTPError as error:
                raise CallFailed(f"{host}: {error or type(error).__name__}", broken=True) from error
            try:
                return await _read(response, call.max_bytes)
            except httpx.HTTPError as error:
                raise CallFailed(f"{host}: {error or type(error).__name__}", broken=True) from error
            finally:
                await response.aclose()
    raise CallFailed(problem, broken=True)


async def _read(response: httpx.Response, limit: int) -> _Answer:
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise CallFailed(f"the answer is {encoding}-encoded, which was not asked for")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > limit:
            raise CallFailed(f"the answer is longer than {limit} bytes")
    return _Answer(
        response.status_code,
        response.reason_phrase,
        response.headers.get("location", ""),
        response.headers.get("retry-after", ""),
        bytes(body),
        response.charset_encoding or "utf-8",
    )


async def _addresses(host: str, port: int, resolve: Resolve) -> Sequence[str]:
    try:
        found = await resolve(host, port)
    except OSError as error:
        raise CallFailed(f"{host}: {getattr(error, 'strerror', None) or error}", broken=True) from error
    if not found:
        raise CallFailed(f"{host} has no address")
    return found


def _target(url: str, location: str) -> str:
    target = urljoin(url, location).partition("#")[0]
    try:
        check_call(HttpCall(target))
    except InvalidRequest as error:
        raise CallFailed(f"redirected to {target!r}: {error.message}") from error
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme == "http":
        raise CallFailed(f"redirected from https to {target!r}")
    return target


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _netloc(address: str, port: int | None) -> str:
    host = f"[{address.replace('%', '%25')}]" if ":" in address else address
    return f"{host}:{port}" if port else host


def _ascii(host: str) -> str:
    try:
        return host if ":" in host else host.encode("idna").decode()
    except UnicodeError as error:
        raise CallFailed(f"{host[:80]!r} is no host name: {error}") from error


def _decode(answer: _Answer) -> str:
    try:
        return answer.body.decode(answer.charset, "replace")
    except LookupError:
        return answer.body.decode("utf-8", "replace")


_context: ssl.SSLContext | None = None


async def _tls() -> ssl.SSLContext:
    """Loading the certificates takes 20 ms and is done once, off the loop."""
    global _context
    if _context is None:
        import httpx

        _context = await asyncio.to_thread(httpx.create_ssl_context)
    return _context
