"""The servers that tests drive: what a fault test believes about them must be so."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import hiredis
import pytest
import redis
from redis.exceptions import NoPermissionError

from tests.support.programs import needs
from tests.support.redis_fixtures import NewRedis
from tests.support.redis_server import RedisServer

pytestmark = needs("redis-server")


def test_it_answers_on_tcp_and_on_its_socket(redis_server: RedisServer) -> None:
    for url in (redis_server.url, redis_server.unix_url):
        with redis.Redis.from_url(url) as client:
            assert client.ping()
    assert redis_server.info("memory")["maxmemory_policy"] == "noeviction"
    assert redis_server.info("persistence")["aof_enabled"] == "0"


@pytest.mark.parametrize("appendonly", [True, False])
def test_what_a_kill_leaves_depends_on_the_append_only_file(new_redis: NewRedis, appendonly: bool) -> None:
    server = new_redis(appendonly=appendonly, appendfsync="always")
    server.ask("SET", "a", 1)
    url = server.url
    server.restart()
    assert server.ask("GET", "a") == (b"1" if appendonly else None)
    assert server.url == url


def test_a_paused_server_accepts_and_is_silent(new_redis: NewRedis) -> None:
    server = new_redis()
    server.pause()
    with redis.Redis.from_url(server.url, socket_timeout=0.05, retry=None) as client:
        with pytest.raises(redis.TimeoutError):
            client.ping()
        server.resume()
        assert client.ping()
    server.pause()
    server.restart()
    assert server.ask("PING") == b"PONG"


def test_a_port_that_is_taken_is_not_insisted_on(new_redis: NewRedis, tmp_path: Path) -> None:
    first, other = new_redis(), RedisServer(tmp_path)
    other.port = first.port
    try:
        assert other.start().port != first.port
        assert other.ask("PING") == b"PONG"
    finally:
        other.kill()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no-such-directive"):
        RedisServer(tmp_path, directives={"no-such-directive": "1"}).start()


def test_passwords_and_users(new_redis: NewRedis) -> None:
    server = new_redis(requirepass="secret", users={"qd": "on >other ~qd:* &* +@all"})
    assert server.ask("SET", "qd:a", 1) == b"OK"
    with redis.Redis.from_url(server.url) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    with redis.Redis.from_url(server.url, username="qd", password="other") as client:
        assert client.get("qd:a") == b"1"
        with pytest.raises(NoPermissionError):
            client.get("b")


@needs("openssl")
def test_tls_with_an_authority_of_its_own(new_redis: NewRedis) -> None:
    server = new_redis(tls=True)
    assert server.certificates is not None
    with redis.Redis.from_url(server.tls_url, ssl_ca_certs=str(server.certificates.ca)) as client:
        assert client.ping()
    with redis.Redis.from_url(server.tls_url, retry=None) as client, pytest.raises(redis.ConnectionError):
        client.ping()


def test_a_replica_follows_and_is_promoted(new_redis: NewRedis) -> None:
    primary = new_redis()
    replica = new_redis(replicaof=primary)
    assert primary.ask("WAIT", 1, 10_000) == 1
    with redis.Redis.from_url(primary.url) as client:
        client.set("a", 2)
        assert client.wait(1, 10_000) == 1
    assert replica.ask("GET", "a") == b"2"
    with pytest.raises(hiredis.ReplyError, match="READONLY"):
        replica.ask("SET", "a", 3)
    primary.kill()
    replica.ask("REPLICAOF", "NO", "ONE")
    assert replica.ask("SET", "a", 3) == b"OK"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process die with its parent")
def test_it_dies_with_whoever_started_it(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys\n"
        "from tests.support.redis_server import RedisServer\n"
        "server = RedisServer(pathlib.Path(sys.argv[1])).start()\n"
        "print(server.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    watched = os.pidfd_open(int(parent.stdout.readline()))
    try:
        parent.kill()
        assert select.select([watched], [], [], 20)[0], "the server lives on"
    finally:
        os.close(watched)
        parent.wait(20)
        parent.stdin.close()
        parent.stdout.close()
