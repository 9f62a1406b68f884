"""`kubernetes:` of the configuration: what is read, what an agent may differ in, and how everything else is refused."""

# ruff: noqa: E501 - a table reads by its rows

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.cli.config import flat, plain
from lite.config.kubernetes import amount
from lite.config.load import load_text
from lite.errors import ConfigInvalid
from lite.model.kubernetes import Kubernetes, PodSecurity, Resources, SecretKey, StagingVolume, Toleration
from lite.model.settings import Settings

PROVIDERS = ("claude", "shell", "http")
SAMPLE = """\
executor: kubernetes
kubernetes:
  context: lab
  kubeconfig: kube/config
  namespace: quarterdeck
  image: registry.example/qd-agent:1.4
  pull_policy: Always
  pull_secrets: registry
  service_account: agents
  resources: {requests: {cpu: 500m, memory: 1Gi}, limits: {memory: 2Gi}}
  node_selector: {disk: ssd, example.com/zone: 7}
  tolerations:
    - {key: agents, value: yes, effect: NoExecute, seconds: 5m}
    - {operator: Exists}
  ca_config_map: company-ca
  secrets: {ANTHROPIC_API_KEY: {secret: keys, key: anthropic}}
  secret_mounts: {/etc/keys: ssh-keys}
  workdir: /workspace
  program: /opt/qd/bin/qd
  security: {run_as_user: 1000, fs_group: 1000, read_only_root: yes}
  start_timeout: 5m
  finished_ttl: 0
  active_deadline: 2h
  grace: 20s
  staging: {size: 5Gi, storage_class: fast, access_mode: ReadWriteMany, mount: /shared, keep: 2h}
agents:
  dev:
    provider: claude
    kubernetes:
      image: dev:2
      resources: {limits: {cpu: 2}}
      node_selector: {gpu: a100}
      security: {run_as_user: 2000}
  plain: {provider: claude}
"""


def load(text: str) -> Settings:
    return load_text(text, "/etc/qd/q.yaml", providers=PROVIDERS, environ={})


def test_everything_is_read() -> None:
    found = load(SAMPLE)
    assert found.executor == "kubernetes"
    assert found.kubernetes == Kubernetes(
        image="registry.example/qd-agent:1.4",
        context="lab",
        kubeconfig="/etc/qd/kube/config",
        namespace="quarterdeck",
        pull_policy="Always",
        pull_secrets=("registry",),
        service_account="agents",
        resources=Resources({"cpu": "500m", "memory": "1Gi"}, {"memory": "2Gi"}),
        node_selector={"disk": "ssd", "example.com/zone": "7"},
        tolerations=(Toleration("agents", "Equal", "yes", "NoExecute", 300_000), Toleration(operator="Exists")),
        ca_config_map="company-ca",
        secrets={"ANTHROPIC_API_KEY": SecretKey("keys", "anthropic")},
        secret_mounts={"/etc/keys": "ssh-keys"},
        workdir="/workspace",
        program="/opt/qd/bin/qd",
        security=PodSecurity(read_only_root=True, run_as_user=1000, fs_group=1000),
        start_timeout_ms=300_000,
        finished_ttl_ms=0,
        active_deadline_ms=7_200_000,
        grace_ms=20_000,
        staging=StagingVolume("5Gi", "fast", "ReadWriteMany", "/shared", 7_200_000),
    )


def test_an_agent_has_what_it_says_and_otherwise_what_the_fleet_has() -> None:
    found = load(SAMPLE)
    fleet, dev = found.kubernetes, found.agents["dev"].kubernetes
    assert fleet is not None
    assert dev is not None
    assert dev.image == "dev:2"
    assert dev.resources == Resources({"cpu": "500m", "memory": "1Gi"}, {"memory": "2Gi", "cpu": "2"})
    assert dev.node_selector == {"disk": "ssd", "example.com/zone": "7", "gpu": "a100"}
    assert dev.security == PodSecurity(read_only_root=True, run_as_user=2000, fs_group=1000)
    assert (dev.pull_policy, dev.secrets, dev.active_deadline_ms) == (fleet.pull_policy, fleet.secrets, 7_200_000)
    assert (dev.namespace, dev.context, dev.staging) == (fleet.namespace, fleet.context, fleet.staging)
    assert found.agents["plain"].kubernetes is None


