-- One call: its arguments are the prefix, the client, the number of the batch, the newest cursor the client has seen, the
-- verbs as JSON, is the batch to be remembered, the run id of the server.
-- A batch that comes again because its answer was lost is not run again: its answer was kept. One that comes late,
-- after a newer one, is not run at all.
-- Cursors (so tokens too) never come again: a server that was restarted, or took over, may have lost the newest ones,
-- so it goes on far beyond all it can have given.

local REMEMBERED_MS = 600000
local LEAP = 1000000

local function run(verb, arguments)
  local result = V[verb](arguments)
  if next(changed) then flush() end
  return result
end

local function run_all(verbs)
  local answers = {}
  for at, one in ipairs(verbs) do
    local ok, result = pcall(run, one[1], one[2])
    if ok then
      answers[at] = {0, result}
    elseif type(result) == 'table' and result.code then
      answers[at] = {1, result.code, result.args}
    else
      answers[at] = {2, tostring(type(result) == 'table' and result.err or result)}
      cache, changed = {}, {}
    end
  end
  return answers
end

local function begin(floor, run_id)
  local told = call('HMGET', P .. 'meta', 'cursor', 'seq', 'run_id')
  cursor, newest = num(told[1]), num(told[2])
  if not run_id then return end
  if floor > cursor then cursor = floor end
  local known = told[3]
  if known ~= run_id then
    if known or floor > 0 then cursor = cursor + LEAP end
    call('HSET', P .. 'meta', 'run_id', run_id)
  end
end

local function main(_, args)
  local client, number, remember = args[2], tonumber(args[3]), args[6] == '1'
  P, NULL, cache, changed = args[1] .. ':', cjson.null, {}, {}
  local memory = P .. 'answer:' .. client
  local kept = remember and call('GET', memory)
  if kept then
    local last, answer = string.match(kept, '^(%d+) (.*)$')
    if num(last) == number then return answer end
    if num(last) > number then return '{"late":true}' end
  end
  begin(tonumber(args[4]), remember and args[7])
  local before, fewer = cursor, newest
  local answers = run_all(cjson.decode(args[5]))
  if cursor ~= before or newest ~= fewer or remember then
    call('HSET', P .. 'meta', 'cursor', cursor, 'seq', newest)
  end
  local time = call('TIME')
  local now = num(time[1]) * 1000 + math.floor(num(time[2]) / 1000)
  local answer = cjson.encode({answers = answers, cursor = cursor, time = now})
  if remember then call('SET', memory, number .. ' ' .. answer, 'PX', REMEMBERED_MS) end
  return answer
end

-- The second one runs also when the server is out of memory, so that what was accepted can be worked off.
redis.register_function{function_name = '@NAME@_takes', callback = main}
redis.register_function{function_name = '@NAME@_works', callback = main, flags = {'allow-oom'}}
