"""The ports, at the height of the domain: what the engine needs of a store, of a place to run, of a terminal, of time.

Implementations live in `lite.backends` and `lite.executors`; each runs the contract suite of its port in
`tests/contracts/`. No implementation reads a clock: wall time comes in as integer milliseconds. A verb either does
all it says and appends its events in the same atomic step, or raises and changes nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol

from lite.model.attempt import Attempt
from lite.model.event import Event
from lite.model.letter import Letter
from lite.model.run import Run, RunQuery, Submission, Submitted
from lite.model.session import ExecutorCapabilities, Inspection, SessionRequest, Status
from lite.model.staging import Volume
from lite.model.task import (
    Assignment,
    Claim,
    ClaimRequest,
    Lease,
    Outcome,
    Progress,
    Renewal,
    Task,
    TaskQuery,
)
from lite.model.worker import Worker
from lite.terminal.packets import Packet


class TaskQueue(Protocol):
    """The durable tasks. Verbs that take a `Lease` raise `LeaseLost` unless its token is the task's current one."""

    async def submit(self, submission: Submission, *, now: int) -> Submitted:
        """Store the run and its tasks, all or nothing; by `key` the same submission gives the same rows.

        A task whose key exists already stands for the new one, also as a need of its companions. A need that has ended
        already counts at once. Raises `NotFound` for a need that is neither in the submission nor stored.
        """
        ...

    async def assign(self, task: str, assignment: Assignment, *, now: int) -> Task:
        """Place, route or park a queued task. Raises `IllegalState` when it is not queued, or `assignment.before` or
        `assignment.seen` is out of date, `NotFound`."""
        ...

    async def claim(self, request: ClaimRequest, *, now: int) -> Sequence[Claim]:
        """Take up to `request.limit` eligible tasks: all needs met, first unfinished of its lane with none of the lane
        running, no overlap of `touches` with a running task (nor one taken by this call), `run_at` reached, agent
        served and below its cap, placed here if it has to be placed; by priority (higher first), then submission. A
        cordoned or unknown worker gets nothing."""
        ...

    async def unplaced(self, *, now: int, limit: int, skip: int = 0) -> Sequence[Task]:
        """Queued tasks that wait for nothing but the choice of their worker (`spec.placed`, not assigned, all needs
        met, first unfinished of its lane with none of the lane running, `run_at` reached, not parked; caps and
        `touches` aside), in the order in which a claim takes them, without the first `skip`."""
        ...

    async def offered(self, worker: str, agents: Collection[str]) -> None:
        """Return as soon as something may have become claimable by `worker`, which serves `agents`, since its last
        claim began; perhaps without a reason. A worker that asks must claim afterwards: where offers are handed to
        one of many, its claim is what passes on those it does not take. One wait a worker at a time."""
        ...

    async def team_index(self) -> Mapping[tuple[str, str], int]:
        """(worker, team) -> tasks of that team which run there or are queued and assigned to it; those above zero."""
        ...

    async def next_due(self, now: int) -> int | None:
        """The earliest `run_at` (ms) later than `now` of a queued task: when to claim again though nothing happens."""
        ...

    async def renew(self, leases: Sequence[Lease], *, now: int, ttl_ms: int) -> Sequence[Renewal]:
        """Extend leases to `now + ttl_ms`; never raises for a lost one but marks it."""
        ...

    async def record(self, lease: Lease, progress: Progress, *, now: int) -> Task:
        """Write down what the running attempt has come to."""
        ...

    async def finish(self, lease: Lease, outcome: Outcome, *, now: int, delay_ms: int = 0) -> Task:
        """Record the attempt's one outcome and all that follows from it (`rules.retry.settle`): retry or end, unblock,
        skip or fail dependents, finish the run. Raises `LeaseLost`, also when it was finished already; raises
        `OutputTooLarge`, changing nothing."""
        ...

    async def retry(self, task: str, *, now: int) -> Task:
        """Reopen a failed, cancelled or skipped task by hand; what it made skip or fail returns to queued too, unless
        another need still forbids it. Counters start anew. Raises `IllegalState` for a task that a need forbids or
        that is in another state."""
        ...

    async def cancel(self, task: str, *, now: int, reason: str = "user") -> Task:
        """A queued task ends at once; a running one is asked to (see `Renewal.cancel`); an ended one stays as it is."""
        ...

    async def rescue(self, lease: Lease, worker: str, *, now: int, ttl_ms: int) -> Claim:
        """Take over exactly this lease (the caller judged its holder dead): same attempt, new token. Raises
        `LeaseLost` when it changed hands or ended meanwhile."""
        ...

    async def get(self, task: str) -> Task:
        """Raises `NotFound`."""
        ...

    async def tasks(self, query: TaskQuery) -> Sequence[Task]: ...

    async def runs(self, query: RunQuery) -> Sequence[Run]: ...

    async def ledger(self, after: int = 0, *, limit: int = 1000) -> Sequence[Attempt]:
        """The lines beyond `after`, oldest first. `finish` writes one when the outcome carries a usage, be it unknown,
        or one was recorded while the attempt ran; none is ever removed."""
        ...


