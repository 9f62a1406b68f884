"""Gemini CLI: `gemini -o stream-json` headless, `gemini` in a terminal interactive."""

from __future__ import annotations

import re

from providers.base import Capabilities, Launch, Limits, Parser, Request
from providers.checks import Kinds, check_mode, check_options, check_text
from providers.errors import InvalidRequest
from providers.gemini_events import GeminiParser
from providers.owned import ANYWHERE
from providers.parsing import ExitCodeParser

_VERSION = re.compile(r"^v?(\d+\.\d+\.\d+\S*)", re.MULTILINE)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_APPROVAL = ("auto_edit", "default", "plan", "yolo")
_LONGEST_PROMPT = 8 << 20  # bytes: what it reads of its input, the rest is dropped without an error

# option -> kind; what each becomes is in `_flags` and `_environment`
_OPTIONS: Kinds = {
    "approval_mode": str,
    "trust": bool,
    "sandbox": bool,
    "include_directories": list,
    "extensions": list,
    "mcp_servers": list,
    "session_id": str,
    "config_dir": str,
    "base_url": str,
    "args": list,
}
# each is given once a word; commas separate words in them
_LISTS = {
    "include_directories": "--include-directories",
    "extensions": "--extensions",
    "mcp_servers": "--allowed-mcp-server-names",
}
# its own shell tool gives up after five minutes without output, and each call to the model is tried ten times (four
# minutes) before it says why it fails
_LIMITS = Limits(idle_ms=600_000, retries=30)


class GeminiProvider:
    """The prompt goes in on stdin (headless) or as part of a flag (interactive). In headless mode it offers the model
    no tool that writes unless `approval_mode` allows it, and works in no directory that is not trusted (`trust`)."""

    name = "gemini"

    def capabilities(self) -> Capabilities:
        return Capabilities(
            resume=True,
            events=True,
            executable="gemini",
            version_args=("--version",),
            login_env=("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_GCA"),
            login_files=(".gemini/oauth_creds.json", ".gemini/gemini-credentials.json"),
            env_owned=(*ANYWHERE, "GEMINI_*", "GOOGLE_*"),
            limits=_LIMITS,
        )

    def validate(self, request: Request) -> None:
        check_mode(request, self.capabilities(), self.name)
        options = request.options
        check_options(options, _OPTIONS, self.name)
        check_text(request.prompt, "prompt")
        if not request.prompt.strip() and request.mode == "headless":
            raise InvalidRequest("the prompt is empty", field="prompt")
        if (size := len(request.prompt.encode("utf-8", "replace"))) > _LONGEST_PROMPT:
            raise InvalidRequest(
                f"the prompt has {size} bytes; gemini reads {_LONGEST_PROMPT}",
                hint="write it to a file and name the file in the prompt",
                field="prompt",
            )
        if request.model.startswith("-"):
            raise InvalidRequest(f"{request.model!r} is not a model", field="model")
        check_text(request.model, "model")
        mode = options.get("approval_mode")
        if mode is not None and mode not in _APPROVAL:
            hint = f"one of {', '.join(_APPROVAL)}"
            raise InvalidRequest(f"no approval mode {mode!r}", hint=hint, field="options.approval_mode")
        for name, ident in (("options.session_id", options.get("session_id")), ("resume", request.resume)):
            if ident and not _UUID.match(ident):
                raise InvalidRequest(f"{ident!r} is not a session id (a UUID)", field=name)
        for name in ("config_dir", "base_url"):
            check_text(options.get(name, ""), f"options.{name}")
        for name in (*_LISTS, "args"):
            _check_words(options.get(name, ()), f"options.{name}", plain=name in _LISTS)

    def launch(self, request: Request) -> Launch:
        env = _environment(request)
        if request.mode == "interactive":
            argv = ["gemini", *_flags(request)]
            if request.prompt.strip():
                argv.append(f"--prompt-interactive={request.prompt}")  # one word: the prompt may look like a flag
            return Launch(argv=tuple(argv), env=env)
        return Launch(
            argv=("gemini", "--output-format", "stream-json", *_flags(request)),
            env=env,
            stdio="pipes",
            stdin="file",
            stdin_file="prompt.txt",
            files={"prompt.txt": request.prompt.encode("utf-8", "replace")},
        )

    def parser(self, request: Request) -> Parser:
        return GeminiParser() if request.mode == "headless" else ExitCodeParser()

    def version(self, stdout: str) -> str:
        found = _VERSION.search(stdout)
        return found[1] if found else ""


def _check_words(words: object, field: str, *, plain: bool) -> None:
    for word in words if isinstance(words, (list, tuple)) else ():
        if not isinstance(word, str) or not word:
            raise InvalidRequest(f"{word!r} is not text", field=field)
        check_text(word, field)
        if plain and ("," in word or word.startswith("-")):
            raise InvalidRequest(f"gemini cannot be given {word!r} here", hint="no comma, no leading dash", field=field)


def _flags(request: Request) -> list[str]:
    options = request.options
    flags: list[str] = []
    if request.model:
        flags += ["--model", request.model]
    if options.get("approval_mode") is not None:
        flags += ["--approval-mode", options["approval_mode"]]
    if options.get("sandbox"):
        flags.append("--sandbox")
    for name, flag in _LISTS.items():
        for word in options.get(name) or ():
            flags += [flag, word]
    if request.resume:
        flags += ["--resume", request.resume]
    elif options.get("session_id") and request.attempt <= 1:  # the second attempt would find the id taken
        flags += ["--session-id", options["session_id"]]
    return flags + list(options.get("args") or ())


def _environment(request: Request) -> dict[str, str]:
    options = request.options
    env = {"GEMINI_CLI_NO_RELAUNCH": "true"}  # else a launcher that ignores signals stands before the program
    if options.get("trust"):
        env["GEMINI_CLI_TRUST_WORKSPACE"] = "true"
    for name, variable in (("config_dir", "GEMINI_CLI_HOME"), ("base_url", "GOOGLE_GEMINI_BASE_URL")):
        if options.get(name):
            env[variable] = options[name]
    return env
