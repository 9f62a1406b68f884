"""The one expression a prompt may hold: `{{ needs.NAME.output }}`. Any other braces are plain text."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lite.errors import InvalidTask

_BEGUN = re.compile(r"\{\{\s*needs\.")
_WHOLE = re.compile(r"\{\{\s*needs\.([a-z0-9][a-z0-9._-]{0,62})\.output\s*\}\}")
_SHOWN = 40


def references(prompt: str) -> tuple[str, ...]:
    """The names whose output the prompt wants, each once. Raises `InvalidTask` for one that is begun but not of the
    form `{{ needs.NAME.output }}`."""
    names: dict[str, None] = {}
    for begun in _BEGUN.finditer(prompt):
        whole = _WHOLE.match(prompt, begun.start())
        if whole is None:
            start = begun.start()
            raise InvalidTask(
                f"cannot read {prompt[start : start + _SHOWN].splitlines()[0]!r}",
                hint="the only expression is {{ needs.NAME.output }}",
                place="prompt",
            )
        names[whole[1]] = None
    return tuple(names)


def render_prompt(prompt: str, outputs: Mapping[str, str | None]) -> str:
    """The prompt with each expression replaced by that need's output, once (an output is never expanded again).

    Raises `InvalidTask` for a name that is not in `outputs` and for a need that ended without an output.
    """
    for name in references(prompt):
        if name not in outputs:
            raise InvalidTask(
                f"the prompt wants the output of {name!r}, which is not one of its needs",
                hint=f"add {name} to needs",
                place="prompt",
            )
        if outputs[name] is None:
            raise InvalidTask(
                f"the prompt wants the output of {name!r}, which gave none",
                hint="a command gives one by writing to the file $QD_OUTPUT",
                place="prompt",
            )
    return _WHOLE.sub(lambda found: outputs[found[1]] or "", prompt)
