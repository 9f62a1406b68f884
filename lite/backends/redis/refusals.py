"""What the Lua refuses, in the words of the reference."""

from __future__ import annotations

from lite.backends.redis.calls import Refusal
from lite.errors import IllegalState, InvalidTask, LeaseLost, NotFound, OutputTooLarge, QuarterdeckError
from lite.model.task import MAX_OUTPUT, State
from lite.states import Action, apply


def raised(refusal: Refusal) -> QuarterdeckError:
    """The error to raise."""
    match refusal.code, refusal.arguments:
        case "no-task", [task]:
            return NotFound(f"no task {task}")
        case "no-worker", [worker]:
            return NotFound(f"no worker {worker}")
        case "no-need", [name, need]:
            return NotFound(f"task {name} needs {need}, which does not exist", place="needs")
        case "foreign", [task, theirs, run]:
            return InvalidTask(f"task {task} belongs to run {theirs!r}, not to {run!r}", place="run")
        case "illegal", [state, action]:
            return _illegal(state, action)
        case "placed", [task, worker]:
            where = f"assigned to {worker}" if worker else "not assigned"
            return IllegalState(f"task {task} is {where} by now", hint="place it again")
        case "moved", [team]:
            return IllegalState(f"the tasks of team {team} have moved meanwhile", hint="place it again")
        case "lease-lost", [task, token]:
            return LeaseLost(f"lease {token} of task {task} is lost", hint="stop the attempt; write nothing")
        case "too-large", [task]:
            return OutputTooLarge(f"the output of task {task} is over {MAX_OUTPUT} bytes", hint="write a path instead")
        case "need-forbids", [task, need, state, name]:
            return IllegalState(
                f"task {task} cannot be retried: its need {need} {state}",
                hint=f"retry {need} ({name}) instead; what waits for it returns by itself",
            )
    raise AssertionError(f"an unknown refusal: {refusal.code} {refusal.arguments}")


def _illegal(state: str, action: str) -> IllegalState:
    try:
        apply(State(state), Action(action))
    except IllegalState as error:
        return error
    raise AssertionError(f"{state} allows {action}")
