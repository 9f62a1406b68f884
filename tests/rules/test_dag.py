"""What a need's end means, and cycles."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lite.model.task import OnFailure, State
from lite.rules.dag import Consequence, combine, consequence, find_cycle

_needs = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from(list(State)), st.sampled_from(["skip", "fail", "continue"])),
    max_size=5,
    unique_by=lambda need: need[0],
)


@given(_needs)
def test_the_gravest_consequence_wins_and_names_its_need(needs: list[tuple[str, State, OnFailure]]) -> None:
    each = [(name, consequence(state, on_failure)) for name, state, on_failure in needs]
    kinds = [kind for _, kind in each]
    decided, cause = combine(needs)
    for grave in (Consequence.FAIL, Consequence.SKIP):
        if grave in kinds:
            assert (decided, cause) == (grave, each[kinds.index(grave)][0])
            return
    assert cause == ""
    assert decided is (Consequence.WAIT if Consequence.WAIT in kinds else Consequence.GO)


@given(st.sampled_from(list(State)), st.sampled_from(["skip", "fail", "continue"]))
def test_only_an_end_lets_go(state: State, on_failure: OnFailure) -> None:
    found = consequence(state, on_failure)
    assert (found is Consequence.WAIT) is (not state.terminal)
    if found is Consequence.GO:
        assert state is State.SUCCEEDED or on_failure == "continue"
    if found is Consequence.FAIL:
        assert (state, on_failure) == (State.FAILED, "fail")


_edges = st.dictionaries(st.integers(0, 7).map(str), st.lists(st.integers(0, 7).map(str), max_size=4), max_size=8)


@given(_edges)
def test_a_found_cycle_is_one_and_none_is_missed(edges: dict[str, list[str]]) -> None:
    path = find_cycle(edges)
    if path:
        assert path[0] == path[-1]
        assert len(set(path)) == len(path) - 1
        assert all(after in edges[before] for before, after in pairwise(path))
    else:
        left = {node: set(targets) & set(edges) for node, targets in edges.items()}
        while left:
            free = [node for node, targets in left.items() if not targets]
            assert free, "a cycle was missed"
            left = {node: targets - set(free) for node, targets in left.items() if node not in free}


def test_a_long_chain_needs_no_deep_stack() -> None:
    chain = {str(at): [str(at + 1)] for at in range(20_000)}
    assert find_cycle(chain) == ()
    assert len(find_cycle({**chain, "20000": ["0"]})) == 20_002
