-- submit, assign.

local function shown_run(id)
  local key = P .. 'run:' .. id
  local values = call('HMGET', key, 'seq', 'name', 'key', 'source', 'state', 'created_at', 'ended_at', 'queued', 'running',
    'succeeded', 'failed', 'cancelled', 'skipped')
  table.insert(values, 1, id)
  return values
end

-- The id that stands for each spec that is not to be created, and the specs that are (backends.selection.resolve).
local function resolve(specs, run)
  local stands, fresh, order, keys = {}, {}, {}, {}
  for _, spec in ipairs(specs) do
    if (spec.run or '') ~= run then fail('foreign', spec.id, spec.run or '', run) end
    local known = (fresh[spec.id] or find(spec.id)) and spec.id
    if not known and spec.key then known = call('HGET', P .. 'keys', spec.key) or keys[spec.key] end
    if known then
      if known ~= spec.id then stands[spec.id] = known end
    else
      fresh[spec.id] = spec
      order[#order + 1] = spec
      if spec.key then keys[spec.key] = spec.id end
    end
  end
  for _, spec in ipairs(order) do
    for _, need in ipairs(spec.needs or {}) do
      if not fresh[need] and not stands[need] and not find(need) then fail('no-need', spec.name, need) end
    end
  end
  return stands, fresh, order
end

local function insert(spec, stands, now)
  newest = newest + 1
  local needs, seen, moved = {}, {}, false
  for _, need in ipairs(spec.needs or {}) do
    local stand = stands[need] or need
    moved = moved or stand ~= need or seen[stand]
    if not seen[stand] then
      seen[stand] = true
      needs[#needs + 1] = stand
    end
  end
  local row = {id = spec.id}
  cache[spec.id] = row
  set(row, {
    id = spec.id, seq = newest, name = spec.name, run = spec.run, agent = spec.agent, lane = spec.lane,
    key = spec.key, priority = spec.priority, run_at = spec.run_at, placed = spec.placed, team = spec.team,
    touches = spec.touches and cjson.encode(spec.touches), needs = #needs > 0 and cjson.encode(needs),
    on_failure = spec.on_failure, retries = spec.retries, created_at = now,
  })
  call('SET', P .. 'spec:' .. row.id, spec.spec)
  add_to('tasks', row)
  call('ZADD', P .. 'ids', 0, row.id)
  add_to('name:' .. row.name, row)
  if row.key then call('HSET', P .. 'keys', row.key, row.id) end
  if row.run then add_to('run-tasks:' .. row.run, row) end
  enter_lane(row)
  enter_queue(row)
  local data = spec.data
  if #needs > 0 then data = string.sub(data, 1, -2) .. ',"needs":' .. row.needs .. '}' end
  log_task('task.submitted', now, row, data)
  return row, moved
end

function V.submit(a)
  local run = a.run
  if run then
    local known = call('EXISTS', P .. 'run:' .. run.id) == 1 and run.id or run.key and call('HGET', P .. 'run-keys', run.key)
    if known then
      local rows = {}
      for at, row in ipairs(by_seq(call('ZRANGE', P .. 'run-tasks:' .. known, 0, -1))) do rows[at] = shown(row, true) end
      return {known = true, tasks = rows, run = shown_run(known)}
    end
  end
  local stands, fresh, order = resolve(a.tasks, run and run.id or '')
  if run then
    local seq = call('HINCRBY', P .. 'meta', 'run_seq', 1)
    call('HSET', P .. 'run:' .. run.id, 'seq', seq, 'name', run.name, 'key', run.key or '', 'source', run.source,
      'state', 'running', 'created_at', a.now)
    call('ZADD', P .. 'runs', seq, run.id)
    call('ZADD', P .. 'run-ids', 0, run.id)
    call('ZADD', P .. 'run-name:' .. run.name, seq, run.id)
    if run.key then call('HSET', P .. 'run-keys', run.key, run.id) end
    log('run.submitted', a.now, run.id, nil, nil, nil, cjson.encode({name = run.name}))
  end
  local rows, plain = {}, {}
  for at, spec in ipairs(order) do
    local row, moved = insert(spec, stands, a.now)
    rows[at] = row
    plain[row.id] = not moved
  end
  local waiting = {}
  for _, row in ipairs(rows) do
    if row.needs then
      for _, need in ipairs(cjson.decode(row.needs)) do
        call('ZADD', P .. 'needs:' .. need, row.seq, row.id)
        if not task(need).needed then set(task(need), {needed = 1}) end
      end
      set(row, {unmet = unmet(row)})
      waiting[#waiting + 1] = row
    end
    gate(row)
  end
  for _, row in ipairs(rows) do settle_lane(row) end
  local all = condemn(waiting, a.now)
  for _, row in ipairs(all) do plain[row.id] = false end
  if run then all[#all + 1] = {run = run.id} end
  finish_runs(all, a.now)
  local tasks, created = {}, {}
  for at, spec in ipairs(a.tasks) do
    local row = task(stands[spec.id] or spec.id)
    tasks[at] = plain[row.id] and fresh[spec.id] and num(row.seq) or shown(row, true)
    created[at] = fresh[spec.id] ~= nil
  end
  return {tasks = tasks, created = created, run = run and shown_run(run.id)}
end

local function check_seen(row, seen)
  local there = {}
  for worker, at in pairs(seen) do
    if at > 0 then there[worker] = at end
  end
  local flat = call('HGETALL', P .. 'teams')
  for at = 1, #flat, 2 do
    local worker, name = string.match(flat[at], '^(%S*) (.*)$')
    if name == row.team then
      if there[worker] ~= num(flat[at + 1]) then fail('moved', row.team) end
      there[worker] = nil
    end
  end
  if next(there) then fail('moved', row.team or '') end
end

function V.assign(a)
  local row = task(a.task)
  if given(a.worker) and a.worker ~= '' and call('EXISTS', P .. 'worker:' .. a.worker) == 0 then fail('no-worker', a.worker) end
  if given(a.before) and row.state == 'queued' and a.before ~= (row.assigned or '') then
    fail('placed', row.id, row.assigned or '')
  end
  if given(a.seen) and row.state == 'queued' then check_seen(row, a.seen) end
  if row.state ~= 'queued' then fail('illegal', row.state, a.park and 'park' or 'route') end
  local data = {}
  if a.park then
    assign_to(row, false, false)
    set(row, {reason = 'unroutable', detail = a.why})
    gate(row)
    log_task('task.parked', a.now, row, cjson.encode({reason = 'unroutable', detail = a.why}))
    return shown(row, true)
  end
  data.why = a.why
  if given(a.agent) then
    assign_to(row, false, false)
    set(row, {agent = a.agent, mode = a.mode, rule = a.why, reason = false, detail = false, rerouted = 1})
    if a.provider ~= '' then set(row, {provider = a.provider}) end
    data.agent = a.agent
  end
  if given(a.worker) then
    assign_to(row, a.worker, a.worker ~= '' and a.why or false)
    data.worker = a.worker
  end
  gate(row)
  log_task('task.routed', a.now, row, cjson.encode(data))
  return shown(row, true)
end
