-- Rows, keys and events. All files of this folder, in order of their names, are one library of the server: every verb is
-- a function of `V`, a call runs a batch of them, each atomically. Verbs check before they write; a refusal is
-- `fail(...)`. What a verb decides is what lite.rules and lite.backends.changes decide: the state machine test proves
-- them equal.

local P = '' -- the prefix of all keys; set anew by each call, like the two caches and the cursor
local NULL -- cjson.null, which is not there yet when the library is loaded
local V = {}
local cursor = 0 -- of the newest event
local newest = 0 -- seq of the newest task

local function call(...) return redis.call(...) end
local function num(value) return tonumber(value) or 0 end
local function given(value) return value ~= nil and value ~= NULL end
local function fail(code, ...) error({code = code, args = {...}}, 0) end

local COLUMNS = {
  'id', 'seq', 'state', 'reason', 'detail', 'cause', 'attempt', 'failures', 'faults', 'run_at', 'assigned',
  'assigned_why', 'token', 'worker', 'expires_at', 'cancel', 'handle', 'provider_session', 'waiting', 'exit_code',
  'signal', 'output', 'usage', 'created_at', 'started_at', 'ended_at', 'needs', 'agent', 'provider', 'mode', 'rule', 'rerouted',
}
local FIRST_LINES = 10000 -- of the streams that others may read or not
local TERMINAL = {succeeded = true, failed = true, cancelled = true, skipped = true}
local CONDEMNED = {skip = true, fail = true}

-- Rows are read once a call and written once a verb. A field that says nothing is empty, or not there at all.

local cache, changed = {}, {}

local function find(id)
  local found = cache[id]
  if found == nil then
    local flat = call('HGETALL', P .. 'task:' .. id)
    if #flat == 0 then
      cache[id] = false
      return nil
    end
    found = {}
    for at = 1, #flat, 2 do
      if flat[at + 1] ~= '' then found[flat[at]] = flat[at + 1] end
    end
    cache[id] = found
  end
  return found or nil
end

local function task(id)
  return find(id) or fail('no-task', id)
end

local function set(row, values)
  local fields = changed[row.id]
  if not fields then
    fields = {}
    changed[row.id] = fields
  end
  for name, value in pairs(values) do
    if value == '' or value == NULL then value = false end
    if value or row[name] then
      row[name] = value or nil
      fields[name] = value or ''
    end
  end
end

local function flush()
  for id, fields in pairs(changed) do
    local put, at = {}, 0
    for name, value in pairs(fields) do
      put[at + 1], put[at + 2] = name, value
      at = at + 2
    end
    if at > 0 then call('HSET', P .. 'task:' .. id, unpack(put)) end
  end
  changed = {}
end

-- As Python reads it: the columns in order, then (when asked for) the spec, which has a key of its own: most verbs do not
-- look at it, and a prompt may be long.
local function shown(row, with_spec)
  local values = {}
  for at, name in ipairs(COLUMNS) do values[at] = row[name] or false end
  values[#COLUMNS + 1] = with_spec and call('GET', P .. 'spec:' .. row.id) or false
  return values
end

local function add_to(key, row)
  call('ZADD', P .. key, row.seq, row.id)
end

local function by_seq(ids)
  local rows, seen = {}, {}
  for _, id in ipairs(ids) do
    if not seen[id] then
      seen[id] = true
      rows[#rows + 1] = find(id)
    end
  end
  table.sort(rows, function(one, other) return num(one.seq) < num(other.seq) end)
  return rows
end

-- Events: one stream, whose ids are the cursors; a row knows those of its task, an index those of a run.

local function log(kind, at, run, id, attempt, worker, data)
  cursor = cursor + 1
  local fields = {'kind', kind, 'at', at}
  local function say(name, value)
    if value and value ~= '' and value ~= 0 then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
  say('run', run)
  say('task', id)
  say('attempt', attempt)
  say('worker', worker)
  if data ~= '{}' then say('data', data) end
  call('XADD', P .. 'events', cursor .. '-0', unpack(fields))
  if id and id ~= '' then
    local row = find(id)
    if row then
      set(row, {log = row.log and row.log .. ' ' .. cursor or cursor})
    else
      call('ZADD', P .. 'log:task:' .. id, cursor, cursor)
    end
  end
  if run and run ~= '' then call('ZADD', P .. 'log:run:' .. run, cursor, cursor) end
end

local function log_task(kind, at, row, data)
  log(kind, at, row.run, row.id, nil, nil, data or '{}')
end

-- Of a lease: with its attempt and worker.
local function log_lease(kind, at, row, data)
  log(kind, at, row.run, row.id, num(row.attempt), row.worker, data or '{}')
end
