"""What the model answers, by a word in the prompt: `scenario=NAME`, with more of such words as parameters.

| scenario | the answer |
|---|---|
| say | a sentence |
| create | the agent's own file tool writes `path=` |
| shell | the agent's shell runs `touch path=` and says `ran-by-the-agent`; then what it was told |
| twice | the agent's shell runs `touch path=`, and after that `touch path=.2` |
| ask | the agent's own tool asks its user for a colour; then what it was told |
| sleep | the agent's shell follows `path=` for ever |
| hold | the agent's shell notes in `path=` that it began, and reads `path=.gate` to its end; not once healed |
| long | a text of 2 MB |
| slow | a word now and then, for minutes |
| recall | the words that earlier prompts told to `remember=` |
| error | the HTTP status `status=`, until the server is healed; with `wait=`: Retry-After in seconds |
| limit | the account's limit is used up until `until=` (seconds since the epoch); until the server is healed |
| cut | the stream ends in the middle, until the server is healed |
| later | as shell, but what follows the command is cut until the server is healed |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256

from tests.real.models.talk import Asked, Call, Reply

LONG = 2 << 20  # bytes, at the least
LONG_LINES = LONG // 77 + 1
SLOW_SECONDS = 300
_WORD = re.compile(r"\b(scenario|path|remember|status|wait|until)=([^\s\"'<>\\]+)")
CREATED = "written by the agent\n"
RAN = "ran-by-the-agent"


def parameters(text: str) -> dict[str, str]:
    return dict(_WORD.findall(text))


def prompt_of(asked: Asked) -> dict[str, str]:
    """The parameters of the last prompt that has a scenario."""
    return next((found for text in reversed(asked.said) if "scenario" in (found := parameters(text))), {})


def decide(asked: Asked, healed: bool) -> Reply:
    """The answer. `healed`: what was to fail does so no longer."""
    told = prompt_of(asked)
    name = told.get("scenario", "")
    if not healed and (name in ("error", "limit", "cut") or (name == "later" and asked.results)):
        return _failure(name, told)
    if not asked.tools:
        return Reply(["Chores"])  # for its own use, such as a title
    if name == "twice" and len(asked.results) == 1:
        return Reply(["Once more."], _shell(asked, f"touch {told['path']}.2 && echo {RAN}"))
    if asked.results:
        return Reply([f"The tool said: {asked.results[-1][:1000]}"])
    match name:
        case "create":
            return Reply(["I will write it."], _write(asked, told["path"], CREATED))
        case "hold" if healed:
            return Reply(["I go on."])
        case "hold":
            note = f"echo began >> {told['path']}"
            return Reply(["I will wait."], _shell(asked, f"{note} && cat {told['path']}.gate && echo {RAN}"))
        case "shell" | "later" | "twice":
            return Reply(["I will run it."], _shell(asked, f"touch {told['path']} && echo {RAN}"))
        case "ask":
            return Reply(["I must know."], _question(asked))
        case "sleep":
            return Reply(["I will wait."], _shell(asked, f"tail -f {told['path']}"))
        case "long":
            return Reply(_long())
        case "slow":
            return Reply((f"word{at} " for at in range(SLOW_SECONDS * 10)), pace=0.1)
        case "recall":
            words = [found for text in asked.said if (found := parameters(text).get("remember"))]
            return Reply([f"You told me: {' '.join(dict.fromkeys(words)) or 'nothing'}"])
        case "say" | "error" | "limit" | "cut":
            return Reply(["Hello ", "from the model."])
        case _:
            return Reply(["There is nothing to do."])


def _failure(name: str, told: dict[str, str]) -> Reply:
    if name in ("cut", "later"):
        return Reply(["This will ", "never be ", "finished"], cut=2, pace=0.05)
    if name == "limit":
        headers = {
            "anthropic-ratelimit-unified-status": "rejected",
            "anthropic-ratelimit-unified-representative-claim": "five_hour",
            "anthropic-ratelimit-unified-reset": told["until"],
            "x-should-retry": "false",
        }
        return Reply(status=429, message="This request would exceed your account's rate limit.", headers=headers)
    headers = {"retry-after": told["wait"]} if "wait" in told else {}
    return Reply(status=int(told["status"]), message=f"refused with {told['status']}", headers=headers)


def _long() -> Iterator[str]:
    """Numbered lines, no two alike: some programs end what repeats itself."""
    for first in range(0, LONG_LINES, 100):
        yield "".join(long_line(at) for at in range(first, min(first + 100, LONG_LINES)))


def long_line(at: int) -> str:
    return f"line {at:06} {sha256(str(at).encode()).hexdigest()}\n"


def _write(asked: Asked, path: str, content: str) -> Call:
    for name, key in (("Write", "file_path"), ("write_file", "file_path"), ("write", "filePath")):
        if name in asked.tools:
            return Call(name, {key: path, "content": content})
    patch = f"*** Begin Patch\n*** Add File: {path}\n+{content}*** End Patch\n"
    tool = asked.tools.get("apply_patch")
    if tool is not None:
        if tool.get("type") == "custom":
            return Call("apply_patch", freeform=patch)
        return Call("apply_patch", {"input": patch})
    return _shell(asked, f"apply_patch <<'EOF'\n{patch}EOF")


def _question(asked: Asked) -> Call:
    options = [{"label": "Red", "description": "like a rose"}, {"label": "Blue", "description": "like the sea"}]
    question = {"question": "Which colour?", "header": "Colour", "options": options, "multiSelect": False}
    if "AskUserQuestion" in asked.tools:
        return Call("AskUserQuestion", {"questions": [question]})
    raise LookupError(f"no tool known for a question among {sorted(asked.tools)}")


def _shell(asked: Asked, command: str) -> Call:
    for name in ("Bash", "bash", "run_shell_command"):
        if name in asked.tools:
            return Call(name, {"command": command, "description": "a command"})
    if "exec_command" in asked.tools:
        return Call("exec_command", {"cmd": command})
    if "shell_command" in asked.tools:
        return Call("shell_command", {"command": command})
    if "shell" in asked.tools:
        return Call("shell", {"command": ["sh", "-c", command]})
    raise LookupError(f"no tool known for a command among {sorted(asked.tools)}")
