"""`quarterdeck.yaml`: what is accepted, where each value came from, and how everything else is refused."""

# ruff: noqa: E501 - a table reads by its rows

from __future__ import annotations

from pathlib import Path

import pytest

from lite.config.load import load_settings, load_text
from lite.errors import ConfigInvalid, NotSupported
from lite.model.settings import Agent, RetryPolicy, Routing, Settings, TriggerRule

PROVIDERS = ("claude", "shell", "http", "scripted")
SAMPLE = """\
# of the guide
agents:
  dev: {provider: claude, identity: agents/dev, roles: [implement], slots: 2, mode: headless}
  writer:
    provider: claude
    roles: docs
    env: {PORT: 8080, DEBUG: yes, EMPTY: }
    timeout: 1h30m
    idle_timeout: 300
    retries: 2
    options: {max_turns: 5, strict: true, tools: [a, 1]}
routing:
  triggers: [{match: "docs/*", agent: writer}]
  default: dev
limits:  {slots: 7}
backend:  sqlite            # or redis://host:6379/0
executor: local
sqlite: {synchronous: normal}
retry: {base: 2s, factor: 1.5, cap: 1m, jitter: 0}
lease: {ttl: 20s, heartbeat: 4s}
stop_grace: 5s
recording: {cap: 64MB, enabled: no}
env_allow: [GOPATH, CARGO_HOME]
terminal: {cols: 100, rows: 30}
labels: {gpu: a100, rack: 07}
detach_key: ctrl-q
"""


def load(text: str, **environ: str) -> Settings:
    return load_text(text, "q.yaml", providers=PROVIDERS, environ=environ)


def test_everything_in_the_guide_is_read() -> None:
    found = load(SAMPLE)
    assert list(found.agents) == ["dev", "writer", "shell", "http"]
    assert found.agents["dev"] == Agent(
        "dev", "claude", roles=("implement",), slots=2, mode="headless", identity="agents/dev"
    )
    assert found.agents["writer"] == Agent(
        "writer",
        "claude",
        roles=("docs",),
        env={"PORT": "8080", "DEBUG": "yes", "EMPTY": ""},
        timeout_ms=5_400_000,
        idle_timeout_ms=300_000,
        retries=2,
        options={"max_turns": 5, "strict": True, "tools": ["a", 1]},
    )
    assert found.routing == Routing((TriggerRule("docs/*", "writer"),), "dev")
    assert (found.slots, found.backend, found.synchronous, found.executor) == (7, "sqlite", "normal", "local")
    assert found.retry == RetryPolicy(2_000, 1.5, 60_000, 0)
    assert (found.lease_ms, found.heartbeat_ms, found.stop_grace_ms) == (20_000, 4_000, 5_000)
    assert (found.recording_cap, found.record) == (64 << 20, False)
    assert found.env_allow == ("GOPATH", "CARGO_HOME")
    assert (found.cols, found.rows) == (100, 30)
    assert found.labels == {"gpu": "a100", "rack": "07"}
    assert (found.detach_key, found.path) == ("ctrl-q", "q.yaml")


def test_limits_and_the_account_of_an_agent() -> None:
    agent = "agents: {a: {provider: claude, account: team, gate: no, limits: {wall: 2h, idle: none, steps: 30}}}"
    found = load(agent).agents["a"]
    assert (found.account, found.gate) == ("team", False)
    assert found.limits == {"wall": 7_200_000, "idle": None, "steps": 30}
    assert load("agents: {a: {provider: claude}}").agents["a"].limits == {}


@pytest.mark.parametrize(
    "limits", ["{wall: 0}", "{steps: 1.5}", "{retries: -1}", "{idle: soon}", "{cost: 3}", "{steps: 0}"]
)
def test_a_limit_that_is_none_is_refused(limits: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        load(f"agents: {{a: {{provider: claude, limits: {limits}}}}}")
    assert "q.yaml:1" in refused.value.place


def test_without_a_file_everything_has_its_default_and_shell_and_http_exist() -> None:
    found = load_settings(None, providers=PROVIDERS, environ={})
    bare = Settings()
    for name in set(Settings.__dataclass_fields__) - {"agents", "origins", "prices"}:
        assert getattr(found, name) == getattr(bare, name), name
    assert list(found.agents) == ["shell", "http"]
    assert set(found.origins.values()) == {"default", "built in"}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "agents:\nrouting:\n", "\ufeffagents: {}\n", "---\n...\n"])
def test_an_empty_file_is_no_error(text: str) -> None:
    assert list(load(text).agents) == ["shell", "http"]


