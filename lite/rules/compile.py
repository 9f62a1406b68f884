"""From what was asked for to what is stored: every check, routing, defaults, references resolved to ids."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from lite.errors import InvalidTask, PlanInvalid
from lite.model.order import Order, Plan
from lite.model.run import RunSpec, Submission
from lite.model.settings import Agent, Settings
from lite.model.task import TaskSpec
from lite.rules.checks import check_fields, check_owned, check_secrets, check_touches, is_slug
from lite.rules.dag import find_cycle
from lite.rules.lanes import predecessors
from lite.rules.problems import Problems
from lite.rules.prompt import references
from lite.rules.route import Route, route
from lite.rules.spelling import did_you_mean, listing, quoted
from providers.base import Capabilities, Mode

Providers = Mapping[str, Capabilities]

_NOTHING = Agent(name="", provider="")
_NOT_SLUG = re.compile(r"[^a-z0-9]+")
_A = {"prompt": "a prompt", "command": "a command", "http": "an http call"}
_STEPS = 20  # of a cycle, shown
_NAME_LENGTH = 32  # of a name made up for a task that was given none


def compile_plan(
    plan: Plan, settings: Settings, providers: Providers, *, run_id: str, new_id: Callable[[], str], now: int
) -> Submission:
    """All of the plan's tasks, each need the id of its companion. Raises `PlanInvalid` telling everything that is
    wrong, the first thing with its place; `NotSupported`."""
    problems = Problems()
    if not is_slug(plan.name):
        place = plan.places.get("name") or plan.source or "name"
        problems.add(place, f"{quoted(plan.name)} cannot be a run's name", "lowercase letters, digits, dots and dashes")
    if not plan.orders:
        problems.add(plan.places.get("tasks") or plan.source or "tasks", "a plan needs at least one task")
    _check_unique(plan.orders, problems)
    for order in plan.orders:
        if not order.name:
            problems.add(order.place("name"), "a task in a plan needs a name")
    ids = {order.name: new_id() for order in plan.orders}
    tasks = []
    for order in plan.orders:
        needs = _companions(order, ids, problems)
        if "{{" in order.prompt:
            _check_references(order, order.needs, problems)
        tasks.append(
            _compile(
                order,
                settings,
                providers,
                problems,
                task_id=ids[order.name],
                needs=needs,
                now=now,
                root=plan.cwd,
                run=run_id,
            )
        )
    _check_cycle(plan.orders, problems)
    problems.refuse(PlanInvalid)
    return Submission(tuple(tasks), RunSpec(run_id, plan.name, plan.key, plan.source))


def compile_order(
    order: Order, settings: Settings, providers: Providers, *, task_id: str, now: int, needs: tuple[str, ...]
) -> TaskSpec:
    """One ad-hoc task; `needs` are ids already. Raises `InvalidTask` with the field's name, `NotSupported`."""
    problems = Problems()
    spec = _compile(
        order,
        settings,
        providers,
        problems,
        task_id=task_id,
        needs=tuple(dict.fromkeys(needs)),
        now=now,
        root=order.cwd,
    )
    if "{{" in order.prompt:
        _check_references(order, None if needs else (), problems)
    problems.refuse(InvalidTask)
    return spec


def _compile(
    order: Order,
    settings: Settings,
    providers: Providers,
    problems: Problems,
    *,
    task_id: str,
    needs: tuple[str, ...],
    now: int,
    root: str,
    run: str = "",
) -> TaskSpec:
    check_fields(order, problems)
    if order.secrets or order.http is not None:
        check_secrets(order, settings.secrets, problems)
    cwd = posixpath.normpath(posixpath.join(root, order.cwd)) if order.cwd else root
    if order.cwd and not cwd.startswith("/"):
        problems.add(order.place("cwd"), f"{quoted(order.cwd)} is not an absolute path")
    touches = check_touches(order, cwd, root, problems)
    given = _check_work(order, problems)
    chosen, agent = _route(order, settings, problems, given)
    mode = _check_fit(order, agent, given, providers, problems)
    return TaskSpec(
        id=task_id,
        name=order.name or _made_up_name(order),
        agent=chosen.agent,
        provider=agent.provider,
        run=run,
        mode=mode,
        prompt=order.prompt,
        command=order.command,
        http=order.http,
        needs=needs,
        lane=order.lane,
        touches=touches,
        priority=order.priority,
        timeout_ms=agent.timeout_ms if order.timeout_ms is None else order.timeout_ms,
        idle_timeout_ms=agent.idle_timeout_ms if order.idle_timeout_ms is None else order.idle_timeout_ms,
        retries=agent.retries if order.retries is None else order.retries,
        on_failure=order.on_failure,
        env=dict(order.env),
        secrets=dict(order.secrets),
        cwd=cwd,
        rule=chosen.rule,
        type=order.type,
        trigger=order.trigger,
        team=order.team,
        selector=dict(order.selector),
        affinity=order.affinity,
        strategy=order.strategy,
        complexity=order.complexity,
        key=order.key,
        run_at=now + order.delay_ms if order.delay_ms else None,
    )


def _check_work(order: Order, problems: Problems) -> list[str]:
    """The kinds of work given; there should be exactly one."""
    given = [kind for kind, there in _work(order).items() if there]
    if len(given) > 1:
        problems.add(order.place(given[1]), f"a task has one of prompt, command and http, not {' and '.join(given)}")
    elif not given:
        said = next((kind for kind in ("prompt", "command") if kind in order.places), "prompt")
        problems.add(order.place(said), f"the {said} is empty", "a task needs a prompt, a command or an http call")
    return given


