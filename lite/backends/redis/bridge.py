"""Work and signals from outside: a stream that anyone may write to, a stream of what could not be used, a channel.

- `<prefix>:work:incoming`, read by the group `orchestrator-group`. An entry has one field, `task`: the JSON object that
  `POST /v1/tasks` takes. `XADD quarterdeck:work:incoming * task '{"agent": "dev", "prompt": "..."}'`
- `<prefix>:work:dead-letter`: what could not become a task. Fields: `id` of the entry, `reason`, `payload` (its first
  64 KiB; of an entry with other fields than `task` all it had, as JSON), `time` (ms). The newest 10,000 or so are kept.
- `<prefix>:system.reload`: any message asks every member to read its configuration again.

An entry is acknowledged and deleted only when what it asked for is stored, or it is among the dead letters.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from lite.aio.probe import hit
from lite.backends.redis.connection import Link, place_of
from lite.backends.redis.failures import mapped
from lite.model.letter import MAX_LETTER, Letter
from lite.rules.spelling import listing, quoted

if TYPE_CHECKING:
    from lite.model.settings import RedisOptions

GROUP = "orchestrator-group"
ABANDONED_MS = 30_000  # a letter neither settled nor asked for again for this long goes to whoever looks
MAX_PAYLOAD = 64 << 10  # bytes of it among the dead letters
MAX_REASON = 4096  # characters
MAX_DEAD = 10_000  # letters kept
_MAX_BATCH = 8 << 20  # bytes of letters in one answer, or a single letter
_MAX_FIELD = 4096  # bytes of a field that should not be there
_FIELDS = 40  # of those, looked at
_BLOCK_SECONDS = 3.0  # between two looks for what dead consumers took
_SILENCE_SECONDS = 15.0  # on the channel; then the server is asked whether it is there
_AT_ONCE = 1000

# First what this consumer has not settled, then what a dead one took, then what is new. One entry after the other: the
# answer must not grow with what strangers write. ARGV: group, consumer, limit, bytes, bytes of a letter, the entry that
# this consumer has just been given for the first time, ms, where to look on for the dead, bytes of a wrong field, how
# many of them.
_TAKE = """
local stream, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local room, bytes, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local first, idle, cursor = ARGV[6], ARGV[7], ARGV[8]
local taken = {}
local function keep(entry, again)
  local id, fields = entry[1], entry[2]
  if not fields then  -- deleted by somebody
    redis.call('XACK', stream, group, id)
    return
  end
  local longest = #fields == 2 and most + 1 or tonumber(ARGV[9])
  local shown = {}
  for at = 1, math.min(#fields, tonumber(ARGV[10])) do
    shown[at] = fields[at]:sub(1, longest)
    bytes = bytes - #shown[at]
  end
  room = room - 1
  taken[#taken + 1] = {id, again, shown}
end
local function read(after)
  local answer = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', 1, 'STREAMS', stream, after)
  return answer and answer[1] and answer[1][2][1]
end
local entry = read('0-0')
while entry do
  keep(entry, entry[1] == first and 0 or 1)
  entry = room > 0 and bytes > 0 and read(entry[1])
end
for _ = 1, 100 do
  if room <= 0 or bytes <= 0 then break end
  local answer = redis.call('XAUTOCLAIM', stream, group, consumer, idle, cursor, 'COUNT', 1)
  cursor = answer[1]
  for _, one in ipairs(answer[2]) do keep(one, 1) end
  if cursor == '0-0' then break end
end
entry = room > 0 and bytes > 0 and read('>')
while entry do
  keep(entry, 0)
  entry = room > 0 and bytes > 0 and read('>')
end
return {cursor, taken}
"""

# ARGV: group, ids
_SETTLE = """
redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, 2))
return redis.call('XDEL', KEYS[1], unpack(ARGV, 2))
"""

# ARGV: group, id, consumer, letters kept, fields and values of the dead letter
_REFUSE = """
local stream, dead, group, id = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
if #redis.call('XPENDING', stream, group, id, id, 1, ARGV[3]) == 0 then return 0 end
redis.call('XADD', dead, 'MAXLEN', '~', ARGV[4], '*', unpack(ARGV, 5))
redis.call('XACK', stream, group, id)
redis.call('XDEL', stream, id)
return 1
"""


class RedisBridge:
    """Implements `lite.ports.Bridge`."""

    def __init__(self, options: RedisOptions) -> None:
        self._place = place_of(options)
        self._incoming = f"{options.prefix}:work:incoming"
        self._dead = f"{options.prefix}:work:dead-letter"
        self._channel = f"{options.prefix}:system.reload"
        self._patience = options.answer_ms / 1000
        self._letters = Link(options, "letters")
        self._receiving = asyncio.Lock()
        self._takers: dict[str, str] = {}  # letters in hand: who took them
        self._scan = "0-0"
        self._writes = Link(options, "bridge")
        self._writing = asyncio.Lock()
        self._settled: list[str] = []
        self._hearing = Link(options, "reload", self._subscribe)
        self._subscriptions = 0
        self._heard_on = 0  # the subscription whose messages were heard
        self._name = secrets.token_hex(8).encode()

    def __repr__(self) -> str:
        return f"<RedisBridge {self._place} {self._incoming}, {len(self._takers)} in hand>"

    # -- letters -------------------------------------------------------------------------------------------------

    async def receive(self, consumer: str, *, limit: int) -> Sequence[Letter]:
        """One wait at a time; the second raises RuntimeError."""
        if self._receiving.locked():
            raise RuntimeError("somebody receives already")
        async with self._receiving:
            first = ""
            try:
                while True:
                    letters = await self._take(consumer, limit, first)
                    if letters:
                        self._takers = {letter.id: consumer for letter in letters}
                        return letters
                    first = await self._next(consumer)
            except Exception as error:
                raise mapped(error, self._place) from error

    async def settle(self, letter: Letter) -> None:
        """What is settled while a call is out goes together in the next one."""
        self._settled.append(letter.id)
        async with self._writing:
            ids, self._settled = self._settled[:_AT_ONCE], self._settled[_AT_ONCE:]
            if ids:  # else another's call took ours along
                try:
                    await self._writes.ask("EVAL", _SETTLE, 1, self._incoming, GROUP, *ids)
                except BaseException as error:
                    self._settled = ids + self._settled
                    if isinstance(error, Exception):
                        raise mapped(error, self._place) from error
                    raise
        self._takers.pop(letter.id, None)

    async def refuse(self, letter: Letter, reason: str, *, now: int) -> None:
        why = reason[:MAX_REASON].encode("utf-8", "backslashreplace")
        dead = ("id", letter.id, "reason", why, "payload", letter.payload[:MAX_PAYLOAD], "time", now)
        arguments = (GROUP, letter.id, self._takers.get(letter.id, ""), MAX_DEAD, *dead)
        async with self._writing:
            try:
                await self._writes.ask("EVAL", _REFUSE, 2, self._incoming, self._dead, *arguments)
            except Exception as error:
                if not _lost(error):  # with the group the letter is gone: nobody has it in hand any more
                    raise mapped(error, self._place) from error
        self._takers.pop(letter.id, None)

    async def _take(self, consumer: str, limit: int, first: str) -> list[Letter]:
        """What can be had at once."""
        bounds = (limit, _MAX_BATCH, MAX_LETTER, first, ABANDONED_MS, self._scan, _MAX_FIELD, _FIELDS)
        while True:
            try:
                cursor, taken = await self._letters.ask("EVAL", _TAKE, 1, self._incoming, GROUP, consumer, *bounds)
            except ResponseError as error:
                if not _lost(error):
                    raise
                await self._make_group()
                continue
            self._scan = cursor.decode()
            return [_letter(entry.decode(), fields, again == 1) for entry, again, fields in taken]

    async def _next(self, consumer: str) -> str:
        """Wait a moment for a new entry; its id, "" when there was none. It is then among what was not settled."""
        read = ("XREADGROUP", "GROUP", GROUP, consumer, "COUNT", 1, "BLOCK", round(_BLOCK_SECONDS * 1000))
        hit("bridge.waits", consumer=consumer)
        try:
            patience = _BLOCK_SECONDS + self._patience
            answer = await self._letters.ask(*read, "STREAMS", self._incoming, ">", patience=patience)
        except ResponseError as error:
            if not _lost(error):
                raise
            return ""
        streams = list(answer.values()) if isinstance(answer, dict) else [entries for _, entries in answer or ()]
        return str(streams[0][0][0].decode()) if streams and streams[0] else ""

    async def _make_group(self) -> None:
        """From the beginning: what was sent before anybody listened counts."""
        try:
            await self._letters.ask("XGROUP", "CREATE", self._incoming, GROUP, "0", "MKSTREAM")
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    # -- reload --------------------------------------------------------------------------------------------------

    async def reload_asked(self) -> None:
        """Asked many times meanwhile: told once."""
        try:
            while True:
                await self._hearing.connect()
                asked = 0 < self._heard_on != self._subscriptions  # who knows what was said meanwhile
                self._heard_on = self._subscriptions
                asked = asked or self._is_ask(await self._listen())
                while (more := await self._hearing.hear(patience=0)) is not None:
                    asked = self._is_ask(more) or asked
                if asked:
                    return
        except Exception as error:
            await self._hearing.drop()
            raise mapped(error, self._place) from error

    async def ask_reload(self) -> None:
        async with self._writing:
            try:
                await self._writes.ask("PUBLISH", self._channel, self._name)
            except Exception as error:
                raise mapped(error, self._place) from error

    async def close(self) -> None:
        for link in (self._letters, self._writes, self._hearing):
            await link.drop()

    async def _subscribe(self, link: Link) -> None:
        if await link.hear("SUBSCRIBE", self._channel, patience=self._patience) is None:
            raise TimeoutError("no answer to a SUBSCRIBE")
        self._subscriptions += 1
        hit("bridge.listens", times=self._subscriptions)

    async def _listen(self) -> Any:
        """What comes next. A server that is silent is asked now and then whether it is there."""
        heard = await self._hearing.hear(patience=_SILENCE_SECONDS)
        if heard is None:
            heard = await self._hearing.hear("PING", patience=self._patience)
            if heard is None:
                raise TimeoutError("no answer to a PING")
        return heard

    def _is_ask(self, heard: Any) -> bool:
        """Our own asks come back to us too."""
        if not isinstance(heard, list) or len(heard) != 3 or heard[0] != b"message":
            return False
        hit("bridge.heard", own=heard[2] == self._name)
        return bool(heard[2] != self._name)


def _lost(error: Exception) -> bool:
    """Does the server not know the group (any more)?"""
    return isinstance(error, ResponseError) and str(error).startswith(("NOGROUP", "UNBLOCKED"))


def _letter(entry: str, fields: Sequence[bytes], again: bool) -> Letter:
    names = [name.decode("utf-8", "replace") for name in fields[::2]]
    if names == ["task"]:
        return Letter(entry, fields[1], again)
    if "task" not in names:
        problem = f"the entry has no field 'task', but {listing(map(quoted, names))}"
    elif names.count("task") > 1:
        problem = "the entry has the field 'task' more than once"
    else:
        other = next(name for name in names if name != "task")
        problem = f"the entry has the unknown field {quoted(other)}; the whole task goes into the field 'task'"
    values = [value.decode("utf-8", "replace") for value in fields[1::2]]
    return Letter(entry, json.dumps(list(zip(names, values, strict=False))).encode(), again, problem)
