"""Plans: the schema of the file, and reading one into a `Plan`."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from lite.config.fields import Duration, Labels, Size, Strict, Texts, none_is_empty
from lite.config.validation import validate
from lite.config.yamlmarks import Document, Path, read_document
from lite.errors import NotSupported, PlanInvalid
from lite.model.order import Order, Plan
from lite.model.task import Affinity, OnFailure, Strategy
from lite.rules.checks import is_slug
from providers.base import HttpCall, Mode

_NUMBERS = frozenset({"priority", "timeout", "idle_timeout", "delay", "retries"})
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


def _argv(value: Any) -> Any:
    if isinstance(value, str):
        return ["sh", "-c", value] if value.strip() else []
    return value


def _call(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


class HeaderModel(Strict):
    secret: str = Field(min_length=1, description="a name of `secrets:` in the configuration; goes to its hosts only")
    prefix: str = Field(default="", description='before it, as "Bearer "')


_HEADERS = {"type": "object", "additionalProperties": {"anyOf": [{"type": "string"}, HeaderModel.model_json_schema()]}}


def _header(value: Any) -> Any:
    if not isinstance(value, dict):
        return none_is_empty(value)
    secret, prefix = value.get("secret"), none_is_empty(value.get("prefix"))
    if not value.keys() <= {"secret", "prefix"} or not isinstance(secret, str) or not secret:
        raise ValueError("should be text or name a secret; {secret: NAME, prefix: 'Bearer '}")
    return HeaderModel(secret=secret, prefix=str(prefix))


class HttpModel(Strict):
    url: str
    method: Literal["GET", "POST"] | None = Field(default=None, description="GET, or POST when there is a body")
    headers: Annotated[dict[str, Annotated[HeaderModel | str, BeforeValidator(_header)]], WithJsonSchema(_HEADERS)] = (
        Field(default_factory=dict)
    )
    body: str = ""
    max_bytes: Size = Field(default=1 << 20, description="of the answer; more is a failure")
    allow_private: bool = Field(default=False, description="may the address be a private one")

    def to_call(self) -> HttpCall:
        method = self.method or ("POST" if self.body else "GET")
        headers = {name: one if isinstance(one, str) else one.prefix for name, one in self.headers.items()}
        secrets = {name: one.secret for name, one in self.headers.items() if isinstance(one, HeaderModel)}
        plain = {name: value for name, value in headers.items() if value or name not in secrets}
        return HttpCall(self.url, method, plain, self.body, self.max_bytes, self.allow_private, secrets)


_URL_OR_CALL = {"anyOf": [{"type": "string", "format": "uri"}, HttpModel.model_json_schema()]}
_COMMAND = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    "description": "a string runs under sh -c, a list is the program and its arguments",
}


class TaskModel(Strict):
    agent: str = Field(default="", description="the agent by name")
    type: str = Field(default="", description="a kind of work: the first agent with that role does it")
    trigger: str = Field(default="", description="text matched against routing.triggers")
    prompt: str | None = Field(default=None, description="for an agent; {{ needs.NAME.output }} is filled in")
    command: Annotated[tuple[str, ...], BeforeValidator(_argv), WithJsonSchema(_COMMAND)] | None = None
    http: Annotated[HttpModel, BeforeValidator(_call), WithJsonSchema(_URL_OR_CALL)] | None = None
    needs: Texts = Field(default=(), description="tasks of this plan that must have succeeded")
    lane: str = Field(default="", description="tasks of one lane run one after the other, in the order of the file")
    touches: Texts = Field(default=(), description="paths; tasks that touch the same never run at the same time")
    priority: int = Field(default=0, description="-100 to 100, higher first")
    timeout: Duration | None = Field(default=None, description="per attempt, from launch")
    idle_timeout: Duration | None = Field(default=None, description="without output and event, per attempt")
    delay: Duration = Field(default=0, description="not before this long after the submission")
    retries: int | None = Field(default=None, description="attempts after the first, for the task's own failures")
    on_failure: OnFailure = Field(default="skip", description="what a failure means for the tasks that need this one")
    mode: Mode | None = None
    env: Labels = Field(default_factory=dict)
    secrets: Labels = Field(default_factory=dict, description="variable: a name of `secrets:` in the configuration")
    workspace: Literal["shared"] = "shared"
    cwd: str = Field(default="", description="from the project's root")
    team: str = ""
    selector: Labels = Field(default_factory=dict, description="labels the worker must have")
    affinity: Affinity = "none"
    strategy: Strategy = ""
    complexity: str = ""
    key: str = Field(default="", description="the same key never makes a second task")


class PlanModel(Strict):
    name: str = ""
    key: str = Field(default="", description="the same key never makes a second run")
    tasks: dict[str, TaskModel]


def plan_schema() -> dict[str, Any]:
    """JSON Schema of a plan."""
    return PlanModel.model_json_schema()


def load_plan(text: str, source: str, cwd: str) -> Plan:
    """Read a plan; names, references and routing are checked by `rules.compile`. `source` names the text in messages,
    `cwd` is the project's root. Raises `PlanInvalid` and `NotSupported` with source:line:column."""
    document = read_document(text, source, PlanInvalid, _typed)
    _refuse_later(document)
    model = validate(PlanModel, document, PlanInvalid, "plan")
    orders = tuple(_order(name, task, document) for name, task in model.tasks.items())
    places = {key: document.place(key) for key in ("name", "key", "tasks")}
    return Plan(model.name or _name_of(source), orders, source, cwd, model.key, places)


