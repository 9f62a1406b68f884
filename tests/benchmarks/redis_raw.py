"""The server's own limits: our verbs, encoded beforehand, sent straight to it in calls of 100, many calls in flight."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import redis

from lite.backends.redis.library import library
from lite.backends.redis.rows import encode, lease_to_fields, spec_to_fields
from lite.model.ids import new_id
from lite.model.task import Lease, TaskSpec
from tests.support.redis_server import RedisServer

BATCH = 100  # verbs in a call, as the backend's
IN_FLIGHT = 10  # calls
NOW, TTL = 1_700_000_000_000, 15_000
Verbs = Sequence[tuple[str, dict[str, Any]]]


class Raw:
    """One client and one worker, on a server that is emptied first."""

    def __init__(self, server: RedisServer) -> None:
        server.ask("FLUSHALL")
        self._server = server
        self._client = redis.Redis.from_url(server.url)
        self._number = 0
        server.ask("FUNCTION", "LOAD", "REPLACE", library().text)
        self._run_id = server.info("server")["run_id"]
        worker = {"id": "w", "row": "{}", "load": 0, "data": "{}", "now": NOW}
        self.send([[("register", worker)]])

    def close(self) -> None:
        self._client.close()

    def send(self, batches: Sequence[Verbs]) -> tuple[list[Any], float]:
        """What each verb answers, and the seconds from the first byte sent to the last answer read."""
        encoded = [(batch[0][0] == "submit", encode(batch)) for batch in batches]
        answers: list[bytes] = []
        begun = time.perf_counter()
        for at in range(0, len(encoded), IN_FLIGHT):
            pipe = self._client.pipeline(transaction=False)
            for takes, payload in encoded[at : at + IN_FLIGHT]:
                self._number += 1
                function = library().takes if takes else library().works
                arguments = ("raw", "c", self._number, 0, payload, "1", self._run_id)
                pipe.fcall(function, 0, *arguments)
            answers += pipe.execute()
        elapsed = time.perf_counter() - begun
        told = [one for answer in answers for one in json.loads(answer)["answers"]]
        assert all(kind == 0 for kind, *_ in told), [one for one in told if one[0]][:1]
        return [rest[0] if rest else None for _, *rest in told], elapsed

    def submit(self, count: int) -> float:
        specs = [TaskSpec(new_id(), "noop", "noop", "noop", prompt="nothing", rule="agent") for _ in range(count)]
        verbs = [("submit", {"now": NOW, "tasks": [spec_to_fields(spec)]}) for spec in specs]
        return self.send(_batches(verbs))[1]

    def claim(self, calls: int, each: int) -> tuple[list[Lease], float]:
        asked = {"worker": "w", "limit": each, "agents": {"noop": -1}, "ttl": TTL, "now": NOW, "offers": []}
        answers, elapsed = self.send([[("claim", asked)] for _ in range(calls)])
        rows = [row for answer in answers for row in answer["claims"]]
        assert len(rows) == calls * each, len(rows)
        return [Lease(row[0], int(row[6]), int(row[12]), "w", NOW + TTL) for row in rows], elapsed

    def finish(self, leases: Sequence[Lease]) -> float:
        outcome = {"kind": "succeeded"}
        asked = {"now": NOW, "delay": 0, "most_faults": 10, "outcome": outcome}
        return self.send(_batches([("finish", {"lease": lease_to_fields(lease), **asked}) for lease in leases]))[1]

    def server_us(self) -> float:
        """What all calls have cost the server so far."""
        stats = self._server.info("commandstats")["cmdstat_fcall"]
        return float(dict(part.split("=") for part in stats.split(","))["usec"])


def raw_rate(server: RedisServer, count: int) -> float:
    """Tasks/s through submit, claim and finish."""
    raw = Raw(server)
    elapsed = raw.submit(count)
    leases, more = raw.claim(count // BATCH, BATCH)
    elapsed += more + raw.finish(leases)
    raw.close()
    return count / elapsed


def claim_us(server: RedisServer, ready: Sequence[int]) -> list[float]:
    """Server time per claimed task, in microseconds, with so many tasks ready (rising): the median of some calls."""
    raw = Raw(server)
    there, figures = 0, []
    for wanted in ready:
        raw.submit(wanted - there)
        rounds = []
        for _ in range(9):
            before = raw.server_us()
            raw.claim(calls=5, each=10)
            rounds.append((raw.server_us() - before) / 50)
        there = wanted - 9 * 50
        figures.append(sorted(rounds)[len(rounds) // 2])
    raw.close()
    return figures


def _batches(verbs: Verbs) -> list[Verbs]:
    return [verbs[at : at + BATCH] for at in range(0, len(verbs), BATCH)]
