"""`qd _scripted FILE [--mode M] [--prompt FILE] [--resume ID] [--pace X]`: the scripted agent's command line.

`@NAME` means a file in the session's directory, the one `$QD_OUTPUT` lies in.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from lite.scripted.face import Face, JsonFace, TerminalFace
from lite.scripted.player import Ended, Player
from lite.scripted.script import Script, ScriptError, read_script


def main(argv: list[str]) -> int:
    """The exit code: the script's own, 2 for a script that cannot be played, 130 when interrupted."""
    asked = _arguments().parse_args(argv)
    try:
        script = _load(_path(asked.file))
        prompt = _path(asked.prompt).read_text(encoding="utf-8", errors="replace") if asked.prompt else ""
    except ScriptError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    return _play(script, prompt, asked)


def _play(script: Script, prompt: str, asked: argparse.Namespace) -> int:
    session = asked.resume or f"scripted-{os.environ.get('QD_SESSION', os.getpid())}"
    facts = {
        "prompt": prompt,
        "resume": asked.resume,
        "session": session,
        "task": os.environ.get("QD_TASK", ""),
        "attempt": os.environ.get("QD_ATTEMPT", "1"),
    }
    pace = script.pace if asked.pace is None else asked.pace
    face = _face(asked.mode, pace)
    player = Player(face, facts, os.environ, pace)
    try:
        face.begin(session, bool(asked.resume))
        player.play(script.steps)
        player.finish()
    except Ended as ended:
        return ended.code
    except ScriptError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        face.state("clear")
        return 130
    return 0


def _face(mode: str, pace: float) -> Face:
    import time

    def wait(seconds: float) -> None:
        if seconds > 0 and pace > 0:
            time.sleep(seconds * pace)

    return JsonFace(wait) if mode == "headless" else TerminalFace(wait)


def _load(path: Path) -> Script:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ScriptError(f"{path}:1: not a text file") from error
    return read_script(text, str(path))


def _path(name: str) -> Path:
    if name.startswith("@"):
        return Path(os.environ.get("QD_OUTPUT", "./output")).parent / name[1:]
    return Path(name)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qd _scripted", description="Play a script as if it were a coding agent.")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--mode", choices=("interactive", "headless"), default="interactive")
    parser.add_argument("--prompt", default="", metavar="FILE", help="a file that holds the prompt")
    parser.add_argument("--resume", default="", metavar="ID")
    parser.add_argument("--pace", type=float, default=None, help="multiplies every wait")
    return parser
