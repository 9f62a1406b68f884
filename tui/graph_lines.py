"""What runs between two ranks of a graph, in lines of box characters. Pure.

Each source is one net: from it to a column of its own, up and down that column, and on from there along the rows of its
targets. Nets lie on one another only behind the point where they join on the way into a common target; everywhere else
they cross, and a crossing is drawn as the vertical line alone: `\u2500\u2502\u2500` crosses, `\u253c` joins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush

Edge = tuple[str, str]
NORTH, EAST, SOUTH, WEST = 1, 2, 4, 8
BEND = "\0"  # begins the names of the points where an edge passes a rank
_UPRIGHT, _LEVEL = NORTH | SOUTH, EAST | WEST
_SOLID = " ╵─└╷│┌├─┘─┴┐┤┬┼"  # by mask; a line that begins or ends sideways fills its cell
_DOTTED = {_UPRIGHT: "\u2506", _LEVEL: "\u2504"}
_BEFORE, _BEHIND = 2, 3  # cells between a rank and the first column, and from the last to the next rank


class Cell:
    """`mask`: the ways a line leaves it. `dotted`: only lane order passes here. `edges`: all that pass."""

    __slots__ = ("dotted", "mask", "nets")

    def __init__(self) -> None:
        self.mask = 0
        self.dotted = True
        self.nets: dict[str, tuple[int, frozenset[Edge]]] = {}

    @property
    def crossing(self) -> bool:
        """Two lines pass each other here, without touching."""
        return self.mask == _UPRIGHT | _LEVEL and all(
            not (mask & _UPRIGHT and mask & _LEVEL) for mask, _ in self.nets.values()
        )

    @property
    def char(self) -> str:
        mask = _UPRIGHT if self.crossing else self.mask
        return _DOTTED[mask] if self.dotted and mask in _DOTTED else _SOLID[mask]

    @property
    def edges(self) -> frozenset[Edge]:
        return frozenset().union(*(edges for _, edges in self.nets.values()))

    @property
    def shown(self) -> frozenset[Edge]:
        """The edges whose line is seen here: at a crossing the vertical one hides the other."""
        if self.crossing:
            return frozenset().union(*(edges for mask, edges in self.nets.values() if mask & _UPRIGHT))
        return self.edges


Cells = dict[tuple[int, int], Cell]


class Channel:
    """`steps`: source -> target in the next rank -> the edges; `rows`: the row of each, even; `lanes`: edge -> is it
    only lane order. `width`: the cells it takes between the ranks."""

    def __init__(
        self, steps: Mapping[str, Mapping[str, Sequence[Edge]]], rows: Mapping[str, int], lanes: Mapping[Edge, bool]
    ) -> None:
        self._steps = steps
        self._rows = rows
        self._lanes = lanes
        self._bent = {here for here, found in steps.items() if any(rows[there] != rows[here] for there in found)}
        self._dropped: set[str] = set()  # sources that leave their row at once, for the free one below
        self._columns = self._assigned()
        self._first = _BEFORE + (2 if self._dropped else 0)
        count = max(self._columns.values(), default=-1) + 1
        self.width = self._first + max(0, 2 * count - 1) + _BEHIND

    def _assigned(self) -> dict[str, int]:
        """The column of each source that needs one, as few as can be.

        On a row where a source starts and a target of others ends, the source must turn off before they come in. Where
        such demands go round in a circle, a source that is in it drops to the row below, which nobody else uses.
        """
        starts = {self._rows[here]: here for here in self._steps}
        after: dict[str, set[str]] = {here: set() for here in self._bent}
        for here, found in self._steps.items():
            for there in found:
                other = starts.get(self._rows[there])
                if other is not None and other != here and other in self._bent and here in self._bent:
                    after[other].add(here)
        left = dict.fromkeys(self._bent, 0)
        for others in after.values():
            for other in others:
                left[other] += 1
        least = dict.fromkeys(self._bent, 0)
        taken: list[list[tuple[int, int]]] = []
        columns: dict[str, int] = {}
        ready = [(self._rows[here], here) for here in self._bent if not left[here]]
        heapify(ready)
        waiting = sorted(self._bent, key=lambda here: (-len(after[here]), self._rows[here]))

        def released(here: str, column: int) -> None:
            for other in after.pop(here):
                least[other] = max(least[other], column)
                left[other] -= 1
                if not left[other] and other not in columns:
                    heappush(ready, (self._rows[other], other))

        while len(columns) < len(self._bent):
            if not ready:
                here = next(each for each in waiting if each not in columns and each in after and after[each])
                self._dropped.add(here)
                released(here, 0)
                continue
            _, here = heappop(ready)
            columns[here] = self._fit(taken, least[here], self._span(here))
            if here in after:
                released(here, columns[here] + 1)
        return columns

    def _span(self, here: str) -> tuple[int, int]:
        rows = [self._rows[there] for there in self._steps[here]]
        trunk = self._trunk(here)
        return min(*rows, trunk), max(*rows, trunk)

    def _trunk(self, here: str) -> int:
        return self._rows[here] + (1 if here in self._dropped else 0)

    @staticmethod
    def _fit(taken: list[list[tuple[int, int]]], least: int, span: tuple[int, int]) -> int:
        column = least
        while column < len(taken) and any(top <= span[1] and span[0] <= bottom for top, bottom in taken[column]):
            column += 1
        while column >= len(taken):
            taken.append([])
        taken[column].append(span)
        return column

    @property
    def bottom(self) -> int:
        """The lowest row drawn in."""
        return max((self._span(here)[1] for here in self._steps), default=0)

    def draw(self, starts: Mapping[str, int], x: int, ends: Mapping[str, int]) -> Cells:
        """`starts`: where the line of each source begins; `x`: where the channel does; `ends`: cells to leave blank
        before each target; none where the line goes on."""
        cells: Cells = {}
        arrivals: dict[str, list[tuple[int, frozenset[Edge]]]] = {}  # target -> where lines come into its row
        for here, found in self._steps.items():
            edges = {there: frozenset(those) for there, those in found.items()}
            net = _Pen(cells, here, self._lanes)
            if here[0] == BEND:
                net.goes_on(starts[here], self._rows[here], WEST, _all(edges.values()))
            for there in found:
                if self._rows[there] == self._rows[here]:
                    arrivals.setdefault(there, []).append((starts[here], edges[there]))
            if here in self._bent:
                turn = x + self._first + 2 * self._columns[here]
                self._turn(net, here, edges, starts[here], turn, x + _BEFORE)
                for there in found:
                    if self._rows[there] != self._rows[here]:
                        net.goes_on(turn, self._rows[there], EAST, edges[there])
                        arrivals.setdefault(there, []).append((turn, edges[there]))
        for there, comers in arrivals.items():
            self._arrive(_Pen(cells, f"{BEND}{there}", self._lanes), there, comers, x + self.width - 1 - ends[there])
        return cells

    def _turn(
        self, net: _Pen, here: str, edges: Mapping[str, frozenset[Edge]], start: int, turn: int, drop: int
    ) -> None:
        """From a source to its column, and up and down that."""
        y, trunk = self._rows[here], self._trunk(here)
        away = {there: those for there, those in edges.items() if self._rows[there] != y}
        if trunk == y:
            net.level(start, turn, y, _all(away.values()))
        else:
            net.level(start, drop, y, _all(away.values()))
            net.upright(drop, y, trunk, _all(away.values()))
            net.level(drop, turn, trunk, _all(away.values()))
        for going in (
            sorted((there for there in away if self._rows[there] > trunk), key=self._rows.__getitem__, reverse=True),
            sorted((there for there in away if self._rows[there] < trunk), key=self._rows.__getitem__),
        ):
            beyond: frozenset[Edge] = frozenset()
            nearer = [*(self._rows[there] for there in going[1:]), trunk]
            for there, row in zip(going, nearer, strict=False):  # the farthest first
                beyond |= away[there]
                net.upright(turn, row, self._rows[there], beyond)

    def _arrive(self, net: _Pen, there: str, comers: list[tuple[int, frozenset[Edge]]], last: int) -> None:
        """One line into a target, which all who need it join one by one."""
        comers.sort(key=lambda comer: comer[0])
        so_far: frozenset[Edge] = frozenset()
        for (x, edges), (until, _) in zip(comers, [*comers[1:], (last, frozenset())], strict=True):
            so_far |= edges
            net.level(x, until, self._rows[there], so_far)
        if there[0] == BEND:
            net.goes_on(last, self._rows[there], EAST, so_far)


def _all(parts: Iterable[frozenset[Edge]]) -> frozenset[Edge]:
    return frozenset().union(*parts)


class _Pen:
    """Draws one net."""

    def __init__(self, cells: Cells, name: str, lanes: Mapping[Edge, bool]) -> None:
        self._cells = cells
        self._name = name
        self._lanes = lanes

    def level(self, x1: int, x2: int, y: int, edges: frozenset[Edge]) -> None:
        dotted = all(self._lanes[edge] for edge in edges)
        for x in range(x1, x2 + 1):
            self._mark(x, y, (EAST if x < x2 else 0) | (WEST if x > x1 else 0), edges, dotted)

    def upright(self, x: int, y1: int, y2: int, edges: frozenset[Edge]) -> None:
        dotted = all(self._lanes[edge] for edge in edges)
        top, bottom = min(y1, y2), max(y1, y2)
        for y in range(top, bottom + 1):
            self._mark(x, y, (SOUTH if y < bottom else 0) | (NORTH if y > top else 0), edges, dotted)

    def goes_on(self, x: int, y: int, way: int, edges: frozenset[Edge]) -> None:
        """In the channel beside this one."""
        self._mark(x, y, way, edges, all(self._lanes[edge] for edge in edges))

    def _mark(self, x: int, y: int, ways: int, edges: frozenset[Edge], dotted: bool) -> None:
        if not ways:
            return
        cell = self._cells.get((x, y))
        if cell is None:
            cell = self._cells[x, y] = Cell()
        mask, known = cell.nets.get(self._name, (0, frozenset()))
        cell.nets[self._name] = (mask | ways, edges if not known or known <= edges else known | edges)
        cell.mask |= ways
        cell.dotted = cell.dotted and dotted
