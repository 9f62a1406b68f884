"""Where a fleet keeps its state: which home a command means, and every path below it. A leaf, light to import.

`--home` or `QD_HOME`, else `.quarterdeck/` beside the nearest `quarterdeck.yaml` upward, else the XDG state directory.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from pathlib import Path

CONFIG_NAME = "quarterdeck.yaml"
_SOCKET_PATH_MAX = 100  # bytes; Linux allows 107, macOS 103


class Home:
    """The paths of one home. Nothing is created before `create`."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = os.path.abspath(root)  # noqa: PTH100 - resolve() would follow links
        self._sessions: Path | None = None
        self._real: str | None = None

    def __repr__(self) -> str:
        return f"<Home {self._root}>"

    def __fspath__(self) -> str:
        return self._root

    @property
    def root(self) -> Path:
        return _path(self._root)

    @property
    def database(self) -> Path:
        return self.root / "quarterdeck.db"

    @property
    def lock(self) -> Path:
        return self.root / "supervisor.lock"

    @property
    def worker_id(self) -> Path:
        """Who this home's worker is on a shared backend."""
        return self.root / "worker-id"

    @property
    def api_token(self) -> Path:
        """What the control API wants to see over TCP."""
        return self.root / "api-token"

    @property
    def last_backend(self) -> Path:
        """Where the last supervisor kept truth."""
        return self.root / "backend"

    @property
    def log(self) -> Path:
        return self.root / "supervisor.log"

    @property
    def nursery_log(self) -> Path:
        return self.root / "nursery.log"

    @property
    def sessions(self) -> Path:
        if self._sessions is None:  # asked for twice an attempt
            self._sessions = self.root / "sessions"
        return self._sessions

    @property
    def staging(self) -> Path:
        """Of the runs: one folder each."""
        return self.root / "staging"

    def session(self, session: str) -> Path:
        """The directory of one session (`<task>-<attempt>`): recording, exit.json, prompt, needs."""
        return self.sessions / session

    @property
    def socket(self) -> Path:
        """The control API's socket."""
        return self.socket_for("qd.sock")

    @property
    def socket_path(self) -> str:
        """The same as text."""
        return self._socket_for("qd.sock")

    @property
    def nursery_socket(self) -> Path:
        return self.socket_for("nursery.sock")

    def session_socket(self, session: str) -> Path:
        return self.socket_for(f"s/{session}.sock")

    def relay_socket(self, session: str) -> Path:
        """Where a session of another machine is reached from here."""
        import hashlib

        return self.socket_for(f"r/{hashlib.sha256(session.encode()).hexdigest()[:12]}.sock")

    def socket_for(self, name: str) -> Path:
        """A socket's path: below the home, or in the runtime directory under a hash when that is too long."""
        return _path(self._socket_for(name))

    def _socket_for(self, name: str) -> str:
        if self._real is None:
            self._real = os.path.realpath(self._root)  # one home has one socket, by whatever name it is reached
        direct = f"{self._real}/{name}"
        if len(os.fsencode(direct)) <= _SOCKET_PATH_MAX:
            return direct
        import hashlib  # a third of this module's import time

        digest = hashlib.sha256(os.fsencode(self._real)).hexdigest()[:16]
        return str(runtime_directory() / digest / name)

    def create(self) -> None:
        """Make the directories, private to this user, with a `.gitignore` of `*`."""
        # of session sockets some may fit below the home and longer ones not
        sockets = {self.session_socket("x" * length).parent for length in (1, 28, 40)} | {self.relay_socket("").parent}
        for directory in (self.root, self.sessions, self.socket.parent, *sorted(sockets)):
            if not directory.is_relative_to(self.root):
                _private(runtime_directory())  # below /tmp somebody else could have made it
            _private(directory)
        ignore = self.root / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        remember(self.root)


def find_home(explicit: str | None = None, start: str | None = None) -> Home:
    """The home a command in `start` (default: the current directory) means."""
    chosen = explicit or os.environ.get("QD_HOME")
    if chosen:
        return Home(os.path.expanduser(chosen))  # noqa: PTH111 - see `_path`
    directory = _directory_of_config(start)
    return Home(f"{directory}/.quarterdeck" if directory else state_directory())


def find_config(start: str | None = None) -> Path | None:
    """The nearest `quarterdeck.yaml`, from `start` upward."""
    directory = _directory_of_config(start)
    return _path(f"{directory}/{CONFIG_NAME}") if directory else None


def _directory_of_config(start: str | None) -> str:
    here = os.path.abspath(start or ".")  # noqa: PTH100
    while True:
        if os.path.isfile(f"{here}/{CONFIG_NAME}"):  # noqa: PTH113
            return here
        above = os.path.dirname(here)  # noqa: PTH120
        if above == here:
            return ""
        here = above


def config_for(home: Home) -> Path:
    """The configuration file that belongs to a home: beside `.quarterdeck/`, else inside the home."""
    beside = home.root.parent / CONFIG_NAME
    if home.root.name == ".quarterdeck" and beside.is_file():
        return beside
    return home.root / CONFIG_NAME


def state_directory() -> Path:
    """`$XDG_STATE_HOME/quarterdeck`, also where the list of known homes is kept."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111
    return _path(base) / "quarterdeck"


def runtime_directory() -> Path:
    """A short private directory for sockets: `$XDG_RUNTIME_DIR/quarterdeck`, else `/tmp/quarterdeck-<uid>`."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and len(os.fsencode(base)) < 40 and os.access(base, os.W_OK):
        return _path(base) / "quarterdeck"
    return _path(f"/tmp/quarterdeck-{os.getuid()}")


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
    return [Home(line) for line in dict.fromkeys(lines) if line and _path(line).is_dir()]


def _path(text: str) -> Path:
    """pathlib costs a fifth of a short command's time: import it only where a path is really worked with."""
    from pathlib import Path

    return Path(text)


def _private(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{directory} is not a directory of this user")
    if found.st_mode & 0o077 and found.st_uid == os.getuid():
        directory.chmod(0o700)