class EventLog(Protocol):
    """The bus: `wait` and other wake-ups are hints, `events(after)` is the truth."""

    async def append(self, event: Event) -> Event:
        """Append an event that belongs to no task's transition; returns it with its cursor."""
        ...

    async def events(self, after: int = 0, *, limit: int = 1000, run: str = "", task: str = "") -> Sequence[Event]:
        """Events with a cursor greater than `after`, oldest first."""
        ...

    async def wait(self, after: int, *, timeout_ms: int | None = None) -> int:
        """Return the newest cursor as soon as it is greater than `after`, or after the time-out as it then is."""
        ...


class WorkerRegistry(Protocol):
    """Who can run work."""

    async def register(self, worker: Worker, *, now: int) -> Worker:
        """Store (or refresh) the worker; sets both times. A new one appends `worker.joined`."""
        ...

    async def heartbeat(self, worker: str, *, now: int, load: float = 0.0) -> Worker:
        """Raises `NotFound` when it was deregistered."""
        ...

    async def deregister(self, worker: str, *, now: int, reason: str = "") -> None:
        """Forget the worker and clear assignments of queued tasks to it; its leases stay until rescued. Appends
        `worker.left`; unknown: no-op."""
        ...

    async def workers(self) -> Sequence[Worker]: ...

    async def cordon(self, worker: str, on: bool, *, now: int) -> Worker:
        """Let it claim nothing more (or again). Appends `worker.cordoned`."""
        ...


class Backend(TaskQueue, EventLog, WorkerRegistry, Protocol):
    """Where truth is kept."""

    async def open(self) -> None:
        """Raises `BackendUnusable` when the store is corrupt or newer than this program; then it is untouched."""
        ...

    async def close(self) -> None: ...

    def describe(self) -> str:
        """One line for a person: what is durable, where, how."""
        ...

    def warnings(self) -> Sequence[str]:
        """What whoever runs this should know and may want to change, one line each."""
        ...


class Bridge(Protocol):
    """Work and signals that others send through a backend's own topology instead of our API."""

    async def receive(self, consumer: str, *, limit: int) -> Sequence[Letter]:
        """Wait for letters, at least one; each goes to one consumer. First those it had before and did not settle
        (whoever asks has nothing in hand), then those which a dead one took and never settled. One wait at a time.
        Raises `BackendError`."""
        ...

    async def settle(self, letter: Letter) -> None:
        """What it asked for is durably stored."""
        ...

    async def refuse(self, letter: Letter, reason: str, *, now: int) -> None:
        """Set it aside, with the reason, where a person can find it; it is settled by that. Settled already, or with
        another consumer by now: no-op."""
        ...

    async def reload_asked(self) -> None:
        """Return when somebody else has asked the fleet to read its configuration again since the last return, or may
        have while we could not hear it. Raises `BackendError`."""
        ...

    async def ask_reload(self) -> None: ...

    async def close(self) -> None:
        """What is in hand stays unsettled."""
        ...


class Peers(Protocol):
    """Other workers' control APIs, for what only the machine of a session has. Everything raises `PeerUnavailable`
    when that worker cannot be reached (or never could)."""

    async def inspect(self, worker: Worker, session: str) -> Inspection: ...

    async def send(self, worker: Worker, session: str, data: bytes) -> tuple[bool, str]:
        """Type `data` into the session: was it delivered, else why not."""
        ...

    async def answer(self, worker: Worker, session: str, said: Mapping[str, str]) -> tuple[str, str]:
        """Answer what the session asks: `id` of the question, `decision`, `text`, `hash`. "delivered", "queued" or
        "refused", and why."""
        ...

    async def attach(self, worker: Worker, session: str, *, control: bool, offset: int | None = None) -> TerminalStream:
        """As `Executor.attach`. A connection that breaks while the session goes on is taken up again where it broke."""
        ...

    def recording(self, worker: Worker, session: str, offset: int, *, follow: bool) -> AsyncGenerator[Packet, None]:
        """What the session's program wrote, from `offset` on; with `follow` until the session has ended, then EXIT."""
        ...

    def transcript(self, worker: Worker, session: str, offset: int, *, follow: bool) -> AsyncGenerator[Packet, None]:
        """The lines of a structured session's transcript from a byte offset on, in the same way."""
        ...

    def cast(self, worker: Worker, session: str, version: int) -> AsyncGenerator[bytes, None]:
        """The recording as an asciicast file of that version."""
        ...