def test_every_value_knows_its_origin() -> None:
    origins = load(SAMPLE, QD_SLOTS="9").origins
    assert origins["limits.slots"] == "QD_SLOTS"
    assert origins["backend"] == "q.yaml:16:1"
    assert origins["retry.cap"] == "q.yaml:19:32"
    assert origins["agents.dev.slots"] == "q.yaml:3:69"
    assert origins["agents.dev.timeout"] == "default"
    assert origins["agents.shell.provider"] == "built in"
    assert load("limits:\n  slots: 3\n").origins["limits.slots"] == "q.yaml:2:3"
    assert load("").origins["limits.slots"] == "default"


def test_the_environment_wins() -> None:
    assert load("limits: {slots: 3}", QD_SLOTS="12").slots == 12
    assert load("", QD_BACKEND="sqlite").origins["backend"] == "QD_BACKEND"
    with pytest.raises(NotSupported) as later:
        load("", QD_BACKEND="postgresql://host/db")
    assert str(later.value) == "QD_BACKEND: backend postgresql is not supported yet"
    for bad in ("0", "-1", "many", "99999", "１"):
        with pytest.raises(ConfigInvalid, match=r"^QD_SLOTS: should be a whole number from 1 to 10000, not "):
            load("", QD_SLOTS=bad)


