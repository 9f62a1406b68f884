"""What the configuration says of pods: `kubernetes:`, and what an agent has of its own (`agents.X.kubernetes`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

PullPolicy = Literal["Always", "IfNotPresent", "Never"]
AccessMode = Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"]
Effect = Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"]
Operator = Literal["Equal", "Exists"]

CA_MOUNT = "/etc/quarterdeck/ca"  # in a pod


@dataclass(frozen=True, slots=True)
class SecretKey:
    """One value of a Secret of the cluster; ours only by reference."""

    secret: str
    key: str


@dataclass(frozen=True, slots=True)
class Toleration:
    """Of a taint. `key` "" tolerates every one (`Exists`); `effect` "": of any effect."""

    key: str = ""
    operator: Operator = "Equal"
    value: str = ""
    effect: Effect = ""
    seconds_ms: int | None = None  # how long a NoExecute taint is tolerated; None: for ever


@dataclass(frozen=True, slots=True)
class Resources:
    """Resource -> quantity, as Kubernetes writes them (`500m`, `2Gi`)."""

    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PodSecurity:
    """No token is ever mounted, no privilege ever gained, and every capability dropped; the rest is said here."""

    non_root: bool = True
    read_only_root: bool = False
    run_as_user: int | None = None  # None: the image's
    run_as_group: int | None = None
    fs_group: int | None = None


@dataclass(frozen=True, slots=True)
class StagingVolume:
    """The volume the tasks of a run share; one claim a run."""

    size: str = "1Gi"
    storage_class: str = ""  # "": the cluster's default
    access_mode: AccessMode = "ReadWriteOnce"
    mount: str = "/staging"
    keep_ms: int = 24 * 3600 * 1000  # how long it stays after a run that failed


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """Where pods go and what they are made of. Which cluster (`context` to `namespace`) and the housekeeping
    (`finished_ttl_ms`, `staging`) are the fleet's; an agent may differ in all else."""

    image: str
    context: str = ""  # of the kubeconfig; "": its current one
    kubeconfig: str = ""  # a path; "": KUBECONFIG, ~/.kube/config, or the pod's own account
    namespace: str = "default"
    pull_policy: PullPolicy = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    service_account: str = ""  # "": the namespace's default one
    resources: Resources = Resources()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    ca_config_map: str = ""  # its key `ca.crt` is trusted by the programs
    secrets: Mapping[str, SecretKey] = field(default_factory=dict)  # variable -> value
    secret_mounts: Mapping[str, str] = field(default_factory=dict)  # directory -> Secret, read-only
    workdir: str = ""  # "": the image's
    program: str = "qd"  # how the image starts this very program
    security: PodSecurity = PodSecurity()
    start_timeout_ms: int = 600_000  # pending longer than this: unexecutable
    finished_ttl_ms: int = 600_000  # a pod stays this long after its end
    active_deadline_ms: int | None = None  # the cluster itself ends a pod after it
    grace_ms: int = 10_000  # from the TERM to the KILL, where nobody says otherwise
    staging: StagingVolume | None = None