def _route(order: Order, settings: Settings, problems: Problems, given: Sequence[str]) -> tuple[Route, Agent]:
    try:
        chosen = route(order, settings)
    except InvalidTask as error:
        if given or order.agent or order.type or order.trigger:  # else the empty work says it all
            problems.take(error)
        return Route("", ""), _NOTHING
    return chosen, settings.agents[chosen.agent]


def _check_fit(order: Order, agent: Agent, given: Sequence[str], providers: Providers, problems: Problems) -> Mode:
    """Does the agent's provider take this kind of work, in this mode? Returns the mode."""
    if not agent.name:
        return order.mode or "headless"
    able = providers.get(agent.provider)
    if able is None:
        close = did_you_mean(agent.provider, providers)
        message = f"agent {agent.name} wants the provider {quoted(agent.provider)}, which is not installed{close}"
        problems.add(order.place("agent"), message, f"providers: {listing(providers)}")
        return order.mode or "headless"
    if order.env or order.secrets:
        check_owned(order, agent, able, problems)
    wanted = "prompt" if able.prompt else "http" if able.http else "command"
    if len(given) == 1 and given[0] != wanted:
        message = f"agent {agent.name} ({agent.provider}) takes {_A[wanted]}, not {_A[given[0]]}"
        problems.add(order.place(given[0]), message)
    mode = order.mode or agent.mode or able.default_mode
    if mode not in able.modes:
        message = f"agent {agent.name} ({agent.provider}) cannot run in mode {quoted(mode)}"
        problems.add(order.place("mode"), message, f"it can: {', '.join(able.modes)}")
    if able.permissions == "ask" and mode == "headless" and not order.watched and "permissions" not in agent.options:
        field = f"agents.{agent.name}.options.permissions"
        message = f"agent {agent.name} would wait for somebody to allow what it does, and nobody watches"
        problems.add(order.place("agent"), message, f"{field}: deny, allow, wait or ask; or submit it with --watch")
    return mode


def _work(order: Order) -> dict[str, bool]:
    argv = order.command
    blank = not argv or not argv[0].strip() or (len(argv) == 3 and argv[:2] == ("sh", "-c") and not argv[2].strip())
    prompt = bool(order.prompt) and not order.prompt.isspace()
    return {"prompt": prompt, "command": not blank, "http": order.http is not None}


def _check_unique(orders: Sequence[Order], problems: Problems) -> None:
    names: dict[str, Order] = {}
    keys: dict[str, Order] = {}
    for order in orders:
        first = names.setdefault(order.name, order)
        if first is not order:
            problems.add(
                order.place("name"),
                f"there is a task {quoted(order.name)} already",
                f"the first is at {first.place('name')}",
            )
        if order.key:
            other = keys.setdefault(order.key, order)
            if other is not order:
                problems.add(order.place("key"), f"task {other.name} has the key {quoted(order.key)} already")


def _companions(order: Order, ids: Mapping[str, str], problems: Problems) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for at, need in enumerate(order.needs):
        place = order.places.get(f"needs.{at}") or order.place("needs")
        if need == order.name:
            problems.add(place, f"task {order.name} needs itself")
        elif need in ids:
            found[ids[need]] = None
        else:
            close = "" if problems.crowded else did_you_mean(need, (name for name in ids if name != order.name))
            problems.add(place, f"task {order.name} needs {quoted(need)}, which is not in this plan{close}")
    return tuple(found)


def _check_references(order: Order, needs: Sequence[str] | None, problems: Problems) -> None:
    """`needs` are the names to be had; None: unknown here."""
    place = order.place("prompt")
    try:
        names = references(order.prompt)
    except InvalidTask as error:
        problems.take(error, place)
        return
    for name in names:
        if needs is not None and name not in needs:
            problems.add(place, f"the prompt wants the output of {name}, which is not one of its needs")


def _check_cycle(orders: Sequence[Order], problems: Problems) -> None:
    by_name = {order.name: order for order in orders}
    before = predecessors((order.name, order.lane) for order in orders)
    edges: dict[str, list[str]] = {}
    for order in orders:
        waits = [need for need in order.needs if need in by_name and need != order.name]
        if order.name in before and before[order.name] != order.name:
            waits.append(before[order.name])
        edges[order.name] = waits
    path = find_cycle(edges)
    if not path:
        return
    steps = [path[0]]
    for task, awaited in pairwise(path):
        by = "needs" if awaited in by_name[task].needs else f"lane {by_name[task].lane}"
        steps.append(f"{awaited} ({by})")
    if len(steps) > _STEPS:
        steps[_STEPS // 2 : -_STEPS // 2] = [f"({len(steps) - _STEPS} more)"]
    shown = " -> ".join(steps)
    needing = next((task for task, awaited in pairwise(path) if awaited in by_name[task].needs), "")
    order = by_name[needing or path[0]]
    hint = "a -> b (needs) reads: a needs b"
    if "(lane " in shown:
        hint += "; in a lane each task waits for the one before it in the file"
    problems.add(order.place("needs"), f"these tasks wait for one another: {shown}", hint)


def _made_up_name(order: Order) -> str:
    text = order.prompt
    if order.command:
        argv = order.command
        text = (
            argv[2]
            if len(argv) == 3 and argv[:2] == ("sh", "-c")
            else " ".join((posixpath.basename(argv[0]), *argv[1:]))
        )
    elif order.http is not None:
        text = f"{order.http.method} {order.http.url.partition('://')[2]}"
    slug = _NOT_SLUG.sub("-", text[:200].lower()).strip("-")
    if len(slug) > _NAME_LENGTH:
        slug = slug[:_NAME_LENGTH].rpartition("-")[0] or slug[:_NAME_LENGTH]
    return slug.strip("-") or "task"
