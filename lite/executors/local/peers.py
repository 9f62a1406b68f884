"""Who is at the other end of a Unix socket. The folder's mode is the real guard; this is the second."""

from __future__ import annotations

import os
import socket
import struct


def same_user(sock: socket.socket) -> bool:
    """Is the peer a process of this user? Where the kernel does not tell, the folder's mode has decided."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return bool(struct.unpack("3i", credentials)[1] == os.getuid())


def listen(path: str) -> socket.socket:
    """A non-blocking listener at `path`, for this user only; a dead one's socket file is replaced."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        umask = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(umask)
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
