"""Lays the tasks of a run out as a graph: ranks from left to right, lines in the channels between them. Pure.

Nodes stand on even rows. `tui.graph_lines` routes what runs between two ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import ceil
from typing import NamedTuple

from tui.graph_lines import BEND, Cells, Channel, Edge

_SWEEPS = 6
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
class Layout:
    """Nodes are one row high, from `x` to `x + width`. Lines are drawn when they are asked for."""

    places: dict[str, Place]
    width: int = 0
    height: int = 0
    _bands: list[Band] = field(default_factory=list)  # from left to right, each beginning where the one before ends

    def cells(self, left: int = 0, right: int | None = None) -> Cells:
        """What is drawn between nodes, at least all of it in the columns from `left` to before `right`."""
        found: Cells = {}
        for band in self._bands:
            if band.end > left and (right is None or band.begin < right):
                found |= band.cells
        return found


class Band:
    """The lines from one rank to the next."""

    def __init__(self, begin: int, end: int, draw: Callable[[], Cells]) -> None:
        self.begin = begin
        self.end = end
        self._draw = draw

    @cached_property
    def cells(self) -> Cells:
        return self._draw()


def edges_of(nodes: Sequence[Node]) -> dict[Edge, bool]:
    """(from, to) -> is it only lane order. Left out: needs that are not there, and what would close a circle."""
    known = {node.id for node in nodes}
    wanted: dict[Edge, bool] = {}
    for node in nodes:
        for need in node.needs:
            if need in known and need != node.id:
                wanted[need, node.id] = False
        if node.after in known and node.after != node.id:
            wanted.setdefault((node.after, node.id), True)
    return _without_circles([node.id for node in nodes], wanted)


def _without_circles(ids: Sequence[str], wanted: Mapping[Edge, bool]) -> dict[Edge, bool]:
    following: dict[str, list[str]] = {each: [] for each in ids}
    for source, target in wanted:
        following[source].append(target)
    kept: dict[Edge, bool] = {}
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


def ranks_of(ids: Sequence[str], edges: Mapping[Edge, bool]) -> dict[str, int]:
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
    layout = _Layers(joined, edges).layout() if joined else Layout({})
    _add_alone(layout, alone)
    return layout


class _Layers:
    """Ranks of nodes and of the bends through which long edges pass."""

    def __init__(self, nodes: Sequence[Node], edges: Mapping[Edge, bool]) -> None:
        self._edges = edges
        self._widths = {node.id: node.width for node in nodes}
        ranks = ranks_of([node.id for node in nodes], edges)
        self._ranks: list[list[str]] = [[] for _ in range(max(ranks.values()) + 1)]
        for node in nodes:
            self._ranks[ranks[node.id]].append(node.id)
        # node or bend -> what follows in the next rank -> the edges that go there
        self._steps: dict[str, dict[str, list[Edge]]] = {}
        for source, target in edges:
            here = source
            for rank in range(ranks[source] + 1, ranks[target]):
                bend = f"{BEND}{rank} {source}"  # all edges of a source share their bends
                if bend not in self._widths:
                    self._widths[bend] = 0
                    self._ranks[rank].append(bend)
                self._steps.setdefault(here, {}).setdefault(bend, []).append((source, target))
                here = bend
            self._steps.setdefault(here, {}).setdefault(target, []).append((source, target))
        self._before: dict[str, list[str]] = {}
        for here, found in self._steps.items():
            for there in found:
                self._before.setdefault(there, []).append(here)

    def layout(self) -> Layout:
        self._order()
        rows = self._rows()
        places: dict[str, Place] = {}
        bands: list[Band] = []
        x, bottom = 0, max(rows.values())
        for number, rank in enumerate(self._ranks):
            places |= {each: Place(x, rows[each], number) for each in rank if each[0] != BEND}
            begin, x = x, x + max(self._widths[each] for each in rank)
            if number + 1 < len(self._ranks):
                steps = {here: self._steps[here] for here in rank if here in self._steps}
                starts = {here: begin + (self._widths[here] + 1 if here[0] != BEND else 0) for here in steps}
                ends = {there: int(there[0] != BEND) for there in self._ranks[number + 1]}
                channel = Channel(steps, rows, self._edges)
                bands.append(Band(begin, x + channel.width, partial(channel.draw, starts, x, ends)))
                x += channel.width
                bottom = max(bottom, channel.bottom)
        return Layout(places, x, bottom + 1, bands)

    def _neighbours(self, each: str, *, forward: bool) -> Iterable[str]:
        """Of the rank before, when going forward."""
        return self._before.get(each, ()) if forward else self._steps.get(each, ())

    def _swept(self) -> Iterable[tuple[int, bool]]:
        for sweep in range(_SWEEPS):
            forward = sweep % 2 == 0
            last = len(self._ranks)
            for number in range(1, last) if forward else range(last - 2, -1, -1):
                yield number, forward

    def _order(self) -> None:
        """Each rank by the mean position of its neighbours, to and fro."""
        at = {each: float(place) for rank in self._ranks for place, each in enumerate(rank)}
        for number, forward in self._swept():
            weights = {each: _mean([at[one] for one in self._neighbours(each, forward=forward)], at[each])
                       for each in self._ranks[number]}  # fmt: skip
            self._ranks[number].sort(key=weights.__getitem__)
            at.update({each: float(place) for place, each in enumerate(self._ranks[number])})

    def _rows(self) -> dict[str, int]:
        """As level with their neighbours as the order allows; no higher than the fullest rank."""
        tallest = max(len(rank) for rank in self._ranks)
        slots = {each: place + (tallest - len(rank)) / 2 for rank in self._ranks for place, each in enumerate(rank)}
        for number, forward in self._swept():
            rank = self._ranks[number]
            wished = [
                _mean([slots[one] for one in self._neighbours(each, forward=forward)], slots[each]) for each in rank
            ]
            slots.update(zip(rank, _spread(wished, tallest), strict=True))
        slots.update({each: slot for rank in self._ranks
                      for each, slot in zip(rank, _whole([slots[each] for each in rank]), strict=True)})  # fmt: skip
        return {each: 2 * int(slot) for each, slot in slots.items()}


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _spread(wished: Sequence[float], room: int) -> list[float]:
    """Places at least 1 apart, in order, from 0 to `room` - 1, as near to the wished as can be: those that are too
    close share out their distance (pool adjacent violators)."""
    pools: list[tuple[float, int]] = []  # mean of (wished - index), how many
    for index, wish in enumerate(wished):
        mean, many = wish - index, 1
        while pools and pools[-1][0] > mean:
            other, count = pools.pop()
            mean, many = (mean * many + other * count) / (many + count), many + count
        pools.append((mean, many))
    most = room - len(wished)
    free = [min(max(mean, 0.0), most) for mean, many in pools for _ in range(many)]
    return [each + index for index, each in enumerate(free)]


def _whole(places: Sequence[float]) -> list[int]:
    """Rounded, still 1 apart."""
    return [ceil(place - index - 0.5) + index for index, place in enumerate(places)]


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


def critical_path(durations: Mapping[str, int], edges: Mapping[Edge, bool]) -> frozenset[Edge]:
    """The edges of the chain whose durations (ms) sum up to the most; none when nothing has run yet."""
    known = {edge: lane for edge, lane in edges.items() if edge[0] in durations and edge[1] in durations}
    before: dict[str, list[str]] = {}
    for source, target in known:
        before.setdefault(target, []).append(source)
    ranks = ranks_of(list(durations), known)
    best: dict[str, tuple[int, str]] = {}
    for here in sorted(ranks, key=ranks.__getitem__):
        longest, source = max(((best[each][0], each) for each in before.get(here, ())), default=(0, ""))
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
