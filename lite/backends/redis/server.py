"""What kind of server it is: refused where it would lose work, described as durable as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from lite.backends.redis.connection import Link
from lite.errors import BackendUnusable

OLDEST = (7, 0)
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Server:
    """`fsync` is "" where the server does not tell."""

    version: str
    run_id: str
    aof: bool
    fsync: str
    snapshots: bool
    policy: str
    maxmemory: int
    replicas: int

    def promise(self) -> str:
        if not self.aof:
            what = "what happened since its last snapshot" if self.snapshots else "everything"
            return f"AOF is off: a restart of the server loses {what}"
        if self.fsync == "always":
            return "AOF, fsync always: every accepted task and outcome is on its disk before it is reported"
        if self.fsync == "everysec":
            return "AOF, fsync every second: survives the server's kill; a crash of its machine may take the last 2 s"
        if self.fsync == "no":
            return "AOF, fsync left to the system: a crash of its machine may take the last half minute"
        return "AOF (its fsync policy is not told)"

    def warnings(self) -> tuple[str, ...]:
        found = []
        if not self.aof:
            found.append("Redis runs without AOF: accepted work is lost when it restarts (appendonly yes)")
        elif self.fsync == "no":
            found.append("Redis never calls fsync by itself (appendfsync everysec, or always)")
        if self.maxmemory == 0:
            found.append(
                "Redis has no memory limit: the system may kill it (maxmemory, with maxmemory-policy noeviction)"
            )
        return tuple(found)


async def look_at(link: Link, place: str) -> Server:
    """Raises `BackendUnusable` for a server that cannot keep what it accepts."""
    told = _info(await link.ask("INFO"))
    version = str(told.get("redis_version", "0"))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < OLDEST:
        raise BackendUnusable(f"Redis {version} is too old", hint="version 7.0 or newer is needed", place=place)
    if told.get("cluster_enabled") == "1":
        raise BackendUnusable("Redis Cluster is not supported", hint="use a single primary, with replicas", place=place)
    if told.get("role") not in ("master", None):
        raise BackendUnusable("this Redis is a replica", hint="point the configuration to the primary", place=place)
    policy = told.get("maxmemory_policy", "")
    if policy != "noeviction":
        raise BackendUnusable(
            f"this Redis throws away keys when its memory is full (maxmemory-policy {policy or 'unknown'})",
            hint="CONFIG SET maxmemory-policy noeviction, and the same in its configuration file",
            place=place,
        )
    aof = told.get("aof_enabled") == "1"
    save = await _setting(link, "save")
    return Server(
        version=version,
        run_id=told.get("run_id", ""),
        aof=aof,
        fsync=await _setting(link, "appendfsync") if aof else "",
        snapshots=bool(save),
        policy=policy,
        maxmemory=int(told.get("maxmemory", 0)),
        replicas=int(told.get("connected_slaves", 0)),
    )


async def check_schema(link: Link, prefix: str, place: str) -> None:
    """Mark an empty prefix as ours; refuse, untouched, what a newer program wrote."""
    key = f"{prefix}:meta"
    kind = _text(await link.ask("TYPE", key))
    if kind not in ("none", "hash"):
        raise BackendUnusable(f"{key} is a {kind}, not ours", hint="choose another prefix", place=place)
    found = await link.ask("HGET", key, "schema")
    if found is None:
        await link.ask("HSETNX", key, "schema", SCHEMA)
    elif int(found) > SCHEMA:
        raise BackendUnusable(
            f"the keys under {prefix}: were written by a newer version (schema {int(found)}, known {SCHEMA})",
            hint="use that version, or another prefix; nothing was touched",
            place=place,
        )


async def _setting(link: Link, name: str) -> str:
    try:
        found = await link.ask("CONFIG", "GET", name)
    except ResponseError:
        return ""  # not permitted: managed servers forbid it
    if isinstance(found, dict):
        return _text(next(iter(found.values()), b""))
    return _text(found[1]) if len(found) > 1 else ""


def _info(answer: Any) -> dict[str, str]:
    lines = _text(answer).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
