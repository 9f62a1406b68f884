"""Request bodies: strict, no unknown keys; from the messages to the model."""

from __future__ import annotations

import binascii
from typing import Annotated

from fastapi import Body

from lite.api import messages
from lite.config.orders import checked, order_from, strict
from lite.engine.questions import Answer
from lite.errors import UsageError

__all__ = [
    "Account",
    "Answering",
    "Attach",
    "Cancel",
    "Cordon",
    "Plan",
    "Send",
    "Shutdown",
    "Submit",
    "bytes_from",
    "checked",
    "order_from",
]

for _body in (
    messages.PlanBody,
    messages.CancelBody,
    messages.SendBody,
    messages.AnswerBody,
    messages.AccountBody,
    messages.AttachBody,
    messages.CordonBody,
    messages.ShutdownBody,
):
    strict(_body)

Submit = Annotated[messages.SubmitBody, Body()]
Plan = Annotated[messages.PlanBody, Body()]
Send = Annotated[messages.SendBody, Body()]
Account = Annotated[messages.AccountBody, Body()]
Answering = Annotated[messages.AnswerBody, Body()]
Cancel = Annotated[messages.CancelBody | None, Body()]
Attach = Annotated[messages.AttachBody | None, Body()]
Cordon = Annotated[messages.CordonBody | None, Body()]
Shutdown = Annotated[messages.ShutdownBody | None, Body()]


def answer_from(body: messages.AnswerBody) -> Answer:
    return Answer(body["id"], body["decision"], body.get("text", ""), body.get("hash", ""))


def bytes_from(body: messages.SendBody) -> bytes:
    """What is to be typed. Raises `UsageError`."""
    if ("text" in body) == ("base64" in body):
        raise UsageError("give either text or base64", place="text")
    if "text" in body:
        return body["text"].encode("utf-8", "surrogateescape")
    try:
        return binascii.a2b_base64(body["base64"], strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError(f"not base64: {error}", place="base64") from None
