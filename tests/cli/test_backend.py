"""`backend`, and what `up` and `doctor` say of it: how durable, with every warning, and never a password."""

from __future__ import annotations

import pytest

from lite.home import Home
from tests.cli.conftest import Qd
from tests.cli.fake import FakeSupervisor

WARNING = "Redis runs without AOF: accepted work is lost when it restarts"
SECRET = "hunter2"


@pytest.fixture
def redis(supervisor: FakeSupervisor) -> FakeSupervisor:
    """A worker on Redis."""
    supervisor.routes["GET", "/v1/status"] |= {
        "backend": "Redis redis://h:6379/0, keys qd:*, 7.2, AOF",
        "backend_warnings": [WARNING],
        "role": "worker",
    }
    supervisor.routes["GET", "/v1/config"] = {
        "path": "",
        "settings": {"backend": "redis://h:6379/0", "redis": {"prefix": "qd", "password": "env PW"}},
        "origins": {"backend": "QD_BACKEND"},
    }
    return supervisor


def test_what_runs_is_described_with_its_warnings(qd: Qd, redis: FakeSupervisor) -> None:
    assert qd("backend").out.splitlines() == [
        "Redis redis://h:6379/0, keys qd:*, 7.2, AOF",
        f"WARNING: {WARNING}",
        "  configured  redis://h:6379/0, keys qd:*, by QD_BACKEND",
        "  here        w-1, role worker",
    ]
    assert qd("backend", "--json").json["warnings"] == [WARNING]


def test_without_a_supervisor_the_configured_one_is_named(qd: Qd, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "sqlite: not open" in qd("backend").out
    monkeypatch.setenv("QD_BACKEND", f"redis://me:{SECRET}@h")
    result = qd("backend")
    assert "redis://h:6379/0, keys quarterdeck:*: not open" in result.out
    assert "by QD_BACKEND" in result.out
    for argv in (["backend"], ["backend", "--json"], ["config", "show"], ["config", "show", "--json"], ["doctor"]):
        result = qd(*argv)
        assert SECRET not in result.out + result.err
    shown = {line.split()[0]: line for line in qd("config", "show").out.splitlines()}
    assert "QD_BACKEND" in shown["backend.password"]
    assert "url QD_BACKEND" in shown["backend.password"]


def test_settings_of_redis_are_not_shown_where_they_mean_nothing(qd: Qd, home: Home) -> None:
    shown = qd("config", "show").out
    assert "backend.prefix" not in shown
    assert "worker.name" in shown


def test_the_banner_warns_on_stderr(qd: Qd, redis: FakeSupervisor) -> None:
    result = qd("up", "-d")
    assert f"qd: WARNING: {WARNING}" in result.err.splitlines()
    assert "durable     Redis redis://h:6379/0" in result.out
    assert "role        worker w-1" in result.out
    assert WARNING in qd("up", "-d", "--json").err


def test_options_that_come_too_late_are_not_passed_over_in_silence(qd: Qd, redis: FakeSupervisor) -> None:
    result = qd("up", "-d", "--role", "worker", "--slots", "3", "--labels", "a=1", "--switch")
    assert result.code == 0
    assert "it runs already: --role, --labels, --slots, --switch not looked at" in result.err


def test_doctor_makes_findings_of_the_warnings(qd: Qd, redis: FakeSupervisor) -> None:
    redis.routes["GET", "/v1/agents"] = []
    found = [(one["level"], one["message"]) for one in qd("doctor", "--json").json if one["check"] == "backend"]
    assert found == [("ok", "Redis redis://h:6379/0, keys qd:*, 7.2, AOF"), ("warning", WARNING)]


def test_doctor_says_before_a_start_that_the_password_is_missing(
    qd: Qd, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.create()
    (home.root / "quarterdeck.yaml").write_text("backend: {url: redis://h, password: {env: NOT_THERE}}\n")
    (found,) = (one for one in qd("doctor", "--json").json if one["check"] == "backend")
    assert found["level"] == "warning"
    assert "quarterdeck.yaml:1:27: the variable NOT_THERE has no password in it" in found["message"]
    monkeypatch.setenv("NOT_THERE", SECRET)
    assert [one for one in qd("doctor", "--json").json if one["check"] == "backend"] == []
