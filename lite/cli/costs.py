"""`costs`: what agents used."""

from __future__ import annotations

import time

from lite.cli.commands import Command
from lite.cli.quantities import duration_ms
from lite.cli.tables import Cell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from lite.api.messages import CostJson
    from lite.cli.context import Context

_BY = ("agent", "run", "day", "task", "model")
_NOBODY = {"run": "(no run)", "model": "(unknown)"}


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("--by", choices=_BY, default="agent", help="one line for each of these (default agent)")
    parser.add_argument("--since", metavar="7d", help="what ended within this time; all when left out")


def _costs(context: Context, arguments: Namespace) -> int:
    since = 0
    if arguments.since is not None:
        since = max(0, round(time.time() * 1000) - duration_ms(arguments.since, "--since"))
    found = context.client().costs(arguments.by, since)
    if context.json:
        context.emit(found)
        return 0
    if not found["costs"]:
        context.note("no agent has ended an attempt" + (" in that time" if since else " yet"))
        return 0
    lines = sorted(found["costs"], key=lambda one: one["key"] if arguments.by == "day" else "")
    rows = [_row(one, one["name"] or _NOBODY.get(arguments.by, "")) for one in lines]
    if len(rows) > 1:
        rows.append(_row(found["total"], "total"))
    head = [arguments.by.upper(), "ATTEMPTS", "IN", "CACHED", "OUT", "REPORTED", "ESTIMATED", "UNKNOWN"]
    context.table(head, rows, spare=("CACHED",), whole=1)
    return 0


def _row(cost: CostJson, name: str) -> list[Cell | str]:
    return [
        name,
        str(cost["attempts"]),
        _count(cost["tokens_in"]),
        _count(cost["tokens_cached"]),
        _count(cost["tokens_out"]),
        _usd(cost["reported_usd"]),
        Cell(_usd(cost["estimated_usd"]), "yellow"),
        Cell(_unknown(cost), "yellow"),
    ]


def _unknown(cost: CostJson) -> str:
    """How many attempts the sums leave out."""
    parts = [f"tokens of {cost['uncounted']}"] if cost["uncounted"] else []
    parts += [f"cost of {cost['unpriced']}"] if cost["unpriced"] else []
    return ", ".join(parts)


def _usd(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.4f}" if amount else ""


def _count(tokens: int) -> str:
    if tokens >= 1_000_000:
        return f"{tokens / 1_000_000:.1f}M"
    return f"{tokens / 1_000:.1f}k" if tokens >= 10_000 else str(tokens) if tokens else ""


COMMANDS = {
    "costs": Command(
        _options,
        _costs,
        """
qd costs                      by agent: what agents reported, what list prices say, what nobody knows
qd costs --by run --since 7d  by run, of the last seven days
qd costs --by day --json      by day (UTC), for other programs""",
    ),
}