def test_defaults_are_safe() -> None:
    found = load("kubernetes: {image: x}").kubernetes
    assert found == Kubernetes(image="x")
    assert found is not None
    assert found.security.non_root
    assert load("{}").kubernetes is None


def test_config_shows_it_with_its_origins() -> None:
    shown = plain(load(SAMPLE))
    values = dict(flat(shown["settings"]))
    assert values["kubernetes.image"] == "registry.example/qd-agent:1.4"
    assert values["kubernetes.secrets.ANTHROPIC_API_KEY.secret"] == "keys"
    assert values["agents.dev.kubernetes.image"] == "dev:2"
    assert shown["origins"]["kubernetes.namespace"] == "/etc/qd/q.yaml:5:3"
    assert shown["origins"]["kubernetes.pull_secrets"] == "/etc/qd/q.yaml:8:3"
    assert load("kubernetes: {image: x}").origins["kubernetes.namespace"] == "default"


@pytest.mark.parametrize("executor", ["kubernetes", "auto"])
def test_an_executor_of_pods_needs_the_section(executor: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load(f"executor: {executor}")
    assert str(caught.value) == f"/etc/qd/q.yaml:1:1: executor {executor} needs to be told where pods go"
    assert load(f"executor: {executor}\nkubernetes: {{image: x}}").executor == executor


POD = "kubernetes: {{image: x, {}}}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("kubernetes: {namespace: a}", "1:1: kubernetes.image is missing"),
        ("kubernetes: x", "1:1: kubernetes should be a mapping (key: value), not 'x'"),
        ("kubernetes: {image: 'a b'}", "1:14: kubernetes.image cannot be 'a b'"),
        ("kubernetes: {image: ''}", "1:14: kubernetes.image cannot be ''"),
        (POD.format("imag: y"), "1:24: unknown key 'imag' in kubernetes, did you mean 'image'?"),
        (POD.format("namespace: Prod"), "1:24: kubernetes.namespace cannot be 'Prod'"),
        (POD.format("namespace: a.b"), "1:24: kubernetes.namespace cannot be 'a.b'"),
        (POD.format("pull_policy: never"), "1:24: kubernetes.pull_policy cannot be 'never', did you mean 'Never'?"),
        (POD.format("pull_secrets: [Reg]"), "1:24: kubernetes.pull_secrets cannot be 'Reg'"),
        (POD.format("service_account: a_b"), "1:24: kubernetes.service_account cannot be 'a_b'"),
        (POD.format("resources: {request: {cpu: 1}}"), "1:36: unknown key 'request' in kubernetes.resources, did you mean 'requests'?"),
        (POD.format("resources: {limits: {memory: 1 GB}}"), "1:36: kubernetes.resources.limits has 'memory', which is not a quantity: '1 GB'"),
        (POD.format("resources: {limits: {memory: -1}}"), "1:36: kubernetes.resources.limits has 'memory', which is not a quantity: '-1'"),
        (POD.format("resources: {requests: {cpu: 1500m}, limits: {cpu: 1}}"), "1:24: kubernetes.resources asks for more cpu than its limit: 1500m, 1"),
        (POD.format("node_selector: {-a: b}"), "1:24: kubernetes.node_selector has a label that is none: '-a'"),
        (POD.format("node_selector: {a: b c}"), "1:24: kubernetes.node_selector has a label's value that is none: 'b c'"),
        (POD.format("tolerations: [{key: a, operator: In}]"), "1:47: kubernetes.tolerations[0].operator cannot be 'In'"),
        (POD.format("tolerations: [{value: a}]"), "1:38: kubernetes.tolerations[0] names no taint"),
        (POD.format("tolerations: [{operator: Exists, value: a}]"), "1:38: kubernetes.tolerations[0] has a value, which means nothing with Exists"),
        (POD.format("tolerations: [{key: a, seconds: 5}]"), "1:38: kubernetes.tolerations[0] has seconds, which go with effect: NoExecute only"),
        (POD.format("ca_config_map: CA"), "1:24: kubernetes.ca_config_map cannot be 'CA'"),
        (POD.format("secrets: {KEY: sk-very-secret}"), "1:34: kubernetes.secrets.KEY should be a mapping (key: value), not 'sk-very-secret'"),
        (POD.format("secrets: {KEY: {secret: keys}}"), "1:34: kubernetes.secrets.KEY.key is missing"),
        (POD.format("secrets: {KEY: {secret: '', key: a}}"), "1:40: kubernetes.secrets.KEY.secret"),
        (POD.format("secrets: {QD_TASK: {secret: keys, key: a}}"), "1:24: kubernetes.secrets is wrong: QD_TASK is set by Quarterdeck itself"),
        (POD.format("secret_mounts: {keys: a}"), "1:24: kubernetes.secret_mounts cannot be 'keys'"),
        (POD.format("secret_mounts: {/a/../b: a}"), "1:24: kubernetes.secret_mounts cannot be '/a/../b'"),
        (POD.format("secret_mounts: {/tmp: a}"), "1:24: kubernetes.secret_mounts cannot be /tmp, which is the system's or ours"),
        (POD.format("secret_mounts: {/a: A_B}"), "1:24: kubernetes.secret_mounts of '/a' cannot be 'A_B'"),
        (POD.format("secret_mounts: {/a: x, /a/b: y}"), "1:24: kubernetes mounts /a/b where /a is"),
        (POD.format("secret_mounts: {/etc/quarterdeck/ca: x}, ca_config_map: c"), "1:24: kubernetes mounts /etc/quarterdeck/ca where /etc/quarterdeck/ca is"),
        (POD.format("workdir: here"), "1:24: kubernetes.workdir cannot be 'here'"),
        (POD.format("program: 'qd up'"), "1:24: kubernetes.program cannot be 'qd up'"),
        (POD.format("security: {privileged: yes}"), "1:35: unknown key 'privileged' in kubernetes.security"),
        (POD.format("security: {run_as_user: root}"), "1:35: kubernetes.security.run_as_user should be a whole number, not 'root'"),
        (POD.format("security: {run_as_user: 0}"), "1:24: kubernetes.security wants user 0 and refuses root"),
        (POD.format("start_timeout: 0"), "1:24: kubernetes.start_timeout must be between 1s and a year"),
        (POD.format("grace: soon"), "1:24: kubernetes.grace is not a duration: 'soon'"),
        (POD.format("staging: {size: big}"), "1:34: kubernetes.staging.size is not a quantity: 'big'"),
        (POD.format("staging: {mount: /tmp}"), "1:34: kubernetes.staging.mount cannot be /tmp, which is the system's or ours"),
        (POD.format("staging: {access_mode: RWX}"), "1:34: kubernetes.staging.access_mode cannot be 'RWX'"),
        ("agents: {a: {provider: claude, kubernetes: {image: y}}}", "1:32: agents.a.kubernetes needs the fleet's"),
        (POD.format("") + "\nagents: {a: {provider: claude, kubernetes: {namespace: y}}}", "2:45: unknown key 'namespace' in agents.a.kubernetes"),
        (POD.format("resources: {limits: {cpu: 1}}") + "\nagents: {a: {provider: claude, kubernetes: {resources: {requests: {cpu: 2}}}}}", "2:45: agents.a.kubernetes.resources asks for more cpu than its limit: 2, 1"),
        (POD.format("secrets: {KEY: {secret: s, key: k}}") + "\nagents: {a: {provider: claude, env: {KEY: x}, kubernetes: {image: y}}}", "2:47: agents.a.kubernetes.secrets.KEY is in the agent's env or secrets too"),
    ],
)  # fmt: skip
def test_a_bad_value_is_told_with_its_place(text: str, line: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load(text)
    assert str(caught.value).startswith(f"/etc/qd/q.yaml:{line}"), str(caught.value)


@given(st.integers(1, 10**6), st.sampled_from(["", "m", "k", "Ki", "Mi", "G", "Gi"]))
def test_quantities_are_compared_by_what_they_mean(number: int, unit: str) -> None:
    scale = {"": 1, "m": 1e-3, "k": 1e3, "Ki": 1 << 10, "Mi": 1 << 20, "G": 1e9, "Gi": 1 << 30}[unit]
    assert float(amount(f"{number}{unit}")) == pytest.approx(number * scale)


def test_the_kubeconfig_is_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "q.yaml"
    found = load_text("kubernetes: {image: x, kubeconfig: k}", str(path), environ={}).kubernetes
    assert found is not None
    assert found.kubeconfig == str(tmp_path / "k")
