-- finish, cancel, retry.

-- What follows the end of an attempt (rules.retry.settle): state, kind of event, reason, failures, faults, run_at.
local function settle(row, a)
  local outcome, failures, faults = a.outcome, num(row.failures), num(row.faults)
  local reason = outcome.reason or ''
  local again = a.delay > 0 and a.now + a.delay or 0
  if outcome.kind == 'succeeded' then return 'succeeded', 'task.succeeded', '', failures, faults, 0 end
  if outcome.kind == 'cancelled' or row.cancel then
    return 'cancelled', 'task.cancelled', row.cancel or reason ~= '' and reason or 'user', failures, faults, 0
  end
  if outcome.kind == 'rescheduled' then
    return 'queued', 'task.parked', reason ~= '' and reason or 'parked', failures, faults, num(outcome['until'])
  end
  if outcome.kind == 'unexecutable' then
    faults = faults + 1
    if faults >= a.most_faults then return 'failed', 'task.failed', 'poison', failures, faults, 0 end
    return 'queued', 'task.retrying', reason ~= '' and reason or 'infrastructure', failures, faults, again
  end
  failures = failures + 1
  if failures <= num(row.retries) then return 'queued', 'task.retrying', 'retry', failures, faults, again end
  return 'failed', 'task.failed', reason ~= '' and reason or 'exit', failures, faults, 0
end

-- A line of the ledger: its number is its place in the list.
local function account(row, kind, reason, usage, now)
  local line = cjson.encode({
    row.id, num(row.attempt), row.run or '', row.agent, row.worker, kind, reason, row.started_at and num(row.started_at) or NULL,
    now, usage,
  })
  call('RPUSH', P .. 'ledger', line)
end

function V.finish(a)
  local row = held_or_lost(a.lease)
  if a.too_large then fail('too-large', row.id) end
  local outcome = a.outcome
  local state, kind, reason, failures, faults, run_at = settle(row, a)
  local usage = given(outcome.usage) and outcome.usage or outcome.usage == nil and row.usage or ''
  local data = cjson.encode({
    reason = reason, detail = outcome.detail or '', exit_code = outcome.exit_code or NULL, signal = outcome.signal or NULL,
    failures = failures, faults = faults, run_at = run_at ~= 0 and run_at or nil,
  })
  if usage ~= '' then data = string.sub(data, 1, -2) .. ',' .. string.sub(usage, 2) end
  if usage ~= '' or outcome.usage ~= nil then account(row, kind, reason, usage, a.now) end
  log_lease(kind, a.now, row, data)
  leave_running(row)
  set(row, {
    state = state, reason = reason, detail = outcome.detail or false, failures = failures > 0 and failures,
    faults = faults > 0 and faults, run_at = run_at ~= 0 and run_at, cancel = false, waiting = false,
    exit_code = outcome.exit_code or false, signal = outcome.signal or false, output = outcome.output or false,
    usage = usage,
  })
  if outcome.provider_session then set(row, {provider_session = outcome.provider_session}) end
  if state == 'queued' then
    set(row, {assigned = false, assigned_why = false, unmet = unmet(row), held = row.lane and 1 or false})
    enter_queue(row)
    gate(row)
    settle_lane(row)
  else
    set(row, {ended_at = a.now})
    end_task(row, a.now)
  end
  return shown(row)
end

function V.cancel(a)
  local row = task(a.task)
  if row.state == 'queued' then
    leave_queue(row, 'cancelled')
    set(row, {reason = a.reason, detail = false, ended_at = a.now})
    log_task('task.cancelled', a.now, row, cjson.encode({reason = a.reason}))
    end_task(row, a.now)
  elseif row.state == 'running' and not row.cancel then
    set(row, {cancel = a.reason})
    log_lease('task.cancelling', a.now, row, cjson.encode({reason = a.reason}))
  end
  return shown(row, true)
end

local function reopen(row, now)
  local went_on = row.needed and consequence(row) == 'go'
  count(row, row.state, -1)
  if row.reason == 'poison' then call('ZREM', P .. 'dead', row.id) end
  set(row, {
    reason = 'reopened', detail = false, cause = false, failures = false, faults = false, run_at = false, assigned = false,
    assigned_why = false, cancel = false, waiting = false, exit_code = false, signal = false, output = false,
    ended_at = false,
  })
  enter_lane(row)
  enter_queue(row)
  if went_on then
    for _, other in ipairs(dependents({row})) do
      if other.state == 'queued' then
        set(other, {unmet = num(other.unmet) + 1})
        gate(other)
      end
    end
  end
end

function V.retry(a)
  local first = task(a.task)
  if first.state ~= 'failed' and first.state ~= 'cancelled' and first.state ~= 'skipped' then
    fail('illegal', first.state, 'reopen')
  end
  local what, cause = verdict(first)
  if CONDEMNED[what] then
    local need = task(cause)
    fail('need-forbids', first.id, cause, need.state, need.name)
  end
  local all, level = {}, {first}
  while #level > 0 do
    for _, row in ipairs(level) do
      reopen(row, a.now)
      all[#all + 1] = row
    end
    local following = {}
    for _, row in ipairs(dependents(level)) do
      if TERMINAL[row.state] and row.reason == 'need' and not CONDEMNED[verdict(row)] then following[#following + 1] = row end
    end
    level = following
  end
  for _, row in ipairs(all) do
    set(row, {unmet = unmet(row)})
    gate(row)
  end
  for _, row in ipairs(all) do settle_lane(row) end
  for _, run in ipairs(runs_of(all)) do
    if run.state ~= 'running' then
      call('HSET', P .. 'run:' .. run.id, 'state', 'running')
      call('HDEL', P .. 'run:' .. run.id, 'ended_at')
      log('run.reopened', a.now, run.id, nil, nil, nil, cjson.encode({name = run.name}))
    end
  end
  for _, row in ipairs(all) do log_task('task.reopened', a.now, row) end
  return shown(first, true)
end
