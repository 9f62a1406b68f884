"""A stream of the synchronous client, read in a thread of its own and handed to the loop. No Textual."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator

from lite.api.client import Client

_AHEAD = 4  # pieces brought and not taken


class Following:
    """Begins at once. `stop` ends the thread, whatever it waits for."""

    def __init__(self, client: Client, read: Callable[[Client], Iterator[bytes]]) -> None:
        self._client = client
        self._read = read
        self._loop = asyncio.get_running_loop()
        self._brought: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self._room = threading.Semaphore(_AHEAD)
        self._stopped = False
        threading.Thread(target=self._run, name="following", daemon=True).start()

    def __repr__(self) -> str:
        return f"<Following {self._client!r}{' stopped' if self._stopped else ''}>"

    async def next(self) -> bytes | None:
        """The next piece, None at the end. Raises what the client raised."""
        found = await self._brought.get()
        self._room.release()
        if isinstance(found, Exception):
            raise found
        return found

    def stop(self) -> None:
        self._stopped = True
        self._client.abort()
        self._room.release()

    def _run(self) -> None:
        """In the thread."""
        end: Exception | None = None
        try:
            for piece in self._read(self._client):
                self._room.acquire()
                if self._stopped:
                    return
                self._put(piece)
        except Exception as error:
            end = error
        finally:
            self._client.close()
        self._put(end)

    def _put(self, item: bytes | Exception | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._brought.put_nowait, item)
