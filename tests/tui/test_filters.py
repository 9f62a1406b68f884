"""The filter language: what it finds, what it refuses and where, and that any text is one or the other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.dashboards import fleet, task
from tui import filters
from tui.filters import EVERYTHING, KEYS, Filter, FilterError, parse
from tui.state import TaskView

TASKS = (
    task("login-api", run="r1", agent="dev", lane="server", state="succeeded", prompt="Write the endpoint"),
    task("login-page", run="r1", agent="web", lane="page", doing="working"),
    task("Release", run="r1", agent="dev", asks="Push the tag?"),
    task("slow", run="r2", agent="review", doing="throttled", worker="w2"),
    task("schema", run="r2", agent="dev", state="failed", reason="timeout", failures=2),
    task("poisoned", run="r2", agent="dev", state="failed", reason="poison", faults=10),
    task("lint", agent="shell", provider="shell", command="make lint", state="queued"),
    task("docs", agent="writer", state="skipped", reason="need"),
    task("old", id="01hq9", state="cancelled", reason="user"),
)
RUNS = {"r1": "add-login", "r2": "Migrate", "": ""}


def found(text: str) -> set[str]:
    wanted = parse(text)
    return {each.name for each in TASKS if wanted.matches(each, RUNS[each.run]) is not None}


ALL = {each.name for each in TASKS}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ALL),
        ("   ", ALL),
        ("lint", {"lint"}),
        ("lgn", {"login-api", "login-page", "Release"}),  # the run of the last
        ("login server", {"login-api"}),
        ("lapi", {"login-api"}),
        ("release", {"Release"}),
        ("Release", {"Release"}),
        ("Rel", {"Release"}),
        ("cheMa", set()),
        ("migrate", {"slow", "schema", "poisoned"}),
        ("endpoint", {"login-api"}),
        ("edpt", set()),  # a prompt has nearly every letter
        ("make", {"lint"}),
        ("01hq", {"old"}),
        ("01HQ", {"old"}),
        ("state:failed", {"schema", "poisoned"}),
        ("state:f", {"schema", "poisoned"}),
        ("state:F", {"schema", "poisoned"}),
        ("state:fai", {"schema", "poisoned"}),
        ("state:failed,running", {"schema", "poisoned", "login-page", "Release", "slow"}),
        ("state:failed, state:running", set()),
        ("state:waiting", {"Release"}),
        ("state:throttled", {"slow"}),
        ("state:s", {"login-api"}),
        ("state:k", {"docs"}),
        ("STATE:Queued", {"lint"}),
        ("is:waiting", {"Release"}),
        ("is:open", {"login-page", "Release", "slow", "lint"}),
        ("is:done", ALL - {"login-page", "Release", "slow", "lint"}),
        ("is:single", {"lint", "docs", "old"}),
        ("is:adhoc", {"lint", "docs", "old"}),
        ("is:retried", {"schema", "poisoned"}),
        ("is:dead", {"poisoned"}),
        ("agent:dev", {"login-api", "Release", "schema", "poisoned", "old"}),
        ("agent:dev,web", {"login-api", "login-page", "Release", "schema", "poisoned", "old"}),
        ("-agent:dev", {"login-page", "slow", "lint", "docs"}),
        ("!agent:dev -lint", {"login-page", "slow", "docs"}),
        ("run:login", {"login-api", "login-page", "Release"}),
        ("run:r2", {"slow", "schema", "poisoned"}),
        ("run:Mig", {"slow", "schema", "poisoned"}),
        ("lane:page", {"login-page"}),
        ("provider:shell", {"lint"}),
        ("worker:w2", {"slow"}),
        ("reason:time", {"schema"}),
        ("activity:working", {"login-page"}),
        ("activity:w", {"login-page"}),  # the first with that beginning
        ("name:old", {"old"}),
        ("id:01hq", {"old"}),
        ('"the endpoint"', {"login-api"}),
        ('"endpoint the"', set()),
        ('-"the endpoint"', ALL - {"login-api"}),
        ('"a:b"', set()),
        ('reason:"time"', {"schema"}),
        ('"make li', {"lint"}),  # still being typed
        ("agent:", ALL),
        ("agent:,", ALL),
        ("-", ALL),
        ("- !", ALL),
        ("-state:", ALL),
    ],
)
def test_what_is_found(text: str, names: set[str]) -> None:
    assert found(text) == names


@pytest.mark.parametrize(
    ("text", "position", "told", "hint", "kept"),
    [
        ("colour:red", 0, "no key colour", "state", ""),
        ("state:failed colour:red lint", 13, "no key colour", "agent", "state:failed lint"),
        ("  -colour:red", 3, "no key colour", "worker", ""),
        ("state:borken", 6, "no state borken", "failed", ""),
        ("state:failed,borken", 13, "no state borken", "running", ""),
        ("is:tired", 3, "no is tired", "waiting", ""),
        ("activity:dancing", 9, "no activity dancing", "idle", ""),
        ("colour:red state:failed is:tired", 0, "no key colour", "state", "state:failed"),  # the first of two
        ("https://x", 0, "no key https", "in quotes", ""),
    ],
)
def test_what_is_refused(text: str, position: int, told: str, hint: str, kept: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text)
    error = caught.value
    assert (error.position, str(error)) == (position, told)
    assert hint in error.hint
    assert error.kept == parse(kept)


def test_all_keys_are_named_in_the_hint() -> None:
    with pytest.raises(FilterError) as caught:
        parse("nokey:x")
    assert all(key in caught.value.hint for key in KEYS)


def test_better_matches_score_higher() -> None:
    wanted = parse("api")
    names = ["api", "api-tests", "login-api", "capital-api", "rapid", "a-p-i", "a-long-way-to-pick-it", "nothing"]
    scores = [wanted.matches(TaskView("x", name=name)) for name in names]
    ranked = [score for score in scores if score is not None]
    assert scores[-1] is None
    assert ranked == sorted(ranked, reverse=True)
    assert ranked[0] > ranked[1] > ranked[2] > ranked[4] > ranked[5] > ranked[6] > 0
    name, run = wanted.matches(TaskView("x", name="api")), wanted.matches(TaskView("x", name="y"), "api")
    assert name is not None
    assert run is not None
    assert name > run


def test_filters_are_equal_by_their_text() -> None:
    assert parse("a state:failed") == parse("a state:failed") != parse("a")
    assert not EVERYTHING
    assert not parse(" - ")
    assert parse("a")


texts = st.text(alphabet=st.sampled_from('abS :,"-!\\.*(\u202e\x1bst:ate'), max_size=40) | st.text(max_size=60)
views = st.builds(
    TaskView,
    id=st.text(max_size=8),
    name=st.text(max_size=20),
    agent=st.text(max_size=5),
    lane=st.text(max_size=5),
    prompt=st.text(max_size=30),
    state=st.sampled_from(["queued", "running", "failed", "strange"]),
)


@given(texts, views, st.text(max_size=10))
def test_any_text_is_a_filter_or_an_error_with_a_place(text: str, view: TaskView, run: str) -> None:
    wanted, error = _parsed(text)
    if error is not None:
        assert 0 <= error.position < len(text)
        assert error.hint
        wanted = error.kept
        assert parse(wanted.text) == wanted
    else:
        assert wanted.text == text
    score = wanted.matches(view, run)
    assert score is None or score >= 0


def _parsed(text: str) -> tuple[Filter, FilterError | None]:
    try:
        return parse(text), None
    except FilterError as error:
        return EVERYTHING, error


@given(views, st.integers(0, 20), st.integers(0, 20))
def test_a_name_is_found_by_any_of_its_letters_in_order(view: TaskView, start: int, step: int) -> None:
    name = "".join(char for char in view.name if char.isalnum()) or "x"
    picked = name[start % len(name) :: step % 3 + 1]
    assert parse(picked).matches(replace(view, name=name)) is not None


@given(st.lists(st.sampled_from(["login", "state:failed", "agent:dev", "is:open", "run:r1"]), unique=True), views)
def test_a_term_and_its_negation_share_all_tasks_between_them(terms: list[str], view: TaskView) -> None:
    for term in terms:
        assert (parse(term).matches(view) is None) != (parse(f"-{term}").matches(view) is None)
    together = parse(" ".join(terms)).matches(view) is not None
    assert together == all(parse(term).matches(view) is not None for term in terms)


def test_a_hostile_name_takes_no_time() -> None:
    """Its letters nearly match in an astronomical number of ways: tried one by one, this would not end."""
    assert parse("a" * 30 + "b").matches(TaskView("x", name="a" * 10_000)) is None


def test_the_filter_bar_may_ask_with_anything() -> None:
    assert isinstance(parse("x" * 500), Filter)
    with pytest.raises(FilterError):
        parse("x" * 5000)
    assert filters.EVERYTHING.matches(fleet(task("a")).tasks["a"]) == 0
