-- A row's moves between states, with every index that goes by state.

local function count(row, state, by)
  if row.run then call('HINCRBY', P .. 'run:' .. row.run, state, by) end
end

local function team(worker, row, by)
  if row.team and worker and worker ~= '' then
    local field = worker .. ' ' .. row.team
    if call('HINCRBY', P .. 'teams', field, by) <= 0 then call('HDEL', P .. 'teams', field) end
  end
end

local function assign_to(row, worker, why)
  if row.assigned then
    call('ZREM', P .. 'assigned:' .. row.assigned, row.id)
    call('ZREM', P .. 'assigned', row.id)
    team(row.assigned, row, -1)
  end
  set(row, {assigned = worker, assigned_why = why})
  if row.assigned then
    add_to('assigned:' .. row.assigned, row)
    add_to('assigned', row)
    team(row.assigned, row, 1)
  end
end

local function index_due(row)
  call('ZADD', P .. 'due', row.run_at, row.id)
  call('ZADD', P .. 'delayed', row.run_at, row.id)
  set(row, {delayed = 1})
  if row.assigned then wake(row.assigned) else offer(row.agent, '') end -- somebody has to know when
end

-- It is queued from now on; `run_at`, `assigned` and the lane are the row's. The caller opens the gate.
local function enter_queue(row)
  set(row, {state = 'queued'})
  add_to('open', row)
  count(row, 'queued', 1)
  if num(row.run_at) > 0 then index_due(row) end
end

local function leave_queue(row, state)
  set(row, {state = state})
  gate(row)
  count(row, 'queued', -1)
  if num(row.run_at) > 0 then
    call('ZREM', P .. 'due', row.id)
    call('ZREM', P .. 'delayed', row.id)
    set(row, {delayed = false})
  end
  if row.assigned then
    call('ZREM', P .. 'assigned:' .. row.assigned, row.id)
    call('ZREM', P .. 'assigned', row.id)
    team(row.assigned, row, -1)
  end
end

local function enter_running(row, worker, token, expires_at)
  set(row, {token = token, worker = worker, expires_at = expires_at})
  add_to('running:' .. worker, row)
  call('ZADD', P .. 'leases', expires_at, row.id)
  call('HINCRBY', P .. 'agents', row.agent, 1)
  if row.touches then call('HSET', P .. 'touching', row.id, row.touches) end
  team(worker, row, 1)
  count(row, 'running', 1)
end

local function leave_running(row)
  call('ZREM', P .. 'running:' .. row.worker, row.id)
  call('ZREM', P .. 'leases', row.id)
  if call('HINCRBY', P .. 'agents', row.agent, -1) <= 0 then call('HDEL', P .. 'agents', row.agent) end
  if row.touches then call('HDEL', P .. 'touching', row.id) end
  team(row.worker, row, -1)
  count(row, 'running', -1)
  set(row, {token = false, worker = false, expires_at = false})
  release_starved()
end

-- All that the end of a task brings about. It is stored as ended, and logged.

local function ended(row, now)
  count(row, row.state, 1)
  call('ZREM', P .. 'open', row.id)
  if row.lane then call('ZREM', P .. 'lane:' .. (row.run or '') .. ':' .. row.lane, row.id) end
  if row.reason == 'poison' then add_to('dead', row) end
  if row.needed and consequence(row) == 'go' then
    for _, other in ipairs(dependents({row})) do
      if other.state == 'queued' then
        set(other, {unmet = math.max(num(other.unmet) - 1, 0)})
        if num(other.unmet) == 0 then set(other, {unmet = false}) end
        gate(other)
      end
    end
  end
  settle_lane(row)
  call('XADD', P .. (row.state == 'succeeded' and 'work:completed' or 'work:failed'), 'MAXLEN', '~', FIRST_LINES, '*',
    'task', row.id, 'name', row.name, 'run', row.run or '', 'attempt', num(row.attempt), 'state', row.state,
    'reason', row.reason or '', 'detail', row.detail or '', 'at', now)
end

-- End every queued candidate that a need condemns, then look at what needs those: breadth first, by seq.
local function condemn(candidates, now)
  local all = {}
  while #candidates > 0 do
    local level = {}
    for _, row in ipairs(candidates) do
      if row.state == 'queued' then
        local what, cause = verdict(row)
        if CONDEMNED[what] then
          leave_queue(row, what == 'fail' and 'failed' or 'skipped')
          set(row, {reason = 'need', detail = false, cause = cause, ended_at = now})
          log_task('task.' .. row.state, now, row, cjson.encode({reason = 'need', cause = cause}))
          ended(row, now)
          level[#level + 1] = row
          all[#all + 1] = row
        end
      end
    end
    candidates = dependents(level)
  end
  return all
end

local function runs_of(rows)
  local runs, seen = {}, {}
  for _, row in ipairs(rows) do
    if row.run and not seen[row.run] then
      seen[row.run] = true
      local values = call('HMGET', P .. 'run:' .. row.run, 'seq', 'state', 'name', 'queued', 'running', 'failed', 'cancelled')
      runs[#runs + 1] = {
        id = row.run, seq = num(values[1]), state = values[2], name = values[3] or '',
        open = num(values[4]) + num(values[5]), failed = num(values[6]), cancelled = num(values[7]),
      }
    end
  end
  table.sort(runs, function(one, other) return one.seq < other.seq end)
  return runs
end

local function finish_runs(rows, now)
  for _, run in ipairs(runs_of(rows)) do
    if run.state == 'running' and run.open == 0 then
      local state = run.failed > 0 and 'failed' or run.cancelled > 0 and 'cancelled' or 'succeeded'
      call('HSET', P .. 'run:' .. run.id, 'state', state, 'ended_at', now)
      log('run.finished', now, run.id, nil, nil, nil, cjson.encode({name = run.name, state = state}))
    end
  end
end

local function end_task(row, now)
  ended(row, now)
  local condemned = row.needed and condemn(dependents({row}), now) or {}
  condemned[#condemned + 1] = row
  finish_runs(condemned, now)
end
