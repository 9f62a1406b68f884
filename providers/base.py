"""The vocabulary between Quarterdeck and one kind of agent program.

A provider is sans-I/O: a `Request` goes in, a `Launch` comes out; bytes go in, `AgentEvent`s come out, and at the end a
`Verdict`. It opens no file, reads no clock, starts no process and knows nothing of the engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol, runtime_checkable

Mode = Literal["interactive", "headless"]
Stream = Literal["out", "err"]


class EventKind(StrEnum):
    """The neutral events of an agent's work; `unknown` keeps what a newer program may say."""

    INIT = "init"
    MESSAGE = "message"
    DELTA = "delta"
    THINKING = "thinking"
    TOOL_USE = "tool_use"
    TOOL_RESULT = "tool_result"
    NEEDS_USER = "needs_user"
    RETRY = "retry"
    USAGE = "usage"
    RESULT = "result"
    UNKNOWN = "unknown"


class Failure(StrEnum):
    """Why an attempt of an agent failed: the stable words of `Verdict.reason`."""

    RATE_LIMIT = "rate-limit"  # too many requests just now
    OVERLOADED = "overloaded"
    USAGE_LIMIT = "usage-limit"  # of the account, until a time
    CONNECTION = "connection"  # refused, unknown host, broken
    CUT_STREAM = "cut-stream"  # the answer ended in the middle
    NOT_LOGGED_IN = "not-logged-in"
    BILLING = "billing"
    BAD_MODEL = "bad-model"
    BAD_FLAG = "bad-flag"
    API_ERROR = "api-error"
    TOOL_REFUSED = "tool-refused"
    UNTRUSTED = "untrusted"  # it wants to be told first that it may work in this directory
    UNKNOWN_SESSION = "unknown-session"
    SESSION_IN_USE = "session-in-use"
    BUDGET = "budget"  # its own limit of money
    MAX_TURNS = "max-turns"  # its own limit of steps
    CANCELLED = "cancelled"
    NO_RESULT = "no-result"  # exit 0 without having said how it went
    AGENT = "agent"  # in its own words only
    EXIT = "exit"
    SIGNAL = "signal"