def _typed(path: Path) -> bool:
    if len(path) == 3:
        return path[2] in _NUMBERS
    return len(path) == 4 and path[2] == "http" and path[3] in ("max_bytes", "allow_private")


def _refuse_later(document: Document) -> None:
    plan = document.value
    if not isinstance(plan, dict):
        return
    for key in ("budget", "schedules", "schedule"):
        if key in plan:
            raise NotSupported(f"{key} is not supported yet", place=document.place(key))
    tasks = plan.get("tasks")
    for name, task in tasks.items() if isinstance(tasks, dict) else ():
        if not isinstance(task, dict):
            continue
        place = ("tasks", name)
        if "budget" in task:
            raise NotSupported("budget is not supported yet", place=document.place(*place, "budget"))
        workspace = task.get("workspace")
        if workspace in ("worktree", "clone"):
            message = f"workspace {workspace} is not supported yet"
            raise NotSupported(message, hint="workspace: shared", place=document.place(*place, "workspace"))


def _order(name: str, task: TaskModel, document: Document) -> Order:
    return Order(
        name=name,
        agent=task.agent,
        type=task.type,
        trigger=task.trigger,
        prompt=task.prompt or "",
        command=task.command or (),
        http=task.http.to_call() if task.http else None,
        needs=task.needs,
        lane=task.lane,
        touches=task.touches,
        priority=task.priority,
        timeout_ms=task.timeout,
        idle_timeout_ms=task.idle_timeout,
        retries=task.retries,
        on_failure=task.on_failure,
        mode=task.mode,
        env=task.env,
        secrets=task.secrets,
        cwd=task.cwd,
        team=task.team,
        selector=task.selector,
        affinity=task.affinity,
        strategy=task.strategy,
        complexity=task.complexity,
        key=task.key,
        delay_ms=task.delay,
        places=_places(name, document),
    )


def _places(name: str, document: Document) -> dict[str, str]:
    """`""` and `name` are where the task begins; fields, items and variables as `needs`, `needs.0`, `env.X`."""
    here = document.place("tasks", name)
    places = {"": here, "name": here}
    task = document.value["tasks"][name]
    for field, value in task.items():
        places[field] = document.place("tasks", name, field)
        inner: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        for key in inner:
            places[f"{field}.{key}"] = document.place("tasks", name, field, key)
    return places


def _name_of(source: str) -> str:
    """A plan without a name is called after its file."""
    slug = _NOT_SLUG.sub("-", PurePath(source).stem.lower()).strip("-")[:63]
    return slug if is_slug(slug) else "plan"
