"""The layout of a run's graph: nodes apart, ranks that respect needs, every edge to be followed from end to end."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from tui.graph import Layout, Node, beside, critical_path, edges_of, lay_out, ranks_of
from tui.graph_lines import EAST, NORTH, SOUTH, WEST

_STEPS = {NORTH: (0, -1, SOUTH), SOUTH: (0, 1, NORTH), EAST: (1, 0, WEST), WEST: (-1, 0, EAST)}


@st.composite
def plans(draw: st.DrawFn) -> list[Node]:
    """Needs may point anywhere: forward, to oneself, to what is not there, round in circles."""
    count = draw(st.integers(0, 14))
    ids = [f"t{at}" for at in range(count)]
    any_id = st.sampled_from([*ids, "gone"]) if ids else st.just("gone")
    return [
        Node(
            each,
            draw(st.integers(1, 20)),
            tuple(draw(st.lists(any_id, max_size=4))),
            draw(st.one_of(st.just(""), any_id)),
        )
        for each in ids
    ]


def text_of(layout: Layout, nodes: list[Node]) -> list[str]:
    rows = [[" "] * layout.width for _ in range(layout.height)]
    for (x, y), cell in layout.cells().items():
        rows[y][x] = cell.char
    for node in nodes:
        place = layout.places[node.id]
        for at, char in enumerate((node.id + "." * node.width)[: node.width]):
            rows[place.y][place.x + at] = char
    return ["".join(row).rstrip() for row in rows]


@given(plans())
def test_every_node_has_a_place_of_its_own(nodes: list[Node]) -> None:
    layout = lay_out(nodes)
    taken: set[tuple[int, int]] = set()
    for node in nodes:
        place = layout.places[node.id]
        cells = {(place.x + at, place.y) for at in range(node.width)}
        assert not cells & taken
        assert not cells & set(layout.cells())
        assert place.x + node.width <= layout.width
        assert place.y < layout.height
        taken |= cells


@given(plans())
def test_what_is_needed_stands_to_the_left(nodes: list[Node]) -> None:
    layout = lay_out(nodes)
    for source, target in edges_of(nodes):
        assert layout.places[source].rank < layout.places[target].rank
        assert layout.places[source].x < layout.places[target].x


@given(plans())
def test_every_edge_can_be_followed(nodes: list[Node]) -> None:
    layout = lay_out(nodes)
    cells = layout.cells()
    widths = {node.id: node.width for node in nodes}
    for source, target in edges_of(nodes):
        start = (layout.places[source].x + widths[source] + 1, layout.places[source].y)
        end = (layout.places[target].x - 2, layout.places[target].y)
        reached, ahead = {start}, [start]
        while ahead:
            x, y = ahead.pop()
            cell = cells[x, y]
            for way, (dx, dy, back) in _STEPS.items():
                there = (x + dx, y + dy)
                other = cells.get(there)
                joined = cell.mask & way and other is not None and other.mask & back
                if joined and other is not None and (source, target) in other.edges and there not in reached:
                    reached.add(there)
                    ahead.append(there)
        assert end in reached, (source, target, text_of(layout, nodes))


@given(plans())
def test_no_line_ends_in_nothing(nodes: list[Node]) -> None:
    """Each way out of a cell meets another cell or the blank before a node."""
    layout = lay_out(nodes)
    cells = layout.cells()
    for (x, y), cell in cells.items():
        for way, (dx, dy, back) in _STEPS.items():
            if cell.mask & way:
                assert cells[x + dx, y + dy].mask & back


@given(plans())
def test_circles_are_opened_and_the_rest_is_kept(nodes: list[Node]) -> None:
    edges = edges_of(nodes)
    ranks = ranks_of([node.id for node in nodes], edges)
    assert set(ranks) == {node.id for node in nodes}
    assert all(ranks[source] < ranks[target] for source, target in edges)


@given(plans())
def test_lines_of_strangers_only_cross(nodes: list[Node]) -> None:
    """What runs along one line has its source or its target in common, so that no line seems to lead elsewhere."""
    layout = lay_out(nodes)
    for at, cell in layout.cells().items():
        if cell.char in "─│┄┆" and not cell.crossing:
            sources, targets = {edge[0] for edge in cell.edges}, {edge[1] for edge in cell.edges}
            assert len(sources) == 1 or len(targets) == 1, (at, cell.edges, text_of(layout, nodes))


@given(plans())
def test_every_edge_can_be_read_from_the_characters(nodes: list[Node]) -> None:
    """As the eye does: out to the right, along what is joined, never back to the left, straight on over a crossing."""
    layout = lay_out(nodes)
    rows = text_of(layout, nodes)
    ways = {"│": 5, "─": 10, "┆": 5, "┄": 10}
    ways |= dict(zip("└┌├┘┴┐┤┬┼", (3, 6, 7, 9, 11, 12, 13, 14, 15), strict=True))
    cells = layout.cells()

    def joined(x: int, y: int, way: int) -> set[int]:
        """Where one may go on who comes in moving `way`."""
        char = rows[y][x] if x < len(rows[y]) else " "
        if char in "│┆" and way in (EAST, WEST) and cells[x, y].crossing:
            return {way}
        mask = ways.get(char, 0)
        return (
            {each for each in (NORTH, SOUTH, EAST) if mask & each} - {_STEPS[way][2]}
            if mask & _STEPS[way][2]
            else set()
        )

    for source, target in edges_of(nodes):
        width = next(node.width for node in nodes if node.id == source)
        begin = (layout.places[source].x + width + 1, layout.places[source].y)
        end = (layout.places[target].x - 2, layout.places[target].y)
        seen: set[tuple[int, int, int]] = set()
        ahead = [(*begin, EAST)]
        while ahead:
            x, y, way = ahead.pop()
            mask = ways.get(rows[y][x], 0) if (x, y, way) == (*begin, EAST) else 0
            for each in joined(x, y, way) | ({EAST} & {mask & EAST}):
                dx, dy, _ = _STEPS[each]
                there = (x + dx, y + dy, each)
                if there not in seen and (x + dx, y + dy) in cells:
                    seen.add(there)
                    ahead.append(there)
        assert any((x, y) == end for x, y, _ in seen), (source, target, rows)


def test_a_small_plan_looks_as_one_draws_it() -> None:
    nodes = [Node("a", 1), Node("b", 1, ("a",)), Node("c", 1, ("a",)), Node("d", 1, ("b", "c")), Node("x", 1)]
    assert text_of(lay_out(nodes), nodes) == [
        "a ─┬── b ─┬── d",
        "   │      │",
        "   └── c ─┘",
        "",
        "x",
    ]


def test_sources_whose_lines_would_lie_on_each_other_give_way() -> None:
    """Each stands where the other must go: one leaves for the free row below."""
    nodes = [Node("a", 1), Node("b", 1), Node("c", 1, ("a", "b")), Node("d", 1, ("a", "b"))]
    assert text_of(lay_out(nodes), nodes) == [
        "a ─┬─┬──── c",
        "   └─│─┐",
        "b ───┴─┴── d",
    ]


def test_lane_order_is_dotted_and_need_wins() -> None:
    nodes = [Node("a", 1), Node("b", 1, (), "a"), Node("c", 1, ("b",), "b")]
    assert edges_of(nodes) == {("a", "b"): True, ("b", "c"): False}
    layout = lay_out(nodes)
    assert "┄" in text_of(layout, nodes)[0]


def test_three_hundred_nodes_are_quick() -> None:
    nodes = [Node(f"t{at}", 12, tuple(f"t{at - back}" for back in (1, 7, 20) if at >= back)) for at in range(300)]
    dense = [Node(f"d{at}", 12, tuple(f"d{need}" for need in range(150)) if at >= 150 else ()) for at in range(300)]
    wide = [Node(f"w{at}", 12, (f"w{at % 10}",) if at >= 10 else ()) for at in range(300)]
    begun = time.process_time()
    lay_out(nodes)
    lay_out(wide)
    lay_out(dense).cells()
    assert time.process_time() - begun < 5  # it takes 0.4 s here; only an accident of squares is to be caught


def test_tasks_without_edges_do_not_make_one_endless_column() -> None:
    layout = lay_out([Node(f"t{at}", 10) for at in range(100)])
    assert layout.height <= 15


def test_the_cursor_goes_to_what_is_near() -> None:
    layout = lay_out([Node("a", 1), Node("b", 1, ("a",)), Node("c", 1, ("a",)), Node("d", 1, ("b", "c"))])
    upper, lower = sorted("bc", key=lambda each: layout.places[each].y)
    assert beside(layout, "a", 1, 0) in "bc"
    assert beside(layout, upper, 0, 1) in (lower, "a", "d")
    assert beside(layout, "d", -1, 0) in "bc"
    assert beside(layout, "d", 1, 0) == "d"
    assert beside(layout, "gone", 1, 0) == "a"
    assert beside(lay_out([]), "", 1, 0) == ""


def test_the_critical_path_is_the_longest_chain() -> None:
    edges = {("a", "b"): False, ("a", "c"): False, ("b", "d"): False, ("c", "d"): False}
    assert critical_path({"a": 1, "b": 9, "c": 2, "d": 1}, edges) == {("a", "b"), ("b", "d")}
    assert critical_path({}, edges) == frozenset()