class Source(StrEnum):
    """How a number came to be known."""

    MEASURED = "measured"
    REPORTED = "reported"
    ESTIMATED = "estimated"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and money of one attempt; None where the program did not say. `tokens_in` is everything the model read,
    `tokens_cached` the part of it that came from a cache. `cost_source` None: known as the tokens are."""

    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None
    source: Source = Source.UNKNOWN
    tokens_cached: int | None = None
    model: str = ""
    cost_source: Source | None = None

    @property
    def cost_known(self) -> Source:
        """How the cost came to be known."""
        return Source.UNKNOWN if self.cost_usd is None else self.cost_source or self.source


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One HTTP request as a task. `body` is sent as it is; at most `max_bytes` of the answer are read. `secrets` are
    headers (name -> name of a configured secret), each after what `headers` has for it ("Bearer ")."""

    url: str
    method: Literal["GET", "POST"] = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    max_bytes: int = 1 << 20
    allow_private: bool = False
    secrets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of an agent program for one attempt."""

    task: str
    attempt: int
    mode: Mode
    prompt: str = ""
    argv: tuple[str, ...] = ()
    http: HttpCall | None = None
    cwd: str = ""
    model: str = ""
    resume: str = ""  # the program's own conversation id, to go on with
    options: Mapping[str, Any] = field(default_factory=dict)  # the agent's provider-specific settings
    python: tuple[str, ...] = ()  # how to start this very program again: argv prefix
    at: int = 0  # about when, in ms since the epoch: programs tell times of day without the day; 0: not known


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start the program of one attempt.

    `stdio` "terminal": fds 0-2 are the PTY. "pipes": stdin is the PTY (raw, no echo), stdout and stderr are pipes, so
    that structured output arrives unchanged. `stdin` "null" or "file" replaces fd 0 by /dev/null or by the file named
    `stdin_file` (one of `files`): for programs that read to the end of their input, which a PTY never has. `stdin_data`
    is written to the terminal once the program runs; stdin stays open after it.
    An `inline` launch has no process: the inline executor does it.
    """

    argv: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    stdio: Literal["terminal", "pipes"] = "terminal"
    stdin: Literal["terminal", "null", "file"] = "terminal"
    stdin_file: str = ""
    stdin_data: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)  # name in the session's directory -> content
    inline: HttpCall | Literal["noop"] | None = None


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """One thing an agent said, in neutral words. `data` holds plain JSON values; `raw` the line it came from."""

    kind: EventKind
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a provider makes of an ended program: the truth about how the attempt went.

    `until` (ms since the epoch) or `after_ms` (from the end of the program) is when it may go better, in the
    program's own words; `account`: not before that, nor before somebody acts, will any task of its account go better.
    """

    ok: bool
    reason: Failure | Literal[""] = ""
    message: str = ""  # the program's own words, not yet made safe for a terminal
    output: str | None = None  # the final message, for the tasks that need this one
    usage: Usage = Usage()
    session: str = ""  # the program's conversation id
    infrastructure: bool = False  # not the task's own failure: costs no retry
    until: int | None = None
    after_ms: int | None = None
    account: bool = False
    whole: bool = False  # `usage` counts the whole conversation, the attempts before this one included


@dataclass(frozen=True, slots=True)
class Limits:
    """Where an attempt is ended though it goes on: programs retry what cannot succeed. Times in ms; None: no limit."""

    wall_ms: int | None = None
    idle_ms: int | None = None  # without output
    steps: int | None = None  # tools used
    retries: int | None = None  # calls to the model the program says it repeats


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do; asked instead of its name."""

    modes: tuple[Mode, ...] = ("headless", "interactive")
    default_mode: Mode = "headless"
    resume: bool = False  # can go on with an earlier conversation
    events: bool = False  # structured output in headless mode
    prompt: bool = True  # takes a prompt (an agent) rather than a command or an HTTP call
    http: bool = False  # takes an HTTP call; with neither, a command
    executable: str = ""  # the program that must be on PATH; "" when nothing has to be
    version_args: tuple[str, ...] = ()  # how to ask it for its version
    login_args: tuple[str, ...] = ()  # how to ask whether it is logged in: exit code 0 when it is
    login_env: tuple[str, ...] = ()  # any of these in its environment stands for a login
    login_files: tuple[str, ...] = ()  # so does any of these, relative to the user's home
    env_owned: tuple[str, ...] = ()  # variables only the agent's own configuration may set; `*`: any characters
    answers: bool = False  # in headless mode it asks for permission and can be answered
    permissions: str = ""  # what it does then when its option `permissions` is left out: "ask" waits for a person
    limits: Limits = Limits()  # what holds when the agent is configured without


@runtime_checkable
class Parser(Protocol):
    """Reads what one attempt prints. One object per attempt; bytes may be cut anywhere."""

    def feed(self, stream: Stream, data: bytes) -> Sequence[AgentEvent]:
        """The events completed by these bytes."""
        ...

    def end(self, exit_code: int | None, signal: int | None) -> Verdict:
        """The verdict once the program has ended; flushes an unfinished last line."""
        ...


@runtime_checkable
class Provider(Protocol):
    """The adapter to one kind of agent program. Stateless and safe to share between threads."""

    name: str

    def capabilities(self) -> Capabilities: ...

    def validate(self, request: Request) -> None:
        """Raise `InvalidRequest` naming the field when the request cannot be launched."""
        ...

    def launch(self, request: Request) -> Launch: ...

    def parser(self, request: Request) -> Parser: ...

    def version(self, stdout: str) -> str:
        """The version in what `executable *version_args` printed; "" when there is none."""
        ...
