"""`backend:` in all its spellings: what is understood, who wins, and that no refusal repeats a password."""

# ruff: noqa: E501 - a table reads by its rows

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from lite.cli.config import plain
from lite.config.backend import redis_options
from lite.config.load import load_text
from lite.errors import ConfigInvalid
from lite.model.settings import RedisOptions, RedisSettings, Settings

SECRET = "hunter2"
FULL = """\
backend:
  url: rediss://redis.example:6380/3
  username: fleet
  password: {file: secrets/redis}
  prefix: prod
  tls: {ca: tls/ca.pem, cert: tls/me.pem, key: /etc/me.key, verify: false}
"""


def load(text: str, source: str = "q.yaml", **environ: str) -> Settings:
    return load_text(text, source, environ=environ)


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("sqlite", "sqlite"),
        ("redis://host", "redis://host:6379/0"),
        ("redis://host/", "redis://host:6379/0"),
        ("redis://HOST:7000/15", "redis://host:7000/15"),
        ("REDISS://host:1", "rediss://host:1/0"),
        ("redis://10.0.0.1:6379", "redis://10.0.0.1:6379/0"),
        ('"redis://[::1]"', "redis://[::1]:6379/0"),
        ('"redis://[fe80::1]:6380/2"', "redis://[fe80::1]:6380/2"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock?db=0"),
        ("unix:///run/redis.sock?db=4", "unix:///run/redis.sock?db=4"),
        ("unix:///run/a%20b.sock", None),
    ],
)
def test_one_server_has_one_spelling(written: str, url: str | None) -> None:
    if url is None:
        with pytest.raises(ConfigInvalid):
            load(f"backend: {written}")
        return
    assert load(f"backend: {written}").backend == url
    assert load(f"backend: {{url: {written}}}").backend == url
    assert load(f"backend: {url}").backend == url


def test_a_mapping_says_all_there_is(tmp_path: Path) -> None:
    found = load(FULL, str(tmp_path / "q.yaml"))
    assert found.backend == "rediss://redis.example:6380/3"
    assert found.redis == RedisSettings(
        "fleet",
        f"file {tmp_path}/secrets/redis",
        "prod",
        f"{tmp_path}/tls/ca.pem",
        f"{tmp_path}/tls/me.pem",
        "/etc/me.key",
        False,
    )
    assert found.origins["backend"] == f"{tmp_path}/q.yaml:2:3"
    assert found.origins["backend.password"] == f"{tmp_path}/q.yaml:4:3"
    assert found.origins["backend.tls.verify"].startswith(f"{tmp_path}/q.yaml:6:")
    assert load("").redis == RedisSettings()
    assert load("backend: redis://me@host").redis == RedisSettings(username="me")