def test_a_built_in_agent_may_be_configured() -> None:
    found = load("agents: {shell: {provider: shell, slots: 1}}")
    assert found.agents["shell"].slots == 1
    assert list(found.agents) == ["shell", "http"]


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("agent: {}", "q.yaml:1:1: unknown key 'agent', did you mean 'agents'?", "known keys: agents, routing, limits,"),
        (
            "agents:\n  dev: {providr: claude}",
            "q.yaml:2:9: unknown key 'providr' in agents.dev, did you mean 'provider'?",
            "known keys: provider, roles,",
        ),
        ("agents:\n  dev: {slots: 1}", "q.yaml:2:3: agents.dev.provider is missing", ""),
        ("agents:\n  dev: {provider: cloude}", "q.yaml:2:9: no provider 'cloude', did you mean 'claude'?", "providers: claude,"),
        ("agents:\n  dev:", "q.yaml:2:3: agents.dev should be a mapping (key: value), and is empty", ""),
        ("agents: [dev]", "q.yaml:1:1: agents should be a mapping (key: value), not a list", ""),
        ("agents: {Dev: {provider: claude}}", "q.yaml:1:10: 'Dev' cannot be an agent's name", "use a-z"),
        ("agents: {d: {provider: claude, mode: loud}}", "q.yaml:1:32: agents.d.mode cannot be 'loud'", "one of: interactive, headless"),
        ("agents: {d: {provider: claude, mode: headles}}", "q.yaml:1:32: agents.d.mode cannot be 'headles', did you mean 'headless'?", ""),
        ("agents: {d: {provider: claude, slots: 0}}", "q.yaml:1:32: agents.d.slots must be at least 1, not 0", ""),
        ("agents: {d: {provider: claude, timeout: -3s}}", "q.yaml:1:32: agents.d.timeout cannot be negative: -3s", ""),
        ("agents: {d: {provider: claude, timeout: 0}}", "q.yaml:1:32: agents.d.timeout must be more than 0", "leave it out"),
        ("agents: {d: {provider: claude, timeout: soon}}", "q.yaml:1:32: agents.d.timeout is not a duration: 'soon'", "write for example"),
        ("agents: {d: {provider: claude, retries: 1.5}}", "q.yaml:1:32: agents.d.retries should be a whole number, not '1.5'", ""),
        ("agents: {d: {provider: claude, roles: {a: b}}}", "q.yaml:1:32: agents.d.roles should be a list, not a mapping", ""),
        ("agents: {d: {provider: claude, roles: [[a]]}}", "q.yaml:1:40: agents.d.roles[0] should be text, not a list", ""),
        ("agents: {d: {provider: claude, env: {A-B: x}}}", "q.yaml:1:32: agents.d.env is wrong: 'A-B' cannot be a variable's name", ""),
        ("agents: {d: {provider: claude, env: {QD_TASK: x}}}", "q.yaml:1:32: agents.d.env is wrong: QD_TASK is set by Quarterdeck itself", ""),
        ("routing: {default: dev}", "q.yaml:1:11: no agent 'dev' is configured", "agents: shell, http"),
        (
            "routing:\n  triggers:\n    - {match: a, agent: shel}",
            "q.yaml:3:18: no agent 'shel' is configured, did you mean 'shell'?",
            "agents: shell, http",
        ),
        ("limits: {slots: many}", "q.yaml:1:10: limits.slots should be a whole number, not 'many'", ""),
        ("limits: {slots: 0}", "q.yaml:1:10: limits.slots must be at least 1, not 0", ""),
        ("sqlite: {synchronous: off}", "q.yaml:1:10: sqlite.synchronous cannot be 'off'", "one of: full, normal"),
        ("backend: postgress", None, ""),
        ("backend: sqllite", "q.yaml:1:1: backend cannot be 'sqllite', did you mean 'sqlite'?", "backend: sqlite"),
        ("executor: locl", "q.yaml:1:1: executor cannot be 'locl', did you mean 'local'?", "executor: local|kubernetes|auto"),
        ("retry: {factor: 0.5}", "q.yaml:1:9: retry.factor must be at least 1.0, not 0.5", ""),
        ("retry: {jitter: 2}", "q.yaml:1:9: retry.jitter must be at most 1.0, not 2", ""),
        ("lease: {ttl: 10s, heartbeat: 9s}", "q.yaml:1:19: lease.heartbeat must be at most half of lease.ttl", "so that"),
        ("lease: {ttl: 1ms}", "q.yaml:1:9: lease.ttl must be between 100ms and 24h", ""),
        ("stop_grace: 1h", "q.yaml:1:1: stop_grace must be at most 10m", ""),
        ("recording: {cap: big}", "q.yaml:1:13: recording.cap is not a size", "write for example 64MB"),
        ("recording: {cap: 1k}", "q.yaml:1:13: recording.cap must be between 1MB and 1024GB", ""),
        ("recording: {enabled: maybe}", "q.yaml:1:13: recording.enabled should be true or false, not 'maybe'", ""),
        ("terminal: {cols: 5}", "q.yaml:1:12: terminal.cols must be at least 20, not 5", ""),
        ("detach_key: F12", "q.yaml:1:1: not a key that can detach: 'F12'", "for example ctrl-]"),
        ("- a", "q.yaml:1:1: the configuration should be a mapping (key: value)", ""),
        ("hello", "q.yaml:1:1: the configuration should be a mapping (key: value)", ""),
        ("limits: {slots: 1\n", None, ""),
    ],
)  # fmt: skip
def test_a_bad_value_is_told_with_its_place(text: str, line: str | None, hint: str) -> None:
    with pytest.raises((ConfigInvalid, NotSupported)) as caught:
        load(text)
    if line is not None:
        assert isinstance(caught.value, ConfigInvalid)
        assert str(caught.value) == line
    assert caught.value.hint.startswith(hint)
    assert caught.value.exit_code == 3
    assert caught.value.place.startswith("q.yaml:")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("limits: {}\nbackend: postgres://host/db", "q.yaml:2:1: backend postgres is not supported yet"),
        ("backend: postgresql://host/db", "q.yaml:1:1: backend postgresql is not supported yet"),
        ("budget: {usd: 3}", "q.yaml:1:1: budget is not supported yet"),
        ("schedules: []", "q.yaml:1:1: schedules is not supported yet"),
        ("agents: {d: {provider: claude, budget: 3}}", "q.yaml:1:32: budget is not supported yet"),
    ],
)
def test_what_is_not_built_yet_is_never_silently_accepted(text: str, line: str) -> None:
    with pytest.raises(NotSupported) as caught:
        load(text)
    assert str(caught.value) == line


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load("limits: {slots: 0}\nretry: {cap: soon}\nlable: {}\n")
    assert str(caught.value).splitlines() == [
        "q.yaml:1:10: limits.slots must be at least 1, not 0",
        "q.yaml:2:9: retry.cap is not a duration: 'soon'",
        "q.yaml:3:1: unknown key 'lable', did you mean 'labels'?",
    ]


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    path = tmp_path / "quarterdeck.yaml"

    def refused() -> str:
        with pytest.raises(ConfigInvalid) as caught:
            load_settings(path, providers=PROVIDERS, environ={})
        return str(caught.value)

    assert refused() == f"{path}: cannot be read: No such file or directory"
    path.write_bytes(b"a: \xff\xfe")
    assert refused() == f"{path}:1: this is not UTF-8 text"
    path.write_bytes(b"# " + b"x" * (10 << 20))
    assert refused() == f"{path}: this is larger than 1 MiB"
    path.write_bytes(b"\x7fELF\0\0")
    assert refused() == f"{path}:1:1: the control character U+007F cannot stand here"
    path.unlink()
    path.mkdir()
    assert refused() == f"{path}: is a directory, not a configuration file"


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "quarterdeck.yaml"
    path.write_text(SAMPLE)
    found = load_settings(path, providers=PROVIDERS, environ={})
    assert found.path == str(path)
    assert found.origins["backend"] == f"{path}:16:1"
