"""A certificate authority of a test's own, made with `openssl`."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of PEM files. The certificate is for 127.0.0.1 and localhost, and serves a client as well."""

    ca: Path
    cert: Path
    key: Path


def issue(folder: Path) -> Certificates:
    """A new authority and one certificate signed by it, strict enough for Python 3.13. Raises `FileNotFoundError`
    without `openssl`."""
    made = Certificates(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    authority, request, names = folder / "ca.key", folder / "request.pem", folder / "names.conf"
    names.write_text(
        "subjectAltName=IP:127.0.0.1,DNS:localhost\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
    )
    signs = ("-subj", "/CN=test authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _openssl("req", "-x509", *_KEY, "-keyout", authority, "-out", made.ca, "-days", "2", *signs)
    _openssl("req", "-new", *_KEY, "-keyout", made.key, "-out", request, "-subj", "/CN=localhost")
    signing = ("-CA", made.ca, "-CAkey", authority, "-CAcreateserial", "-days", "2", "-extfile", names)
    _openssl("x509", "-req", "-in", request, "-out", made.cert, *signing)
    return made


def _openssl(*words: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {words[0]}: {done.stderr[-1000:]}")
