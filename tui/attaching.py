"""Full attach from the dashboard: the terminal is lent to the raw pump, which runs in a thread of its own.

The loop goes on folding the feed meanwhile, so that the bar at the bottom and the window's title stay true.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lite.errors import SessionRefused
from lite.terminal.keys import DetachKey
from lite.terminal.pump import Ending, Pump
from lite.terminal.sanitize import safe
from lite.terminal.wake import Wake, relayed
from tui.cells import Piece
from tui.widgets.header import bar_pieces, summary

if TYPE_CHECKING:
    from tui.app import Dashboard
    from tui.gateway import Gateway
    from tui.state import Fleet, TaskView


async def attach(app: Dashboard, gateway: Gateway, task: TaskView, detach_key: str) -> str:
    """Give the terminal to the task's session until it is left; what there is to tell about the end. Raises
    `SessionRefused` and what the gateway raises."""
    offer = await gateway.attach(task.session or task.id, control=True)
    if not offer["address"]:
        raise SessionRefused("this session's terminal is not on this machine", hint=f"qd logs {task.id} follows it")
    sock = _connected(offer["address"])
    name = safe(task.name or task.id[:8])
    with sock, Wake() as wake, app.lent(), relayed(wake), app.watched(wake.redraw):
        pump = Pump(
            sock,
            stdin=sys.__stdin__.fileno() if sys.__stdin__ else 0,
            stdout=sys.__stderr__.fileno() if sys.__stderr__ else 2,  # where Textual draws
            key=DetachKey(detach_key),
            control=True,
            wake=wake,
            bar=lambda cols: _bar(app, name, detach_key, cols),
            caption=lambda: caption(app.fleet, name),
        )
        ending = await _ended(pump, wake)
    return _told(app, ending, name)


async def _ended(pump: Pump, wake: Wake) -> Ending:
    """Cancelled, it stops the pump first: Textual must not resume under a live one."""
    running = asyncio.get_running_loop().run_in_executor(None, pump.run)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        wake.stop()
        await asyncio.wait([running])
        raise


def caption(fleet: Fleet, name: str) -> str:
    """The window's title: who waits for a person, else where one is."""
    waiting = [safe(task.name or task.id[:8]) for task in fleet.tasks.values() if task.asks]
    if not waiting:
        return f"qd: {name}"
    more = f" +{len(waiting) - 1}" if len(waiting) > 1 else ""
    return f"qd: {name} | {waiting[0]}{more} waits"


def _bar(app: Dashboard, name: str, detach_key: str, cols: int) -> str:
    """As text and SGR."""
    lead = f" {name}  {detach_key} leaves  "
    pieces = bar_pieces(app.fleet, summary(app.fleet), max(0, cols - len(lead)), app.now())
    return f"\x1b[7m{lead}\x1b[0m" + "".join(_coloured(piece, app.theme_variables) for piece in pieces)


def _coloured(piece: Piece, colours: Mapping[str, str]) -> str:
    colour = colours.get(piece.role, "")
    if not colour.startswith("#") or len(colour) != 7:
        return piece.text
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"\x1b[38;2;{red};{green};{blue}m{piece.text}\x1b[39m"


def _connected(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(address.removeprefix("unix:"))
    except OSError as error:
        sock.close()
        raise SessionRefused(f"the session does not answer: {error.strerror}", hint="qd doctor") from error
    return sock


def _told(app: Dashboard, ending: Ending, name: str) -> str:
    if ending.how == "signal":
        app.exit(return_code=128 + ending.signum)
        return ""
    if ending.how == "refused":
        raise SessionRefused(ending.text or "the session refused")
    if ending.how == "lost":
        raise SessionRefused("the connection to the session was lost", hint="explain (e) tells what became of it")
    return f"{name} has ended{_outcome(ending.text)}" if ending.how == "ended" else ""


def _outcome(text: str) -> str:
    try:
        told = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(told, dict):
        return ""
    if told.get("signal"):
        return f": killed by signal {told['signal']}"
    return f": exit code {told['exit_code']}" if isinstance(told.get("exit_code"), int) else ""
