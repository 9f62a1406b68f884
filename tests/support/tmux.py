"""A real terminal for tests: a tmux server of its own, keys in, the screen read back."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

SECONDS = 30.0


class Tmux:
    """One server with one window. Use as a context manager; a missing tmux fails, it never skips."""

    def __init__(self, folder: Path, *, cols: int = 120, rows: int = 36, env: Mapping[str, str]) -> None:
        found = shutil.which("tmux")
        assert found, "tmux is not installed: apt-get install tmux"
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "tmux.conf"
        config.write_text(
            "set -g status off\nset -g escape-time 0\nset -g history-limit 5000\n"
            'set -g default-terminal "tmux-256color"\nset -g set-clipboard on\n'
        )
        self._command = [found, "-S", str(folder / "t.sock"), "-f", str(config)]
        self._size = cols, rows
        self._env = {**env, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        self._folder = folder

    def __enter__(self) -> Tmux:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run([*self._command, "kill-server"], check=False, capture_output=True, env=self._env)

    def start(self, argv: Sequence[str], cwd: Path, *, shell: bool = True) -> None:
        """Run a program; with `shell` what it leaves behind can be seen: `ended` tells its exit code."""
        cols, rows = self._size
        wrapped = ["sh", "-c", '"$@"; echo "exit code: $?"; exec cat', "sh", *argv] if shell else list(argv)
        self.tmux("new-session", "-d", "-x", str(cols), "-y", str(rows), "-c", str(cwd), *wrapped)

    def tmux(self, *args: str) -> str:
        done = subprocess.run(
            [*self._command, *args], check=False, capture_output=True, text=True, env=self._env, timeout=SECONDS
        )
        assert done.returncode == 0, f"tmux {args}: {done.stderr}"
        return done.stdout

    def keys(self, *keys: str) -> None:
        """In tmux' names: Enter, Escape, C-p, Down, or text."""
        self.tmux("send-keys", *keys)

    def text(self, text: str) -> None:
        self.tmux("send-keys", "-l", text)

    def resize(self, cols: int, rows: int) -> None:
        self.tmux("resize-window", "-x", str(cols), "-y", str(rows))

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def title(self) -> str:
        return self.tmux("display-message", "-p", "#{pane_title}").rstrip("\n")

    def ended(self) -> int:
        """The program's exit code, once it has ended."""
        found = re.search(r"exit code: (\d+)", self.see("exit code: "))
        assert found
        return int(found[1])

    def pid(self) -> int:
        """Of the program, which runs under the shell."""
        shell = psutil.Process(int(self.tmux("display-message", "-p", "#{pane_pid}")))
        return int(shell.children()[0].pid)

    def until(self, condition: Callable[[str], object], seconds: float = SECONDS) -> str:
        """The screen, once `condition(screen)` holds."""
        deadline = time.monotonic() + seconds
        while True:
            screen = self.screen()
            if condition(screen):
                return screen
            assert time.monotonic() < deadline, f"the screen never came to it:\n{screen}"
            time.sleep(0.05)  # a process of another's: nothing to be awaited

    def see(self, *texts: str, seconds: float = SECONDS) -> str:
        return self.until(lambda screen: all(text in screen for text in texts), seconds)
