"""Names in the cluster: the same for the same thing whoever makes them, different for different things."""

from __future__ import annotations

import hashlib
import re

PREFIX = "quarterdeck.dev"
FLEET, RUN, TASK = f"{PREFIX}/fleet", f"{PREFIX}/run", f"{PREFIX}/task"  # labels; as annotations, ids in full
ATTEMPT, TEAM, AGENT = f"{PREFIX}/attempt", f"{PREFIX}/team", f"{PREFIX}/agent"  # labels
TOKEN, SESSION, KEPT = f"{PREFIX}/token", f"{PREFIX}/session", f"{PREFIX}/kept"  # annotations
MANAGED_BY = ("app.kubernetes.io/managed-by", "quarterdeck")

_LONGEST = 63
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
_HASHED = re.compile(r".*x[0-9a-f]{16}\Z", re.DOTALL)
_DASHED = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
_UNDASHED = re.compile(r"[a-z0-9]+\Z")


def pod_name(fleet: str, task: str, attempt: int) -> str:
    """`qd-FLEET-TASK-ATTEMPT`, a DNS label; what does not fit is cut and has a hash at its end."""
    return _name("", fleet, task, str(attempt))


def claim_name(fleet: str, run: str) -> str:
    """Of the volume a run's tasks share."""
    return _name("-staging", fleet, run)


def label_value(text: str) -> str:
    """The text, where it can be a label's value ("" can); else what is left of it, and a hash."""
    if not text or (_LABEL_VALUE.match(text) and not _HASHED.match(text)):
        return text
    rest = re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[: _LONGEST - 18].strip("-_.")
    return f"{rest}-{_hash(text)}" if rest else _hash(text)


def _name(ending: str, fleet: str, thing: str, *more: str) -> str:
    """Read from its end, a plain name has one meaning only: nothing behind the fleet has a dash."""
    plain = "-".join(("qd", fleet, thing, *more)) + ending
    if _DASHED.match(fleet) and _UNDASHED.match(thing) and len(plain) <= _LONGEST and not _HASHED.match(thing):
        return plain
    end = f"-{_hash(chr(0).join((fleet, thing, *more)))}{ending}"
    rest = re.sub(r"[^a-z0-9]+", "-", "-".join(("qd", fleet, thing, *more)).lower())
    return rest[: _LONGEST - len(end)].strip("-") + end


def _hash(text: str) -> str:
    return "x" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
