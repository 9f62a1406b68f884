"""Lays the tasks of a run out as a graph and draws its edges: ranks from left to right. Pure.

Edges run in the channels between ranks, each source on a column of its own, so that lines of different sources only
cross. A cell of an edge is a mask of the four ways it leaves the cell; the characters follow from the masks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

NORTH, EAST, SOUTH, WEST = 1, 2, 4, 8
_SOLID = " │─└││┌├─┘─┴┐┤┬┼"
_DOTTED = {NORTH: "┆", SOUTH: "┆", NORTH | SOUTH: "┆", EAST: "┄", WEST: "┄", EAST | WEST: "┄"}
_SWEEPS = 4
_ISOLATED_WIDTH = 100  # cells that tasks without any edge may fill before the next line
MOST_NODES = 600


class Node(NamedTuple):
    """`width`: cells of its label. `needs` and `after` (the one before it in its lane): ids."""

    id: str
    width: int
    needs: tuple[str, ...] = ()
    after: str = ""


class Place(NamedTuple):
    x: int
    y: int
    rank: int


@dataclass
class Cell:
    """`dotted`: only lane order passes here. `edges`: (from, to) of all that pass."""

    mask: int = 0
    dotted: bool = True
    edges: set[tuple[str, str]] = field(default_factory=set)

    @property
    def char(self) -> str:
        if self.dotted and self.mask in _DOTTED:
            return _DOTTED[self.mask]
        return _SOLID[self.mask]


@dataclass
class Layout:
    """Nodes are one row high, from `x` to `x + width`; `cells` holds what is drawn between them."""

    places: dict[str, Place]
    cells: dict[tuple[int, int], Cell]
    width: int
    height: int


def edges_of(nodes: Sequence[Node]) -> dict[tuple[str, str], bool]:
    """(from, to) -> is it only lane order. Left out: needs that are not there, and what would close a circle."""
    known = {node.id for node in nodes}
    wanted: dict[tuple[str, str], bool] = {}
    for node in nodes:
        for need in node.needs:
            if need in known and need != node.id:
                wanted[need, node.id] = False
        if node.after in known and node.after != node.id:
            wanted.setdefault((node.after, node.id), True)
    return _without_circles([node.id for node in nodes], wanted)


def _without_circles(ids: Sequence[str], wanted: Mapping[tuple[str, str], bool]) -> dict[tuple[str, str], bool]:
    following: dict[str, list[str]] = {each: [] for each in ids}
    for source, target in wanted:
        following[source].append(target)
    kept: dict[tuple[str, str], bool] = {}
    state: dict[str, int] = {}  # 1: on the way, 2: done
    for root in ids:
        if root in state:
            continue
        state[root] = 1
        way = [(root, iter(following[root]))]
        while way:
            here, rest = way[-1]
            there = next(rest, None)
            if there is None:
                state[here] = 2
                way.pop()
            elif state.get(there) != 1:
                kept[here, there] = wanted[here, there]
                if there not in state:
                    state[there] = 1
                    way.append((there, iter(following[there])))
    return kept


def ranks_of(ids: Sequence[str], edges: Mapping[tuple[str, str], bool]) -> dict[str, int]:
    """The longest way to each node, in edges."""
    before: dict[str, list[str]] = {each: [] for each in ids}
    following: dict[str, list[str]] = {each: [] for each in ids}
    for source, target in edges:
        before[target].append(source)
        following[source].append(target)
    left = {each: len(before[each]) for each in ids}
    ranks = {each: 0 for each in ids if not left[each]}
    ready = list(ranks)
    for here in ready:
        for there in following[here]:
            ranks[there] = max(ranks.get(there, 0), ranks[here] + 1)
            left[there] -= 1
            if not left[there]:
                ready.append(there)
    return ranks


def lay_out(nodes: Sequence[Node]) -> Layout:
    edges = edges_of(nodes)
    touched = {end for edge in edges for end in edge}
    joined = [node for node in nodes if node.id in touched]
    alone = [node for node in nodes if node.id not in touched]
    layout = _Layers(joined, edges).layout() if joined else Layout({}, {}, 0, 0)
    _add_alone(layout, alone)
    return layout


class _Layers:
    """Ranks of nodes and of the bends through which long edges pass."""

    def __init__(self, nodes: Sequence[Node], edges: Mapping[tuple[str, str], bool]) -> None:
        self._edges = edges
        self._widths = {node.id: node.width for node in nodes}
        ranks = ranks_of([node.id for node in nodes], edges)
        self._ranks: list[list[str]] = [[] for _ in range(max(ranks.values()) + 1)]
        for node in nodes:
            self._ranks[ranks[node.id]].append(node.id)
        # edge -> the nodes and bends it runs through, one a rank
        self._ways: dict[tuple[str, str], list[str]] = {}
        for source, target in edges:
            way = [source]
            for rank in range(ranks[source] + 1, ranks[target]):
                bend = f"\x00{source}\x00{rank}"  # all edges of a source share their bends
                if bend not in self._widths:
                    self._widths[bend] = 0
                    self._ranks[rank].append(bend)
                way.append(bend)
            self._ways[source, target] = [*way, target]
        # rank -> node or bend -> where its edges go on to
        self._steps: list[dict[str, list[tuple[str, tuple[str, str]]]]] = [{} for _ in self._ranks]
        for edge, way in self._ways.items():
            for rank, (here, there) in enumerate(pairwise(way), ranks[edge[0]]):
                self._steps[rank].setdefault(here, []).append((there, edge))
        self._order()

    def _order(self) -> None:
        """Each rank by the mean position of its neighbours, to and fro."""
        links: dict[str, set[str]] = {each: set() for each in self._widths}
        for way in self._ways.values():
            for here, there in pairwise(way):
                links[here].add(there)
                links[there].add(here)
        for sweep in range(_SWEEPS):
            numbers = range(1, len(self._ranks)) if sweep % 2 == 0 else range(len(self._ranks) - 2, -1, -1)
            for number in numbers:
                beside = self._ranks[number - 1 if sweep % 2 == 0 else number + 1]
                self._ranks[number] = _by_neighbours(self._ranks[number], beside, links)

    def layout(self) -> Layout:
        ys: dict[str, int] = {}
        tallest = max(len(rank) for rank in self._ranks)
        for rank in self._ranks:
            spare = tallest - len(rank)
            for place, each in enumerate(rank):
                ys[each] = 2 * place + spare  # in the middle of the tallest
        places: dict[str, Place] = {}
        cells: dict[tuple[int, int], Cell] = {}
        x = 0
        for number, rank in enumerate(self._ranks):
            width = max(self._widths[each] for each in rank)
            for each in rank:
                if not each.startswith("\x00"):
                    places[each] = Place(x, ys[each], number)
            if number + 1 < len(self._ranks):
                x = self._channel(cells, number, x, width, ys)
            else:
                x += width
        height = max(ys.values()) + 1
        return Layout(places, cells, x, height)

    def _channel(
        self, cells: dict[tuple[int, int], Cell], number: int, x: int, width: int, ys: Mapping[str, int]
    ) -> int:
        """Draw what runs from this rank to the next; the column where that begins."""
        steps = self._steps[number]
        bent = [here for here in self._ranks[number] if any(ys[there] != ys[here] for there, _ in steps.get(here, ()))]
        column = {here: x + width + 2 + 2 * place for place, here in enumerate(bent)}
        end = x + width + 2 * len(bent) + 5
        for here, found in steps.items():
            start = x + self._widths[here] + (1 if self._widths[here] else 0)
            for there, edge in found:
                dotted = self._edges[edge]
                last = end - (2 if self._widths[there] else 0)  # a bend's line runs on through its rank
                if ys[there] == ys[here]:
                    _horizontal(cells, start, last, ys[here], edge, dotted)
                    continue
                turn = column[here]
                _horizontal(cells, start, turn, ys[here], edge, dotted)
                _vertical(cells, turn, ys[here], ys[there], edge, dotted)
                _horizontal(cells, turn, last, ys[there], edge, dotted)
        return end


def _by_neighbours(rank: Sequence[str], beside: Sequence[str], links: Mapping[str, set[str]]) -> list[str]:
    at = {each: place for place, each in enumerate(beside)}
    weights: dict[str, float] = {}
    for place, each in enumerate(rank):
        found = [at[other] for other in links[each] if other in at]
        weights[each] = sum(found) / len(found) if found else place
    return sorted(rank, key=weights.__getitem__)


def _mark(cells: dict[tuple[int, int], Cell], x: int, y: int, ways: int, edge: tuple[str, str], dotted: bool) -> None:
    cell = cells.setdefault((x, y), Cell())
    cell.mask |= ways
    cell.dotted = cell.dotted and dotted
    cell.edges.add(edge)


def _horizontal(
    cells: dict[tuple[int, int], Cell], x1: int, x2: int, y: int, edge: tuple[str, str], dotted: bool
) -> None:
    for x in range(x1, x2 + 1):
        ways = (EAST if x < x2 else 0) | (WEST if x > x1 else 0)
        if ways:
            _mark(cells, x, y, ways, edge, dotted)


def _vertical(
    cells: dict[tuple[int, int], Cell], x: int, y1: int, y2: int, edge: tuple[str, str], dotted: bool
) -> None:
    top, bottom = min(y1, y2), max(y1, y2)
    for y in range(top, bottom + 1):
        _mark(cells, x, y, (SOUTH if y < bottom else 0) | (NORTH if y > top else 0), edge, dotted)


def _add_alone(layout: Layout, nodes: Sequence[Node]) -> None:
    """Tasks that neither need nor are needed: in columns below the rest."""
    if not nodes:
        return
    width = max(node.width for node in nodes) + 2
    columns = max(1, max(_ISOLATED_WIDTH, layout.width) // width)
    top = layout.height + 1 if layout.places else 0
    for number, node in enumerate(nodes):
        layout.places[node.id] = Place((number % columns) * width, top + number // columns, 0)
    layout.width = max(layout.width, min(columns, len(nodes)) * width)
    layout.height = top + (len(nodes) - 1) // columns + 1


def critical_path(durations: Mapping[str, int], edges: Mapping[tuple[str, str], bool]) -> frozenset[tuple[str, str]]:
    """The edges of the chain whose durations (ms) sum up to the most; none when nothing has run yet."""
    ids = list(durations)
    known = {edge: lane for edge, lane in edges.items() if edge[0] in durations and edge[1] in durations}
    ranks = ranks_of(ids, known)
    best: dict[str, tuple[int, str]] = {}
    for here in sorted(ids, key=lambda each: ranks.get(each, 0)):
        chains = [(best[source][0], source) for source, target in known if target == here and source in best]
        longest, source = max(chains, default=(0, ""))
        best[here] = (longest + durations[here], source)
    here = max(best, key=lambda each: best[each][0], default="")
    found = set()
    while here and best[here][1]:
        found.add((best[here][1], here))
        here = best[here][1]
    return frozenset(found)


def beside(layout: Layout, here: str, dx: int, dy: int) -> str:
    """The nearest node in a direction; `here` itself when there is none."""
    at = layout.places.get(here)
    if at is None:
        return next(iter(layout.places), "")
    best, found = 1 << 30, here
    for each, place in layout.places.items():
        along = (place.x - at.x) * dx + (place.y - at.y) * dy * 4
        across = abs(place.y - at.y) * 4 if dx else abs(place.x - at.x)
        if along > 0 and each != here and 2 * along + across < best:
            best, found = 2 * along + across, each
    return found
