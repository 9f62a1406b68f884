-- One call: ARGV = prefix, client, number of the batch, newest cursor the client has seen, the verbs as JSON, is the
-- batch to be remembered, run id of the server.
-- A batch that comes again because its answer was lost is not run again: its answer was kept. One that comes late,
-- after a newer one, is not run at all.
-- Cursors (so tokens too) never come again: a server that was restarted, or took over, may have lost the newest ones,
-- so it goes on far beyond all it can have given.

local REMEMBERED_MS = 600000
local LEAP = 1000000

local client, number, floor = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local memory = P .. 'answer:' .. client
local kept = ARGV[6] == '1' and call('GET', memory)
if kept then
  local last, answer = string.match(kept, '^(%d+) (.*)$')
  if num(last) == number then return answer end
  if num(last) > number then return '{"late":true}' end
end

cursor = num(call('HGET', P .. 'meta', 'cursor'))
local before = cursor
if ARGV[6] == '1' then
  if floor > cursor then cursor = floor end
  local run_id = call('HGET', P .. 'meta', 'run_id')
  if run_id ~= ARGV[7] then
    if run_id or floor > 0 then cursor = cursor + LEAP end
    call('HSET', P .. 'meta', 'run_id', ARGV[7])
  end
end

local function run(verb, arguments)
  local result = V[verb](arguments)
  if next(changed) then flush() end
  return result
end

local answers = {}
for at, one in ipairs(cjson.decode(ARGV[5])) do
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

if cursor ~= before then call('HSET', P .. 'meta', 'cursor', cursor) end
local time = call('TIME')
local answer = cjson.encode({answers = answers, cursor = cursor, time = num(time[1]) * 1000 + math.floor(num(time[2]) / 1000)})
if ARGV[6] == '1' then
  call('SET', memory, number .. ' ' .. answer, 'PX', REMEMBERED_MS)
end
return answer