BAD = [
    ("backend: mysql://host", "q.yaml:1:1: backend cannot be a mysql:// URL"),
    ("backend: rediz://host", "q.yaml:1:1: backend cannot be a rediz:// URL, did you mean 'redis'?"),
    ("backend: memory", "q.yaml:1:1: backend cannot be 'memory'"),
    ("backend: redis", "q.yaml:1:1: backend is only the beginning of a URL"),
    ("backend: redis:host", "q.yaml:1:1: backend cannot be this"),
    ("backend: redis://", "q.yaml:1:1: backend needs a host"),
    ("backend: redis://:6379", "q.yaml:1:1: backend needs a host"),
    ("backend: redis://ho st", "q.yaml:1:1: backend has a space or a control character in it"),
    ("backend: redis://host:0", "q.yaml:1:1: backend has a wrong port"),
    ("backend: redis://host:65536", "q.yaml:1:1: backend has a wrong port"),
    ("backend: redis://host:six", "q.yaml:1:1: backend has a wrong port"),
    ("backend: redis://host:６", "q.yaml:1:1: backend has a wrong port"),
    ("limits: {}\nbackend: redis://host/x", "q.yaml:2:1: backend has a wrong database"),
    ("backend: redis://host/-1", "q.yaml:1:1: backend has a wrong database"),
    ("backend: redis://host/99999999999999999999", "q.yaml:1:1: backend has a wrong database"),
    ("backend: redis://host/0/1", "q.yaml:1:1: backend has a wrong database"),
    ("backend: redis://host/0?protocol=3", "q.yaml:1:1: backend has a ? in it"),
    ("backend: redis://host#x", "q.yaml:1:1: backend has a # in it"),
    ("backend: unix://run/x", "q.yaml:1:1: backend needs the path of a socket"),
    ("backend: unix:///run/x?timeout=1", "q.yaml:1:1: backend knows no option but db"),
    ("backend: {url: redis://h, prefix: 'a:b'}", "q.yaml:1:27: backend.prefix cannot be 'a:b'"),
    ("backend: {url: redis://h, prefix: Prod}", "q.yaml:1:27: backend.prefix cannot be 'Prod'"),
    ("backend: {url: redis://h, prefx: a}", "q.yaml:1:27: unknown key 'prefx' in backend, did you mean 'prefix'?"),
    ("backend: {prefix: a}", "q.yaml:1:1: backend.url is missing"),
    ("backend: [redis]", "q.yaml:1:1: backend should be text or a mapping (key: value)"),
    ("backend: {url: sqlite, prefix: a}", "q.yaml:1:24: backend.prefix means nothing with sqlite"),
    ("backend: {url: redis://a@h, username: b}", "q.yaml:1:29: backend.url names another user"),
    ("backend: {url: redis://h, tls: {ca: x}}", "q.yaml:1:27: backend.tls needs a rediss:// URL"),
    ("backend: {url: rediss://h, tls: {cert: x}}", "q.yaml:1:28: backend.tls needs cert and key, or neither"),
    ("backend: {url: rediss://h, tls: {verify: maybe}}", "q.yaml:1:34: backend.tls.verify should be true or false, not 'maybe'"),
    ("worker: {name: A B}", "q.yaml:1:10: worker.name cannot be 'A B'"),
    ("worker: {nam: a}", "q.yaml:1:10: unknown key 'nam' in worker, did you mean 'name'?"),
    ("listen: 8080", "q.yaml:1:1: listen should be HOST:PORT, not '8080'"),
    ("listen: ':8080'", "q.yaml:1:1: listen should be HOST:PORT, not ':8080'"),
    ("listen: host:99999", "q.yaml:1:1: listen has a wrong port"),
    ("listen: http://host:80", "q.yaml:1:1: listen should be HOST:PORT, not 'http://host:80'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line"), BAD)
