"""Reads a transcript as bytes, also while it is written: whole lines only, so that an offset reached stays true."""

from __future__ import annotations

import os

from lite.transcripts.layout import MAX_LINE, transcript_path


def transcript_size(directory: str | os.PathLike[str]) -> int | None:
    """Bytes; None when the session has none."""
    try:
        return transcript_path(directory).stat().st_size
    except OSError:
        return None


def read_transcript(directory: str | os.PathLike[str], offset: int, limit: int) -> bytes:
    """The whole lines within about `limit` bytes from `offset` on; empty at the end. One line may make it more.

    Raises OSError."""
    try:
        file = os.open(transcript_path(directory), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        while True:
            found = os.pread(file, limit, offset)
            end = found.rfind(b"\n") + 1
            if end or len(found) < limit or limit > MAX_LINE:
                return found[:end]
            limit *= 2
    finally:
        os.close(file)
