"""Where a fleet keeps its state: which home a command means, and every path below it. A leaf, light to import.

`--home` or `QD_HOME`, else `.quarterdeck/` beside the nearest `quarterdeck.yaml` upward, else the XDG state directory.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

CONFIG_NAME = "quarterdeck.yaml"
_SOCKET_PATH_MAX = 100  # bytes; Linux allows 107, macOS 103


class Home:
    """The paths of one home. Nothing is created before `create`."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would follow links

    def __repr__(self) -> str:
        return f"<Home {self.root}>"

    def __fspath__(self) -> str:
        return str(self.root)

    @property
    def database(self) -> Path:
        return self.root / "quarterdeck.db"

    @property
    def lock(self) -> Path:
        return self.root / "supervisor.lock"

    @property
    def log(self) -> Path:
        return self.root / "supervisor.log"

    @property
    def nursery_log(self) -> Path:
        return self.root / "nursery.log"

    @property
    def sessions(self) -> Path:
        return self.root / "sessions"

    def session(self, session: str) -> Path:
        """The directory of one session (`<task>-<attempt>`): recording, exit.json, prompt, needs."""
        return self.sessions / session

    @property
    def socket(self) -> Path:
        """The control API's socket."""
        return self.socket_for("qd.sock")

    @property
    def nursery_socket(self) -> Path:
        return self.socket_for("nursery.sock")

    def session_socket(self, session: str) -> Path:
        return self.socket_for(f"s/{session}.sock")

    def socket_for(self, name: str) -> Path:
        """A socket's path: below the home, or in the runtime directory under a hash when that is too long."""
        direct = self.root / name
        if len(os.fsencode(direct)) <= _SOCKET_PATH_MAX:
            return direct
        import hashlib  # a third of this module's import time

        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return runtime_directory() / digest / name

    def create(self) -> None:
        """Make the directories, private to this user, with a `.gitignore` of `*`."""
        for directory in (self.root, self.sessions, self.session_socket("x").parent, self.socket.parent):
            _private(directory)
        ignore = self.root / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        remember(self.root)


def find_home(explicit: str | None = None, start: str | None = None) -> Home:
    """The home a command in `start` (default: the current directory) means."""
    chosen = explicit or os.environ.get("QD_HOME")
    if chosen:
        return Home(Path(chosen).expanduser())
    config = find_config(start)
    if config is not None:
        return Home(config.parent / ".quarterdeck")
    return Home(state_directory())


def find_config(start: str | None = None) -> Path | None:
    """The nearest `quarterdeck.yaml`, from `start` upward."""
    here = Path(os.path.abspath(start or Path.cwd()))  # noqa: PTH100
    for directory in (here, *here.parents):
        candidate = directory / CONFIG_NAME
        if candidate.is_file():
            return candidate
    return None


def config_for(home: Home) -> Path:
    """The configuration file that belongs to a home: beside `.quarterdeck/`, else inside the home."""
    beside = home.root.parent / CONFIG_NAME
    if home.root.name == ".quarterdeck" and beside.is_file():
        return beside
    return home.root / CONFIG_NAME


def state_directory() -> Path:
    """`$XDG_STATE_HOME/quarterdeck`, also where the list of known homes is kept."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "quarterdeck"


def runtime_directory() -> Path:
    """A short private directory for sockets: `$XDG_RUNTIME_DIR/quarterdeck`, else `/tmp/quarterdeck-<uid>`."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and len(os.fsencode(base)) < 40 and os.access(base, os.W_OK):
        return Path(base) / "quarterdeck"
    return Path("/tmp") / f"quarterdeck-{os.getuid()}"


def remember(root: Path) -> None:
    """Add a home to this user's list; a list that cannot be written is no reason to fail."""
    listing = state_directory() / "homes"
    try:
        known = listing.read_text().splitlines() if listing.exists() else []
        if str(root) not in known:
            listing.parent.mkdir(parents=True, exist_ok=True)
            with listing.open("a") as file:
                file.write(f"{root}\n")
    except OSError:
        pass


def known_homes() -> list[Home]:
    """The homes this user has used and that still exist, oldest first."""
    try:
        lines = (state_directory() / "homes").read_text().splitlines()
    except OSError:
        return []
    return [Home(line) for line in dict.fromkeys(lines) if line and Path(line).is_dir()]


def _private(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{directory} is not a directory of this user")
    if found.st_mode & 0o077 and found.st_uid == os.getuid():
        directory.chmod(0o700)
