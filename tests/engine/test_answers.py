"""An answer settles exactly the question that was read, once, and its program has the last word."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.engine.questions import MAX_TEXT, Answer, Questions, text_hash, verbs, waiting_of, why_not
from lite.executors.fake import Behaviour
from lite.model.session import Activity
from lite.model.task import Waiting
from providers.base import AgentEvent, EventKind
from tests.engine.conftest import Make
from tests.support.agents import BOT, agent, said, with_agents
from tests.support.engines import Engine

SETTINGS = with_agents(BOT)
ASKS = said("needs_user", "rm -rf build?", id="p1", kind="permission", hash="h1")
NEXT = said("needs_user", "which port?", id="p2", kind="question", hash="h2")


def asking(*lines: bytes, replies: Callable[[bytes], bytes]) -> Behaviour:
    return replace(agent(*lines, said("tool_use", "Bash"), seconds=600), replies=replies)


def settles(data: bytes) -> bytes:
    return said("tool_result", "ok", answered=json.loads(data)["answer"])


async def waits(engine: Engine, name: str = "a") -> Waiting:
    async def there() -> bool:
        return (await engine.task(name)).waiting is not None

    await engine.until(there)
    waiting = (await engine.task(name)).waiting
    assert waiting is not None
    return waiting


async def started(make: Make, behaviour: Behaviour | Sequence[Behaviour]) -> Engine:
    engine = await make({"*": behaviour}, settings=SETTINGS)
    await engine.submit("a", agent="bot", prompt="do it", command=())
    return engine


def told(engine: Engine) -> list[dict[str, str]]:
    return [json.loads(data) for one in engine.world.sessions.values() if one.terminal for data in one.terminal.said]


async def test_a_question_is_durable_and_other_events_do_not_settle_it(make: Make) -> None:
    engine = await started(make, asking(ASKS, said("message", "meanwhile"), replies=settles))
    waiting = await waits(engine)
    assert (waiting.kind, waiting.text, waiting.hash, waiting.ref) == ("approval", "rm -rf build?", "h1", "p1")
    await engine.clock.advance(5)
    row = await engine.task("a")
    assert row.waiting == waiting
    status = engine.operations.status_of(row)
    assert status is not None
    assert (status.activity, status.text) == (Activity.WAITING, "rm -rf build?")


async def test_an_answer_is_told_as_one_line_settled_by_the_program_and_not_taken_twice(make: Make) -> None:
    engine = await started(make, asking(ASKS, NEXT, replies=settles))
    first = await waits(engine)
    done = await engine.operations.answer("a", Answer(first.id, "allow", hash="h1"))
    assert (done.result, done.reason) == ("delivered", "")
    assert told(engine) == [{"answer": "p1", "hash": "h1", "decision": "allow", "text": ""}]
    again = await engine.operations.answer("a", Answer(first.id, "allow"))
    assert (again.result, "something else" in again.reason) == ("refused", True)
    second = await waits(engine)
    assert second.ref == "p2", "the second question comes to its turn"
    assert (await engine.operations.answer("a", Answer(second.id, "answer", "8080"))).result == "delivered"
    assert (await engine.operations.answer("a", Answer(second.id, "answer", "8080"))).result == "refused"

    async def settled() -> bool:
        return (await engine.task("a")).waiting is None

    await engine.until(settled)
    assert [one["text"] for one in told(engine)] == ["", "8080"]
    history = await engine.history("a")
    assert history.count("session.answered") == 1, "the first one was replaced by the next"


async def test_two_answers_at_once_are_one(make: Make) -> None:
    engine = await started(make, asking(ASKS, replies=settles))
    waiting = await waits(engine)
    both = await asyncio.gather(*(engine.operations.answer("a", Answer(waiting.id, "allow")) for _ in range(2)))
    assert sorted(one.result for one in both) == ["delivered", "refused"]
    assert len(told(engine)) == 1


async def test_what_the_program_refuses_stays_asked(make: Make) -> None:
    def refuses(data: bytes) -> bytes:
        return said("message", refused=json.loads(data)["answer"], why="it changed its mind")

    engine = await started(make, asking(ASKS, replies=refuses))
    waiting = await waits(engine)
    for _ in range(2):
        done = await engine.operations.answer("a", Answer(waiting.id, "deny", "no"))
        assert (done.result, done.reason) == ("refused", "it changed its mind")
    assert (await engine.task("a")).waiting == waiting
    assert len(told(engine)) == 2


async def test_the_question_outlives_the_supervisor(make: Make) -> None:
    engine = await started(make, asking(ASKS, replies=settles))
    waiting = await waits(engine)
    await engine.crash()
    second = engine.again()
    make.made.append(second)  # type: ignore[attr-defined]
    await second.start()

    async def adopted() -> bool:
        runner = second.supervisor.sessions.of_task((await second.task("a")).id)
        return runner is not None and runner.questions.current == waiting

    await second.until(adopted)
    assert (await second.task("a")).waiting == waiting
    await second.clock.advance(5)
    assert (await second.history("a")).count("session.waiting") == 1, "it was asked once"
    assert (await second.operations.answer("a", Answer(waiting.id, "allow"))).result == "delivered"


async def test_who_cannot_be_answered_is_not_typed_at(make: Make) -> None:
    engine = await started(make, asking(ASKS, replies=settles))
    waiting = await waits(engine)
    provider = engine.context.providers.get("scripted")
    able = provider.capabilities()
    provider.capabilities = lambda: replace(able, answers=False)  # type: ignore[method-assign]
    done = await engine.operations.answer("a", Answer(waiting.id, "allow"))
    assert (done.result, done.reason) == ("refused", "agent bot cannot be answered in this mode")
    assert told(engine) == []


def event(**data: object) -> AgentEvent:
    return AgentEvent(EventKind.NEEDS_USER, "sure?", data)


APPROVAL, QUESTION = waiting_of("t-1", event(id="a", kind="permission")), waiting_of("t-1", event(id="b"))
TYPED = Waiting("t-1-ab", "question", "which?", "h")


@pytest.mark.parametrize(
    ("waiting", "offers"),
    [(APPROVAL, ("approve", "deny", "answer")), (QUESTION, ("deny", "answer")), (TYPED, ("answer",))],
)
def test_each_kind_of_question_has_its_verbs(waiting: Waiting, offers: tuple[str, ...]) -> None:
    assert verbs(waiting) == offers


def test_an_answer_to_another_text_is_refused() -> None:
    assert APPROVAL is not None
    assert why_not(APPROVAL, Answer(APPROVAL.id, "allow", hash=APPROVAL.hash)) == ""
    assert "has changed" in why_not(APPROVAL, Answer(APPROVAL.id, "allow", hash=text_hash("other")))
    assert "something else" in why_not(APPROVAL, Answer("t-1", "allow"))
    assert "nothing" in why_not(None, Answer(APPROVAL.id, "allow"))


@given(st.tuples(st.text(min_size=1, max_size=9), st.text(max_size=9), st.text(max_size=9)), st.data())
def test_an_id_means_one_text_of_one_question_of_one_session(one: tuple[str, str, str], data: st.DataObject) -> None:
    other = data.draw(st.tuples(st.text(min_size=1, max_size=9), st.text(max_size=9), st.text(max_size=9)))

    def made(ref: str, digest: str, text: str) -> Waiting:
        waiting = waiting_of("t-1", AgentEvent(EventKind.NEEDS_USER, text, {"id": ref, "hash": digest}))
        assert waiting is not None
        return waiting

    assert (made(*one).id == made(*other).id) == (made(*one) == made(*other))
    assert made(*one) == made(*one)


@pytest.mark.parametrize("ident", [None, 7, "", "x" * 1000, ["p"]])
def test_a_question_without_a_usable_name_is_not_answerable_by_name(ident: object) -> None:
    assert waiting_of("t-1", event(id=ident)) is None


def test_what_a_hostile_program_asks_is_bounded() -> None:
    questions = Questions("t-1")
    for number in range(1000):
        questions.take(AgentEvent(EventKind.NEEDS_USER, "x" * (MAX_TEXT + 5), {"id": f"q{number}"}))
    assert questions.current is not None
    assert len(questions.current.text) == MAX_TEXT
    assert sum(questions.is_open(f"q{number}") for number in range(1000)) <= 100
    assert not questions.take(AgentEvent(EventKind.MESSAGE, "", {"answered": True, "refused": 3}))
    assert not questions.take(AgentEvent(EventKind.MESSAGE, "", {"answered": "nobody"}))