def test_a_bad_one_is_told_with_its_place(text: str, line: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load(text)
    assert str(caught.value) == line
    assert caught.value.exit_code == 3


LEAKS = [
    (f"backend: redis://:{SECRET}@host", "q.yaml:1:1: a password must not be written into this file"),
    (f"backend: redis://me:{SECRET}@host/0", "q.yaml:1:1: a password must not be written into this file"),
    (f"backend: unix://:{SECRET}@/run/x", "q.yaml:1:1: a password must not be written into this file"),
    (f"backend: {{url: 'rediss://me:{SECRET}@host'}}", "q.yaml:1:11: a password must not be written into this file"),
    (f"backend: {{url: redis://h, password: {SECRET}}}", "q.yaml:1:27: backend.password must not be written into this file"),
    (f"backend: {{url: redis://h, password: [{SECRET}]}}", "q.yaml:1:27: backend.password must not be written into this file"),
    (f"backend: {{url: redis://h, password: {{env: '{SECRET}!'}}}}", "q.yaml:1:27: backend.password is not given by the name of a variable"),
    (f"backend: {{url: redis://h, password: {{env: A, file: {SECRET}}}}}", "q.yaml:1:27: backend.password should say where the password is, in one way"),
    (f"backend: {{url: redis://h, password: {{{SECRET}: x}}}}", "q.yaml:1:27: backend.password should say where the password is, in one way"),
    ("backend: {url: redis://h, password: {}}", "q.yaml:1:27: backend.password should say where the password is, in one way"),
    # forgotten, doubled and misspelt parts of a URL that holds one
    (f"backend: redis://me:{SECRET}", "q.yaml:1:1: backend has a wrong port"),
    (f"backend: redis://host/{SECRET}", "q.yaml:1:1: backend has a wrong database"),
    (f"backend: redis:/me:{SECRET}@host", "q.yaml:1:1: backend cannot be this"),
    (f"backend: mysql://me:{SECRET}@host", "q.yaml:1:1: backend cannot be a mysql:// URL"),
    (f"backend: me:{SECRET}@host", "q.yaml:1:1: backend cannot be this"),
    (f"backend: redis://me:x/{SECRET}@host", "q.yaml:1:1: backend has a / before its @"),
    (f"backend: redis://host?password={SECRET}", "q.yaml:1:1: backend has a ? in it"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line"), LEAKS)
def test_a_password_in_the_file_is_refused_and_never_repeated(text: str, line: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load(text)
    assert str(caught.value).splitlines()[0] == line
    assert SECRET not in json.dumps(caught.value.to_json())


def test_the_environment_names_another_server_with_its_own_password() -> None:
    found = load(FULL, QD_BACKEND=f"rediss://you:{SECRET}%40@other")
    assert (found.backend, found.redis.username) == ("rediss://other:6379/0", "you")
    assert (found.redis.prefix, found.redis.verify) == ("prod", False)
    assert {found.origins[key] for key in ("backend", "backend.username", "backend.password")} == {"QD_BACKEND"}
    assert (
        redis_options(_without_tls(found), {"QD_BACKEND": f"rediss://you:{SECRET}%40@other"}).password == f"{SECRET}@"
    )
    assert load(FULL, QD_BACKEND="rediss://other").redis.password == ""
    assert load(FULL, QD_BACKEND="sqlite").redis == RedisSettings()


def test_a_password_of_the_environment_goes_with_any_redis() -> None:
    found = load("backend: redis://host", QD_REDIS_PASSWORD=SECRET)
    assert found.origins["backend.password"] == "QD_REDIS_PASSWORD"
    assert redis_options(found, {"QD_REDIS_PASSWORD": SECRET}) == RedisOptions("redis://host:6379/0", password=SECRET)
    assert load("", QD_REDIS_PASSWORD=SECRET).redis == RedisSettings()


def test_a_bad_environment_is_told_by_its_name() -> None:
    for bad in (f"redis://me:{SECRET}", f"rediz://:{SECRET}@host", f"redis://me:{SECRET}@host:x"):
        with pytest.raises(ConfigInvalid) as caught:
            load("", QD_BACKEND=bad)
        assert caught.value.place == "QD_BACKEND"
        assert SECRET not in json.dumps(caught.value.to_json())
    with pytest.raises(ConfigInvalid, match=r"^QD_BACKEND: backend.tls needs a rediss:// URL"):
        load(FULL, QD_BACKEND="redis://other")


def test_no_setting_ever_holds_a_password() -> None:
    found = load("", QD_BACKEND=f"redis://me:{SECRET}@host", QD_REDIS_PASSWORD=SECRET)
    for shown in (repr(found), json.dumps(plain(found)), json.dumps(asdict(found.redis))):
        assert SECRET not in shown
    assert SECRET not in repr(redis_options(found, {"QD_REDIS_PASSWORD": SECRET}))


def test_a_password_is_fetched_from_where_it_is(tmp_path: Path) -> None:
    source = str(tmp_path / "q.yaml")
    here = tmp_path / "pw"
    found = load("backend: {url: redis://h, password: {file: pw}}", source)

    def refused(environ: dict[str, str] | None = None) -> str:
        with pytest.raises(ConfigInvalid) as caught:
            redis_options(found, environ or {})
        assert SECRET not in json.dumps(caught.value.to_json())
        return str(caught.value)

    place = f"{source}:1:27"
    assert refused() == f"{place}: the password's file {here} cannot be read: No such file or directory"
    here.write_text(SECRET + "\n")
    assert redis_options(found, {}).password == SECRET
    for bad in (b"", b"\n", SECRET.encode() + b"\nmore\n", b"\xff\xfe", b"x" * 5000):
        here.write_bytes(bad)
        assert refused() == f"{place}: {here} does not hold one password on one line"
    here.unlink()
    os.mkfifo(here)
    assert "does not hold" in refused()
    here.unlink()
    here.mkdir()
    assert "cannot be read" in refused()
    found = load("backend: {url: redis://h, password: {env: PW}}", source)
    assert redis_options(found, {"PW": SECRET}).password == SECRET
    assert refused() == f"{place}: the variable PW has no password in it"


def test_tls_files_are_looked_for_before_anybody_connects(tmp_path: Path) -> None:
    found = load("backend: {url: rediss://h, tls: {ca: ca.pem}}", str(tmp_path / "q.yaml"))
    with pytest.raises(ConfigInvalid, match=r"q.yaml:1:34: cannot read .*/ca.pem"):
        redis_options(found, {})
    (tmp_path / "ca.pem").write_text("x")
    assert redis_options(found, {}).ca == str(tmp_path / "ca.pem")


def _without_tls(settings: Settings) -> Settings:
    from dataclasses import replace

    return replace(settings, redis=replace(settings.redis, ca="", cert="", key=""))
