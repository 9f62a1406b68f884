"""The shell stub: unpacks once, atomically, where it may; anything else is one clear sentence."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from tests.packaging.executable import load_build, run, toolbox, versions
from tests.support.fleet import until

SHELLS = [name for name in ("sh", "dash", "bash", "ksh", "mksh", "zsh", "yash", "busybox") if shutil.which(name)]
BIG = 24_000_000  # bytes of the stand-in's filling that gzip cannot make smaller

STANDIN = """#!/bin/sh
if [ "${1-}" = _settle ]; then
  [ -d "$3" ] && exit 0
  exec mv "$2" "$3"
fi
printf '<%s>' "$@"
cat
exit 7
"""


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file packed like the real one, whose program is a script."""
    folder = tmp_path_factory.mktemp("standin")
    content = folder / "content"
    (content / "_internal").mkdir(parents=True)
    (content / "qd").write_text(STANDIN)
    (content / "qd").chmod(0o755)
    (content / "complete").touch()
    (content / "_internal" / "filling").write_bytes(os.urandom(BIG))
    load_build().pack(content, folder / "qd")
    return folder / "qd"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    return {
        "PATH": os.fspath(toolbox(tmp_path / "bin")),
        "HOME": os.fspath(tmp_path / "home"),
        "TMPDIR": os.fspath(tmp_path / "tmp"),
    }


def in_home(tmp_path: Path) -> Path:
    return tmp_path / "home" / ".cache" / "quarterdeck"


def in_tmp(tmp_path: Path) -> Path:
    return tmp_path / "tmp" / f"quarterdeck-{os.getuid()}"


@pytest.mark.parametrize("shell", SHELLS)
def test_arguments_input_and_exit_code_go_through(shell: str, standin: Path, env: dict[str, str]) -> None:
    command = [shutil.which(shell) or shell, *(["sh"] if shell == "busybox" else []), os.fspath(standin)]
    arguments = ["a b", "", "*", "x\ny", "'\"$HOME`"]
    for _ in ("first start", "later start"):
        done = run([*command, *arguments], env=env, input="from stdin\n", stdin=None)
        assert (done.stderr, done.returncode) == ("", 7)
        assert done.stdout == "".join(f"<{each}>" for each in arguments) + "from stdin\n"


