"""Lines and columns hold for every width, count and text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui import tally
from tui.cells import clip, fit, line
from tui.state import Activity, Asked, Fleet, RunView, TaskView
from tui.widgets import fleet_lines
from tui.widgets.fleet_lines import Extent

NOW = 1_700_000_000_000
WORDS = (*tally.URGENCY, "unknown")
counts = st.dictionaries(st.sampled_from(WORDS), st.integers(1, 5_000))
texts = st.text(max_size=60)
moments = st.none() | st.integers(NOW - 10**9, NOW)


@given(counts, st.integers(1, 40))
def test_progress_fills_its_cells_and_hides_nobody(found: dict[str, int], cells: int) -> None:
    bar = fleet_lines.progress(found, cells)
    assert sum(cell_len(piece.text) for piece in bar) == cells
    if found and cells >= len(found):
        assert len(bar) == len(found)


@given(st.integers(0, 250), st.builds(Extent, *[st.integers(0, 600)] * 4))
def test_columns_never_exceed_the_line(width: int, longest: Extent) -> None:
    cols = fleet_lines.columns(width, longest)
    gaps = sum(1 for cells in (cols.agent, cols.lane, cols.worker, cols.age, cols.why) if cells)
    used = 4 + cols.indent + cols.name + cols.why + cols.agent + cols.lane + cols.worker + cols.age + gaps
    assert used <= max(width, 4)


tasks = st.builds(
    TaskView,
    id=st.text("abc", min_size=1, max_size=3),
    name=texts,
    agent=texts,
    state=st.sampled_from(["queued", "running", "succeeded", "failed", "cancelled", "skipped", "paused"]),
    reason=texts,
    detail=texts,
    cancel=st.sampled_from(["", "user"]),
    activity=st.builds(
        Activity,
        word=st.sampled_from(["", "working", "waiting", "idle", "unknown"]),
        since=st.integers(0, NOW),
        text=texts,
    ),
    waiting=st.none() | st.builds(Asked, st.just("q"), st.just("question"), texts, st.just("h"), st.integers(0, NOW)),
    run_at=st.none() | st.integers(NOW - 10**6, NOW + 10**8),
    started_at=moments,
    ended_at=moments,
)


@given(tasks, st.integers(8, 200))
def test_a_task_fills_its_line_harmlessly_and_expires_later(task: TaskView, width: int) -> None:
    longest = fleet_lines.extent([task], workers=[task.worker])
    cols = fleet_lines.columns(width, longest)
    made = fleet_lines.task_line(task, fleet_lines.why_of(task, Fleet(), {}), cols, NOW)
    text = "".join(piece.text for piece in made.pieces)
    assert cell_len(text) <= max(width, 4 + cols.indent + cols.name)
    assert not any(char in text for char in "\x1b\u202e\u200b\n\r")
    assert made.expires is None or made.expires > NOW


@given(texts, counts, st.integers(1, 200), st.booleans())
def test_a_heading_fits_its_line(name: str, found: dict[str, int], width: int, folded: bool) -> None:
    made = fleet_lines.run_line(RunView("r", name, created_at=NOW - 5_000), found, width, NOW, folded=folded)
    assert cell_len("".join(piece.text for piece in made.pieces)) <= max(width, 3)


@given(st.text(max_size=80), st.integers(0, 40))
def test_text_is_cut_to_cells(text: str, width: int) -> None:
    clean = line(text)
    assert cell_len(clip(clean, width)) <= width
    assert cell_len(fit(clean, width)) == width


def test_heaps_of_accents_are_cut_down() -> None:
    assert len(line("a" + "\u0301" * 400)) <= 3
    assert line("Zoë e\u0301t\u0323\u0301e") == "Zoë e\u0301t\u0323\u0301e"
