"""The files of a recording.

Index: a header, then one 12-byte entry per append: ms since the header's time, end of the bytes within the segment,
stream. The entry is written before its bytes, so whoever reads beside a live writer knows the stream of every byte; an
entry that promises more bytes than there are counts as far as they go.
"""

from __future__ import annotations

import os
import struct

OUT, ERR, IN, RESIZED, MARKER = 0, 1, 2, 3, 4  # as in lite.terminal.packets

FOLDER = "recording"
MAGIC = b"QDREC\x00\x01\n"
HEADER = struct.Struct(">8sQQHH4x")  # magic, time (ms since the epoch), first offset, cols, rows
ENTRY = struct.Struct(">IIBxxx")
SIZE = struct.Struct(">HH")  # the bytes of a RESIZED entry: cols, rows
MAX_SPAN = 0xFFFFFFFF  # of times and of positions in one segment


def raw_path(folder: str, first: int) -> str:
    return f"{folder}/{first:016d}.raw"


def index_path(folder: str, first: int) -> str:
    return f"{folder}/{first:016d}.idx"


def segments(folder: str) -> list[int]:
    """The first offsets of the segments that exist, ascending; nothing recorded: empty."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(int(name[:-4]) for name in names if name.endswith(".raw") and name[:-4].isdigit())
