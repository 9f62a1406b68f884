"""The pod of an attempt: compared with what was looked at once, refused by no schema, and without a secret in it.

`--snapshot-update` writes the files of `kubernetes_manifests/` anew: look at what changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lite.errors import InvalidTask
from lite.executors.kubernetes import bootstrap, manifests, names
from lite.model.kubernetes import Kubernetes, PodSecurity, Resources, SecretKey, StagingVolume, Toleration
from lite.model.session import Origin, SessionRequest
from lite.model.task import Affinity
from providers.base import Launch
from tests.support.kube import validation
from tests.support.kube.expansion import expand

GOLDENS = Path(__file__).parent / "kubernetes_manifests"
MARK = "0123456789abcdef" * 2
TASK, RUN = "01j9zq3k5w7x8y2v4n6m0r1t3s", "01j9zq3k5vaaaaaaaaaaaaaaaa"
SECRET = "canary-77aa1c"
FOLDER = "/home/ann/.quarterdeck/sessions/x-1"

POOR = Kubernetes(image="qd-agent:1")
RICH = Kubernetes(
    image="registry.example/qd-agent:1.4",
    context="lab",
    kubeconfig="/home/ann/.kube/config",
    namespace="quarterdeck",
    pull_policy="Always",
    pull_secrets=("registry",),
    service_account="agents",
    resources=Resources({"cpu": "500m", "memory": "1Gi"}, {"memory": "2Gi"}),
    node_selector={"disk": "ssd"},
    tolerations=(Toleration("agents", "Equal", "yes", "NoExecute", 300_000), Toleration(operator="Exists")),
    ca_config_map="company-ca",
    secrets={"ANTHROPIC_API_KEY": SecretKey("keys", "anthropic")},
    secret_mounts={"/etc/keys": "ssh-keys", "/etc/certs": "certificates"},
    workdir="/workspace",
    security=PodSecurity(read_only_root=True, run_as_user=1000, run_as_group=1000, fs_group=2000),
    active_deadline_ms=7_200_500,
    grace_ms=20_000,
    staging=StagingVolume("5Gi", "fast", "ReadWriteMany", "/shared"),
)


def asked(*argv: str, **fields: Any) -> SessionRequest:
    launch = Launch(argv=argv or ("sh", "-c", "echo $HOME $(date) $$"), **fields.pop("launch", {}))
    env = {
        "PATH": "/opt/bin:/usr/bin",
        "TERM": "xterm-256color",
        "QD_HOME": "/home/ann/.quarterdeck",
        "QD_TASK": TASK,
        "QD_OUTPUT": f"{FOLDER}/output",
        **fields.pop("env", {}),
    }
    made: dict[str, Any] = {
        "task": TASK,
        "attempt": 1,
        "token": 7,
        "launch": launch,
        "cwd": "/home/ann/project",
        "env": env,
        "directory": FOLDER,
        "origin": Origin(RUN, "build", "dev"),
    }
    return SessionRequest(**{**made, **fields})


def team(affinity: Affinity) -> SessionRequest:
    return asked(origin=Origin(RUN, "build", "dev", "blue team", {"zone": "a"}, affinity))


CASES: Mapping[str, tuple[SessionRequest, Kubernetes, str]] = {
    "minimal": (asked(), POOR, ""),
    "everything": (asked(origin=Origin(RUN, "build", "dev", "blue", {"zone": "a"}, "require-spread")), RICH, "a-claim"),
    "pipes": (asked("claude", "-p", launch={"stdio": "pipes", "stdin": "null"}), POOR, ""),
    "secrets": (asked(env={"KEY": SECRET, "URL": f"https://x:{SECRET}@host", "S": "a$b"}, secrets=(SECRET,)), POOR, ""),
    "secret-in-argv": (asked("curl", f"-u{SECRET}", secrets=(SECRET,)), POOR, ""),
    "odd-ids": (asked(task="Äpfel/Birnen", attempt=12, origin=Origin("", "", "dev.1", "Team Ä", {}, "none")), POOR, ""),
    "affinity-none": (team("none"), POOR, ""),
    "affinity-prefer-colocate": (team("prefer-colocate"), POOR, ""),
    "affinity-require-colocate": (team("require-colocate"), POOR, ""),
    "affinity-prefer-spread": (team("prefer-spread"), POOR, ""),
    "affinity-require-spread": (team("require-spread"), POOR, ""),
}  # fmt: skip


def made(name: str) -> dict[str, Any]:
    request, kube, claim = CASES[name]
    return manifests.pod(request, kube, fleet="home-7", claim=claim)


def container(pod: Mapping[str, Any]) -> dict[str, Any]:
    (only,) = pod["spec"]["containers"]
    found: dict[str, Any] = only
    return found


def values(pod: Mapping[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container(pod)["env"] if "value" in one}


def golden(name: str, found: Mapping[str, Any], config: pytest.Config) -> Any:
    path = GOLDENS / f"{name}.yaml"
    if config.getoption("update_snapshots", default=False):
        path.write_text(yaml.safe_dump(found, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CASES)
def test_it_is_what_was_looked_at(name: str, pytestconfig: pytest.Config) -> None:
    pod = json.loads(json.dumps(made(name)))
    words = container(pod)["command"]
    assert words[2] == bootstrap.SCRIPT.replace("$", "$$")
    words[2] = "(the bootstrap)"
    assert pod == golden(name, pod, pytestconfig)


def test_every_golden_has_its_case() -> None:
    assert {path.stem for path in GOLDENS.glob("*.yaml")} == set(CASES) | {"staging-claim"}


@pytest.mark.parametrize("name", CASES)
def test_a_cluster_takes_it(name: str) -> None:
    pod, unknown = validation.decode("pods", made(name), "Strict")
    assert not unknown
    validation.check("pods", pod)


@pytest.mark.parametrize("name", CASES)
def test_it_may_run_where_only_restricted_pods_may(name: str) -> None:
    spec = made(name)["spec"]
    security = container(made(name))["securityContext"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers", "initContainers"} & set(spec)
    for volume in spec["volumes"]:
        assert not {"hostPath"} & set(volume)
    for mount in container(made(name))["volumeMounts"]:
        assert mount["mountPath"] in ("/tmp", "/shared") or mount["readOnly"]


@pytest.mark.parametrize("name", CASES)
def test_it_is_never_started_again_by_the_cluster(name: str) -> None:
    assert made(name)["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize("name", CASES)
def test_what_the_kubelet_makes_of_the_command_is_what_was_meant(name: str) -> None:
    request, _, _ = CASES[name]
    words = [expand(word, {"date": "x", "HOME": "y", "1": "z"}) for word in container(made(name))["command"]]
    assert words[:4] == ["/bin/sh", "-c", bootstrap.SCRIPT, "qd"]
    if name != "secret-in-argv":
        assert tuple(words[4:]) == request.launch.argv


def test_mounts_and_volumes_belong_together() -> None:
    pod = made("everything")
    assert [one["name"] for one in container(pod)["volumeMounts"]] == [one["name"] for one in pod["spec"]["volumes"]]
    assert pod["spec"]["volumes"][-1]["persistentVolumeClaim"] == {"claimName": "a-claim"}
    assert values(pod)["QD_STAGING"] == "/shared"
    assert values(pod)["SSL_CERT_FILE"] == "/etc/quarterdeck/ca/ca.crt"
    without = manifests.pod(CASES["everything"][0], RICH, fleet="home-7")
    assert "staging" not in {one["name"] for one in without["spec"]["volumes"]}


def test_what_means_nothing_there_stays_here() -> None:
    shown = values(made("minimal"))
    assert shown == {
        "QD_TASK": TASK,
        "TERM": "xterm-256color",
        bootstrap.TERMINATION_VARIABLE: bootstrap.TERMINATION_LOG,
    }
    told = manifests.go(asked(), POOR, mark=MARK)
    assert b"export QD_OUTPUT=\"$_qd_dir\"/'output'" in told
    assert b"_qd_program_path='/opt/bin:/usr/bin'" in told
    assert b"QD_HOME" not in told
    assert b"/home/ann/.quarterdeck" not in told
    assert b"_qd_cwd='/home/ann/project';" in told
    assert b"_qd_cwd='/workspace' _qd_cwd_needed=1" in manifests.go(asked(), RICH, mark=MARK)


@pytest.mark.parametrize("name", ["secrets", "secret-in-argv"])
def test_a_secret_is_told_and_never_in_the_spec(name: str) -> None:
    request, kube, _ = CASES[name]
    assert SECRET not in json.dumps(made(name))
    assert SECRET.encode() in manifests.go(request, kube, mark=MARK)


@given(
    st.dictionaries(st.from_regex(r"[A-Z]{1,6}", fullmatch=True), st.text(max_size=30), max_size=5),
    st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=3),
    st.lists(st.text(st.characters(exclude_characters="\0"), max_size=20), max_size=4),
)
def test_no_secret_is_ever_in_the_spec(env: dict[str, str], secrets: list[str], words: list[str]) -> None:
    secrets = [f"{SECRET}{one}" for one in secrets]
    env = {name: value + secrets[at % len(secrets)] for at, (name, value) in enumerate(env.items())}
    request = asked("sh", *words, *secrets, env=env, secrets=tuple(secrets), origin=Origin(RUN, "x", "dev"))
    pod = manifests.pod(request, POOR, fleet="f")
    assert SECRET not in json.dumps(pod, ensure_ascii=False)
    validation.check("pods", pod)


def test_a_secret_of_the_cluster_gives_way_to_what_the_task_has() -> None:
    for request in (
        asked(env={"ANTHROPIC_API_KEY": "own"}),
        asked(env={"ANTHROPIC_API_KEY": SECRET}, secrets=(SECRET,)),
    ):
        found = [one for one in container(manifests.pod(request, RICH, fleet="f"))["env"] if "valueFrom" in one]
        assert found == []
    (reference,) = [one for one in container(made("everything"))["env"] if "valueFrom" in one]
    assert reference["valueFrom"] == {"secretKeyRef": {"name": "keys", "key": "anthropic"}}


def test_long_and_odd_arguments_are_told_instead() -> None:
    for words in (["x" * 40_000], ["\udcff"]):
        request = asked("prog", *words)
        assert container(manifests.pod(request, POOR, fleet="f"))["command"][3:] == ["qd"]
        told = manifests.go(request, POOR, mark=MARK)
        assert b"set -- 'prog' " + bootstrap.quote(words[0]) in told
    assert b"set --" not in manifests.go(asked("prog"), POOR, mark=MARK)


def test_files_and_input_are_told() -> None:
    request = asked("cat", launch={"stdio": "pipes", "stdin": "file", "stdin_file": "p", "files": {"p": b"prompt"}})
    told = manifests.go(request, POOR, mark=MARK, brought={"needs/a": b"output of a"})
    assert b"_qd_in=\"$_qd_dir\"/'p'" in told
    assert b"'prompt'" in told
    assert b"'output of a'" in told
    assert b"_qd_cols" not in told
    assert b"_qd_cols=120 _qd_rows=40" in manifests.go(asked(), POOR, mark=MARK)


def test_the_same_attempt_is_the_same_pod() -> None:
    assert made("everything") == made("everything")
    one, other = made("minimal"), manifests.pod(replace(asked(), attempt=2), POOR, fleet="home-7")
    assert one["metadata"]["name"] != other["metadata"]["name"]


@pytest.mark.parametrize("affinity", ["prefer-colocate", "require-colocate", "prefer-spread", "require-spread"])
def test_a_pod_is_among_those_it_wants_to_be_near_to_or_away_from(affinity: Affinity) -> None:
    """So the first of a team is placed though nobody is there, and the next is kept apart from it."""
    pod = manifests.pod(team(affinity), POOR, fleet="home-7")
    found = re.findall(r"'matchLabels': (\{.*?\})", str(pod["spec"]["affinity"]))
    assert len(found) == 1
    wanted = yaml.safe_load(found[0])
    assert set(wanted) == {names.FLEET, names.TEAM}
    assert wanted.items() <= pod["metadata"]["labels"].items()


def test_a_task_may_narrow_where_the_fleet_s_pods_go_and_never_widen_it() -> None:
    both = asked(origin=Origin(selector={"zone": "a", "disk": "ssd"}))
    assert manifests.pod(both, RICH, fleet="f")["spec"]["nodeSelector"] == {"disk": "ssd", "zone": "a"}
    for selector in (
        {"disk": "hdd"},
        {"a b": "c"},
        {"a": "b c"},
        {"-a": "b"},
        {"a": "x" * 64},
        {"a": "b\n"},
        {"a..b/c": "d"},
        {"/c": "d"},
        {"": "d"},
    ):
        with pytest.raises(InvalidTask, match=r"^selector: "):
            manifests.pod(asked(origin=Origin(selector=selector)), RICH, fleet="f")


@pytest.mark.parametrize(("ms", "seconds"), [(1, 1), (1000, 1), (1001, 2), (0, 1)])
def test_times_are_whole_seconds_and_at_least_one(ms: int, seconds: int) -> None:
    pod = manifests.pod(asked(), replace(POOR, grace_ms=ms, active_deadline_ms=ms), fleet="f")
    assert (pod["spec"]["terminationGracePeriodSeconds"], pod["spec"]["activeDeadlineSeconds"]) == (seconds, seconds)


def test_the_claim_of_a_run(pytestconfig: pytest.Config) -> None:
    assert RICH.staging is not None
    claim = manifests.staging_claim(RICH.staging, fleet="home-7", run=RUN, namespace="quarterdeck")
    assert claim == golden("staging-claim", claim, pytestconfig)
    _, unknown = validation.decode("persistentvolumeclaims", claim, "Strict")
    assert not unknown
    validation.check("persistentvolumeclaims", claim)
    bare = manifests.staging_claim(StagingVolume(), fleet="f", run=RUN, namespace="n")
    assert "storageClassName" not in bare["spec"]