def test_a_relative_name_and_a_link_will_do(standin: Path, env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(standin)
    assert run(["./link"], env=env, cwd=tmp_path).returncode == 7
    assert run(["sh", "link"], env=env | {"QD_CACHE_DIR": os.fspath(tmp_path / "c")}, cwd=tmp_path).returncode == 7


def test_it_unpacks_once_for_this_user_only(standin: Path, env: dict[str, str], tmp_path: Path) -> None:
    run([os.fspath(standin)], env=env)
    (version,) = versions(in_home(tmp_path))
    before = version.stat()
    assert stat.S_IMODE(in_home(tmp_path).stat().st_mode) == 0o700
    (version / "_internal" / "filling").unlink()  # nothing needs the archive any more
    env["PATH"] = os.fspath(tmp_path / "nothing")
    done = run([os.fspath(standin)], env=env | {"PATH": os.fspath(toolbox(tmp_path / "again"))})
    assert done.returncode == 7
    assert version.stat().st_ino == before.st_ino
    assert not (version / "_internal" / "filling").exists()


def test_variables_of_the_caller_stay_as_they_are(standin: Path, env: dict[str, str], tmp_path: Path) -> None:
    run([os.fspath(standin)], env=env)
    (version,) = versions(in_home(tmp_path))
    (version / "qd").write_text("#!/bin/sh\nexec env\n")
    done = run([os.fspath(standin)], env=env | {"dir": "1", "name": "2"})
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert set(found) - {"PWD", "OLDPWD", "SHLVL", "_"} == {*env, "dir", "name", "QD_EXECUTABLE"}
    assert found["QD_EXECUTABLE"] == os.fspath(standin)


@pytest.mark.parametrize(
    "blocked", ["a file in the way", "read-only", "a link", "others may write", "of somebody else"]
)
def test_a_cache_that_will_not_do_is_passed_over(
    blocked: str, standin: Path, env: dict[str, str], tmp_path: Path
) -> None:
    base = in_home(tmp_path)
    base.parent.mkdir()
    if blocked == "a file in the way":
        base.touch()
    elif blocked == "a link":
        (tmp_path / "elsewhere").mkdir()
        base.symlink_to(tmp_path / "elsewhere")
    else:
        base.mkdir()
        if blocked == "read-only":
            env["XDG_CACHE_HOME"] = "/proc"  # root is stopped by no mode
        elif blocked == "others may write":
            base.chmod(0o777)
        elif os.getuid() == 0:
            os.chown(base, 12345, 12345)
        else:
            pytest.skip("only root can give a directory away")
    done = run([os.fspath(standin)], env=env)
    assert (done.stderr, done.returncode) == ("", 7)
    assert [path.name[:6] for path in versions(in_tmp(tmp_path))] == ["0.1.0-"]
    assert base.is_file() or list(base.iterdir()) == []
    only = run(
        [os.fspath(standin)],
        env=env | {"QD_CACHE_DIR": "/proc/quarterdeck" if "XDG_CACHE_HOME" in env else os.fspath(base)},
    )
    assert only.returncode == 126
    assert only.stderr.startswith("qd: this file unpacks itself once, but nowhere it may:\n    /")
    assert "QD_CACHE_DIR" in only.stderr


def mounted(how: str, where: Path, command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run something where `where` is a file system of its own."""
    script = 'mount -t tmpfs -o "$0" tmpfs "$1" || exit 99; shift; exec "$@"'
    unshare = [shutil.which("unshare") or "unshare", "-m", *(() if os.getuid() == 0 else ("-r",))]
    mount_env = {**env, "PATH": f"{env['PATH']}:{os.environ['PATH']}"}
    done = run([*unshare, "sh", "-c", script, how, os.fspath(where), *command], env=mount_env)
    if done.returncode == 99 or "unshare:" in done.stderr:
        if os.environ.get("CI"):
            pytest.fail(f"nothing can be mounted here: {done.stderr}")
        pytest.skip("nothing can be mounted here")
    return done


def test_mounted_noexec_it_goes_elsewhere(standin: Path, env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "home" / ".cache").mkdir()
    done = mounted("noexec", tmp_path / "home" / ".cache", [os.fspath(standin)], env)
    assert (done.stderr, done.returncode) == ("", 7)
    assert len(versions(in_tmp(tmp_path))) == 1
    env["QD_CACHE_DIR"] = os.fspath(tmp_path / "home" / ".cache" / "q")
    done = mounted("noexec", tmp_path / "home" / ".cache", [os.fspath(standin)], env)
    assert done.returncode == 126
    assert "programs cannot be started there" in done.stderr


def test_a_full_disk_leaves_nothing(standin: Path, env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    env["QD_CACHE_DIR"] = os.fspath(tmp_path / "full" / "q")
    look = f'"{standin}"; code=$?; ls -A "$QD_CACHE_DIR"; exit $code'
    done = mounted("size=9m", tmp_path / "full", ["sh", "-c", look], env)
    assert (done.stdout, done.returncode) == ("", 126)
    assert re.search(r"q: unpacking failed, it needs 25 MB of free space there: tar: ", done.stderr)
    assert len(done.stderr.splitlines()) == 3


@pytest.mark.parametrize("damage", ["one bit", "cut short", "longer", "cut in the stub"])
def test_a_damaged_file_says_so(damage: str, standin: Path, env: dict[str, str], tmp_path: Path) -> None:
    data = bytearray(standin.read_bytes())
    if damage == "one bit":
        data[-1_000_000] ^= 1
    elif damage == "cut short":
        del data[-4096:]
    elif damage == "longer":
        data += b"\0"
    else:
        del data[1000:]
    copy = tmp_path / "copy"
    copy.write_bytes(data)
    copy.chmod(0o755)
    done = run([os.fspath(copy)], env=env)
    assert done.returncode in ((2, 126, 1) if damage == "cut in the stub" else (126,))
    assert done.stderr
    if damage != "cut in the stub":
        assert done.stderr == f"qd: this file is damaged or cut short, get it again: {copy}\n"
    assert versions(in_home(tmp_path)) == []


def begin_unpacking(standin: Path, env: dict[str, str], cache: Path) -> subprocess.Popen[bytes]:
    """Started, and somewhere between the first and the last file."""
    process = subprocess.Popen(
        [standin], env=env, stdin=subprocess.DEVNULL, start_new_session=True, stderr=subprocess.PIPE
    )
    until(lambda: list(cache.glob(".new-*/_internal")))
    assert process.poll() is None
    return process


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_interrupted_it_starts_over(signum: int, standin: Path, env: dict[str, str], tmp_path: Path) -> None:
    cache = in_home(tmp_path)
    process = begin_unpacking(standin, env, cache)
    os.killpg(process.pid, signum)
    process.communicate(timeout=30)
    assert process.returncode in (-signal.SIGKILL, 143)
    left = versions(cache)
    assert signum == signal.SIGKILL or left == []
    assert all(path.name.startswith(".new-") for path in left)
    assert run([os.fspath(standin)], env=env).returncode == 7
    assert len(versions(cache)) == len(left) + 1


def test_an_archive_that_ends_early_is_not_trusted(standin: Path, env: dict[str, str], tmp_path: Path) -> None:
    """gzip is killed in the middle, and tar takes what there is for everything."""
    gzip_itself = shutil.which("gzip")
    (tmp_path / "bin" / "gzip").unlink()
    whole = gzip.decompress(standin.read_bytes()[standin.read_bytes().index(b"\x1f\x8b\x08") :])
    (tmp_path / "start").write_bytes(whole[:512] + bytes(1024))
    (tmp_path / "bin" / "gzip").write_text(f"#!/bin/sh\n{gzip_itself} -dc | cat {tmp_path}/start\n")
    (tmp_path / "bin" / "gzip").chmod(0o755)
    env["QD_CACHE_DIR"] = os.fspath(in_home(tmp_path))
    done = run([os.fspath(standin)], env=env)
    assert done.returncode == 126
    assert "unpacking failed" in done.stderr
    assert versions(in_home(tmp_path)) == []
