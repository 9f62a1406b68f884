"""`make binary`: one executable file of the whole program, for machines like this one.

PyInstaller makes a directory that needs no Python; it is packed behind `stub.sh`, which unpacks it once. The same
sources, packages and Python give the same file, byte for byte.
"""

from __future__ import annotations

import argparse
import fcntl
import gzip
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
REQUIREMENTS = HERE / "requirements.txt"
LICENCE = re.compile(r"(LICEN[CS]E|COPYING|NOTICE|AUTHORS)\b", re.IGNORECASE)
EPOCH = 315_532_800  # 1980, the first moment a zip file can tell


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "qd")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "binary")
    parser.add_argument("--tools", type=Path, default=ROOT / "build" / "packager", help="where PyInstaller is put")
    parser.add_argument("--only-tools", action="store_true", help="install PyInstaller and build nothing")
    asked = parser.parse_args()
    tools = install_tools(asked.tools.resolve())
    if asked.only_tools:
        return 0
    work = asked.work.resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    write_metadata(work / "metadata")
    folder = freeze(work, tools)
    size = pack(folder, asked.out.resolve())
    sys.stdout.write(f"{asked.out}: {size / 1e6:.1f} MB, {unpacked_size(folder) / 1e6:.1f} MB unpacked\n")
    return 0


def install_tools(folder: Path) -> Path:
    """The pinned PyInstaller, beside the project's packages and not among them. Several may ask at once."""
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    stamp = folder / ".installed"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.is_file() and stamp.read_text() == wanted:
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*command, "--require-hashes", "--target", folder, "-r", REQUIREMENTS], check=True)
        stamp.write_text(wanted)
    return folder


def write_metadata(folder: Path) -> None:
    """This project's `.dist-info`, fresh from pyproject.toml: an editable installation's may be old and names the
    directory it was made in. And the licences of what the executable contains."""
    folder.mkdir()
    code = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, folder], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    wheel = folder / done.stdout.split()[-1]
    with zipfile.ZipFile(wheel) as content:
        names = [name for name in content.namelist() if ".dist-info/" in name and not name.endswith("/RECORD")]
        content.extractall(folder, names)
    wheel.unlink()
    for name in contained("quarterdeck"):
        for path in distribution(name).files or ():
            if LICENCE.match(path.name):
                place = folder / "licenses" / name / path.name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(str(path.locate())), place)


def contained(root: str) -> list[str]:
    """The distributions that `root` requires here, and what they require."""
    found: set[str] = set()
    waiting = [(root, "")]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        for line in distribution(name).requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                found.add(canonicalize_name(needed.name))
                more = {(canonicalize_name(needed.name), each) for each in ("", *needed.extras)} - seen
                seen |= more
                waiting += more
    return sorted(found)


def freeze(work: Path, tools: Path) -> Path:
    """The directory PyInstaller makes."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env |= {
        "PYTHONPATH": str(tools),
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "PYINSTALLER_CONFIG_DIR": str(work / "cache"),
        "QD_BUILD": str(work),
    }
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--clean", "--log-level", "ERROR"]
    command += ["--distpath", str(work / "dist"), "--workpath", str(work / "work"), str(HERE / "qd.spec")]
    said = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(command, cwd=work, env=env, check=False, **said)
    if done.returncode != 0:  # what it says otherwise is of no interest
        sys.exit(f"{done.stdout}\nPyInstaller failed")
    folder = work / "dist" / "qd"
    (folder / "complete").write_bytes(b"")
    return folder


def pack(folder: Path, out: Path) -> int:
    """Write stub and archive; the size in bytes."""
    packed = archive(folder)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    values = {
        "VERSION": version,
        "PLATFORM": f"{platform.system()} {platform.machine()}",
        "NAME": f"{version}-{hashlib.sha256(packed).hexdigest()[:16]}",
        "NEEDS": str(unpacked_size(folder) // 1_000_000 + 1),
        "SUM": str(checksum(packed)),
        "SIZE": str(len(packed)),
    }
    text = (HERE / "stub.sh").read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    head, offset = b"", 0
    while len(head) + 1 != offset:  # the number is part of what it measures
        offset = len(head) + 1  # tail counts from 1
        head = text.replace("@OFFSET@", str(offset)).encode()
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    draft.write_bytes(head + packed)
    draft.chmod(0o755)
    draft.replace(out)
    return len(head) + len(packed)


def archive(folder: Path) -> bytes:
    """A compressed tar of what is in the folder, without names, times and owners of this machine; `complete` last."""
    found = sorted(path for path in folder.rglob("*") if path.name != "complete" or path.parent != folder)
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in [*found, folder / "complete"]:
            info = tar.gettarinfo(path, path.relative_to(folder).as_posix())
            info.mtime, info.uid, info.gid, info.uname, info.gname = EPOCH, 0, 0, "", ""
            info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
            with path.open("rb") if info.isreg() else io.BytesIO() as content:
                tar.addfile(info, content)
    return gzip.compress(raw.getvalue(), 9, mtime=0)


def checksum(data: bytes) -> int:
    """What `cksum` prints first (POSIX: CRC-32 with polynomial 0x04C11DB7, the length appended, inverted)."""
    done = subprocess.run(["cksum"], input=data, capture_output=True, check=True)
    value, size = done.stdout.split()
    assert int(size) == len(data)
    return int(value)


def unpacked_size(folder: Path) -> int:
    """In blocks of 4 KiB, as a disk counts."""
    return sum(-(-path.lstat().st_size // 4096) * 4096 for path in folder.rglob("*"))


if __name__ == "__main__":
    sys.exit(main())
