"""Reading a script: YAML to checked steps, every mistake with its file and line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

_TEXT: tuple[type, ...] = (str,)
_NUMBER: tuple[type, ...] = (int, float)
_SIZE: tuple[type, ...] = (int, str)
_TRUTH: tuple[type, ...] = (bool,)
_NAMES: tuple[type, ...] = (str, list)
_OBJECT: tuple[type, ...] = (dict,)
_NOTHING: tuple[type, ...] = (type(None), bool)

Kinds = tuple[type, ...]

# verb -> (kinds of its value, its options). In texts {prompt} {answer} {resume} {session} {task} {attempt} {needs.NAME}
# stand for what they name.
VERBS: Mapping[str, tuple[Kinds, Mapping[str, Kinds]]] = {
    # talking
    "say": (_TEXT, {"delay": _NUMBER}),  # a message; delay: seconds a character
    "type": (_TEXT, {"delay": _NUMBER}),  # the same, typed
    "print": (_TEXT, {}),  # a plain line on stdout, also headless
    "raw": (_TEXT, {}),  # exactly these bytes
    "stderr": (_TEXT, {}),
    "think": (_TEXT, {}),
    "ask": (_TEXT, {"expect": _TEXT}),  # waits for a line; expect: a regular expression, asked again until it fits
    "approve": (_TEXT, {"on_no": _TEXT}),  # y or n; on_no: stop (default) or go-on
    "tool": (_TEXT, {"input": _OBJECT, "result": _TEXT, "fails": _TRUTH, "seconds": _NUMBER}),
    "json": (_OBJECT, {"pad": _SIZE}),  # an event of one's own, headless; pad: as many bytes more
    "usage": (_OBJECT, {}),  # tokens_in, tokens_out, cost_usd
    "retry": (_TEXT, {}),
    "state": (_TEXT, {"kind": _TEXT, "text": _TEXT}),  # OSC 7501: working, blocked, idle, done, error, clear
    "result": (_TEXT, {"ok": _TRUTH, "reason": _TEXT, "infrastructure": _TRUTH}),  # else: ok, with the last message
    # time, in seconds
    "sleep": (_NUMBER, {}),
    "work": (_NUMBER, {"label": _TEXT}),  # with a progress bar
    "hang": (_NOTHING, {}),
    # files and programs
    "write": (_TEXT, {"text": _TEXT, "append": _TRUTH}),
    "output": (_TEXT, {}),  # to $QD_OUTPUT
    "need": (_TEXT, {}),  # says the output of a need
    "run": (_TEXT, {"may_fail": _TRUTH}),  # under sh -c
    # misbehaving
    "flood": (_SIZE, {"pattern": _TEXT}),  # lines, no-newline, binary, utf8, escapes
    "spawn": (_TEXT, {"count": _NUMBER, "seconds": _NUMBER, "ignore": _NAMES, "pids": _TEXT}),  # see escapees
    "ignore": (_NAMES, {}),  # signals, without SIG
    "screen": (_TEXT, {}),  # alt, main, clear
    "hostile": (_NAMES, {}),  # all, or names of hostile.SEQUENCES
    "crash": (_TEXT, {}),
    "kill": (_TEXT, {}),  # itself, by this signal
    "exit": (_NUMBER, {"silent": _TRUTH}),  # silent: without a result
    # flow
    "repeat": (_NUMBER, {"steps": (list,)}),
    "attempt": (_NUMBER, {"steps": (list,)}),  # only in this attempt
}


class ScriptError(Exception):
    """A script that cannot be played; the text starts with its file and line."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. `steps` are those nested in it."""

    verb: str
    value: Any
    options: Mapping[str, Any]
    place: str
    steps: Sequence[Step] = ()


@dataclass(frozen=True, slots=True)
class Script:
    """What is played. `pace` multiplies every wait."""

    steps: Sequence[Step]
    pace: float = 1.0


def read_script(text: str, path: str) -> Script:
    """Raises `ScriptError`."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ScriptError(f"{path}:{line}: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ScriptError(f"{path}:1: {error}") from error
    return _Reader(path).script(root)


class _Reader:
    def __init__(self, path: str) -> None:
        self._path = path

    def script(self, root: yaml.Node | None) -> Script:
        if isinstance(root, yaml.SequenceNode):
            return Script(self._steps(root))
        if not isinstance(root, yaml.MappingNode):
            raise ScriptError(f"{self._path}:1: a script is a mapping with steps:")
        keys = self._keys(root)
        for key, (at, _) in keys.items():
            if key not in ("steps", "pace", "name"):
                raise ScriptError(f"{self._place(at)}: unknown key {key!r}; a script has name, pace, steps")
        if "steps" not in keys:
            raise ScriptError(f"{self._place(root)}: steps: is missing")
        pace = self._value(keys["pace"][1], _NUMBER, "pace") if "pace" in keys else 1.0
        return Script(self._steps(keys["steps"][1]), float(pace))

    def _steps(self, node: yaml.Node) -> list[Step]:
        if not isinstance(node, yaml.SequenceNode):
            raise ScriptError(f"{self._place(node)}: steps must be a list")
        return [self._step(one) for one in node.value]

    def _step(self, node: yaml.Node) -> Step:
        if isinstance(node, yaml.ScalarNode) and node.value in VERBS:
            return self._checked(node.value, None, {}, node)
        if not isinstance(node, yaml.MappingNode):
            raise ScriptError(f"{self._place(node)}: a step is a mapping such as `say: text`")
        keys = self._keys(node)
        verb = next((key for key in keys if key in VERBS), "")
        if not verb:
            raise ScriptError(
                f"{self._place(node)}: no known step in {', '.join(keys) or 'it'}; steps: {', '.join(VERBS)}"
            )
        options = {key: pair for key, pair in keys.items() if key != verb}
        return self._checked(verb, keys[verb][1], options, node)

    def _checked(
        self, verb: str, value: yaml.Node | None, options: Mapping[str, tuple[yaml.Node, yaml.Node]], node: yaml.Node
    ) -> Step:
        kinds, known = VERBS[verb]
        nested: list[Step] = []
        found: dict[str, Any] = {}
        for key, (at, one) in options.items():
            if key not in known:
                can = ", ".join(known) or "no options"
                raise ScriptError(f"{self._place(at)}: {verb} does not take {key!r}; it takes {can}")
            if key == "steps":
                nested = self._steps(one)
            else:
                found[key] = self._value(one, known[key], key)
        if "steps" in known and not nested:
            raise ScriptError(f"{self._place(node)}: {verb} needs steps")
        if value is None and type(None) not in kinds:
            raise ScriptError(f"{self._place(node)}: {verb} needs a value")
        checked = None if value is None else self._value(value, kinds, verb)
        return Step(verb, checked, found, self._place(node), nested)

    def _value(self, node: yaml.Node, kinds: Kinds, name: str) -> Any:
        try:
            value = yaml.SafeLoader("").construct_document(node)
        except yaml.MarkedYAMLError as error:
            raise ScriptError(f"{self._place(node)}: {error.problem}") from error
        if kinds == _TEXT and isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(node.value)  # `say: 42` means the text
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise ScriptError(f"{self._place(node)}: {name} must be {wanted}, not {value!r}")
        return value

    def _keys(self, node: yaml.MappingNode) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        keys: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if key.value in keys:
                raise ScriptError(f"{self._place(key)}: {key.value!r} is there twice")
            keys[str(key.value)] = (key, value)
        return keys

    def _place(self, node: yaml.Node) -> str:
        return f"{self._path}:{node.start_mark.line + 1}"