class TerminalStream(Protocol):
    """A client's view of one session: the same packets over a holder's socket and over the API's WebSocket."""

    async def read(self) -> Packet | None:
        """The next packet, None when the session or the connection has ended."""
        ...

    async def write(self, packet: Packet) -> None: ...

    async def aclose(self) -> None: ...


RecordHandle = Callable[[str], Awaitable[None]]


class Executor(Protocol):
    """Where an attempt runs. A handle is an opaque, versioned string which outlives this process."""

    name: str

    def capabilities(self) -> ExecutorCapabilities: ...

    async def open(self) -> None: ...

    async def close(self) -> None:
        """Let go of what this process holds; sessions that can outlive it go on."""
        ...

    async def start(self, request: SessionRequest, record: RecordHandle) -> str:
        """Prepare the session, `await record(handle)`, and only then let the program go. When `record` raises, nothing
        has run and nothing is left. Work that could never be recovered (a no-op) need not be recorded. Raises
        `ExecutorError` when the infrastructure cannot, `InvalidTask` for what it never could; a program that cannot be
        started (not found, not executable, no such cwd) is an outcome of `wait` instead."""
        ...

    async def recover(self, handle: str, token: int) -> None:
        """Re-attach to a session started earlier, perhaps by another process, fencing off holders of smaller tokens.
        Raises `HandleGone`; never starts anything. A session that has ended while nobody looked is recovered too:
        `wait` then returns its outcome."""
        ...

    async def wait(self, handle: str) -> Outcome:
        """The outcome, once the program and all it started have ended."""
        ...

    async def inspect(self, handle: str) -> Inspection: ...

    async def signal(self, handle: str, signum: int) -> None:
        """Send a signal to the program's foreground process group."""
        ...

    async def stop(self, handle: str, *, grace_ms: int) -> None:
        """End the whole process tree: interrupt, terminate, kill, within about `grace_ms`; `wait` tells the rest.
        Returns once asked; ended already: no-op."""
        ...

    async def destroy(self, handle: str) -> None:
        """Remove what is left of an ended session but its recording; idempotent."""
        ...

    async def attach(self, handle: str, *, control: bool, offset: int | None = None) -> TerminalStream:
        """Watch (or control) the session from logical `offset` on; None: from the last safe mark. Raises
        `SessionRefused` where the executor has no terminals, `HandleGone`."""
        ...

    async def keep(self, handle: str, ttl_ms: int) -> None:
        """From now on the session ends by itself, its whole tree, unless this is said again within `ttl_ms`: whoever
        holds its lease is gone by then, and another may run it. Never said: it goes on without anybody. Where
        sessions do not outlive this process: no-op. May be said from `record` on, before the program is let go. Raises
        `HandleGone`."""
        ...

    def watch_status(self, handle: str, callback: Callable[[Status], None]) -> None:
        """Call `callback` on the event loop whenever the session's program says what it is doing, and once with the
        last thing it said, if any. Ends with the session. Without terminals: no-op."""
        ...

    def address(self, handle: str) -> str:
        """The path of the Unix socket a client on this machine may attach to directly; "" where there is none."""
        ...


class Volumes(Protocol):
    """Staging volumes: one a run, for the tasks of one executor. Everything may raise `ExecutorError`. Freed once, a
    volume is nobody's: a run that is reopened gets a new one."""

    def name(self, run: str) -> str:
        """How a person finds it, and which one it is in the event log."""
        ...

    def place(self, run: str) -> str:
        """The directory its tasks find it in."""
        ...

    async def provide(self, run: str, *, now: int) -> bool:
        """It is there from now on; was it made by this call?"""
        ...

    async def volumes(self) -> Sequence[Volume]:
        """Those that are there, freed ones that are not gone yet included."""
        ...

    async def free(self, run: str, why: str) -> bool:
        """From now on nobody gets it, whatever happens to us. Unknown or freed already: no-op. Was it this call?"""
        ...

    async def remove(self, run: str) -> None:
        """Take away what was freed; idempotent."""
        ...


class Clock(Protocol):
    """Time as an input."""

    def now(self) -> int:
        """Wall time, ms since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds, never going back."""
        ...

    async def sleep(self, seconds: float) -> None: ...
