"""Answers to exactly the question that was read, wherever its session runs."""

from __future__ import annotations

import asyncio

from lite.engine.questions import MAX_ANSWER, Answer, spoken, why_not
from lite.engine.runner import Runner
from lite.engine.session_operations import SendResult, SessionOperations, launched
from lite.errors import NotFound
from lite.model.task import Waiting
from providers.errors import ProviderError

_CONFIRM_SECONDS = 5.0


class AnswerOperations(SessionOperations):
    """The part of `Operations` about questions."""

    async def answer(self, ref: str, answer: Answer, *, here: bool = False) -> SendResult:
        """`ref`: the task or session that asks. Refused unless `answer.id` (and its hash) is what it asks at this
        moment; `queued`: it was told, and has not said yet that it took it."""
        task, session = await self._meant(ref)
        if len(answer.text) > MAX_ANSWER:
            return SendResult("refused", f"an answer has at most {MAX_ANSWER} characters")
        if task.state.terminal:
            return SendResult("refused", f"the task has {task.state.value}")
        runner = self._supervisor.sessions.of_session(session)
        if runner is None and here:
            raise NotFound(f"no session {ref!r} here")
        if runner is None and self._is_elsewhere(task, session):
            result, reason = await self._remote.answer(task, session, answer)
            return SendResult(result if result in ("delivered", "queued") else "refused", reason)  # type: ignore[arg-type]
        if runner is not None:
            await launched(runner)
        if runner is None or runner.reached is None:
            return SendResult("refused", "the task is not running")
        async with runner.answering:  # who comes second sees what the first has made of it
            return await self._answer(runner, answer)

    async def _answer(self, runner: Runner, answer: Answer) -> SendResult:
        waiting = runner.waiting
        if refusal := why_not(waiting, answer):
            return SendResult("refused", refusal)
        assert waiting is not None
        if not waiting.ref:
            return await self._type(runner, spoken(waiting, answer))
        if waiting.ref in runner.questions.told:
            return SendResult("refused", "it was answered already; its agent has not said yet that it took that")
        if not self._takes_answers(runner):
            return SendResult("refused", f"agent {runner.task.spec.agent} cannot be answered in this mode")
        runner.questions.told.add(waiting.ref)
        runner.questions.refused.pop(waiting.ref, None)
        done = await self._type(runner, spoken(waiting, answer))
        if done.result != "delivered":
            runner.questions.told.discard(waiting.ref)
            return done
        confirmed = await _confirmed(runner, waiting)
        await runner.asked_now()
        return confirmed

    def _takes_answers(self, runner: Runner) -> bool:
        try:
            return self._context.providers.get(runner.task.spec.provider).capabilities().answers
        except ProviderError:
            return False


async def _confirmed(runner: Runner, waiting: Waiting) -> SendResult:
    """What the program itself says of the answer."""
    try:
        async with asyncio.timeout(_CONFIRM_SECONDS):
            while True:
                changed = runner.asked_changed
                if reason := runner.questions.refused.get(waiting.ref):
                    return SendResult("refused", reason)
                if not runner.questions.is_open(waiting.ref):
                    return SendResult("delivered")
                await changed.wait()
    except TimeoutError:
        return SendResult("queued", "it was told, but has not said yet that it took it")
