-- renew, record, rescue: the verbs that hold a lease. Time plays no part in who holds it.

local function held(lease)
  local row = find(lease.task)
  if row and row.state == 'running' and num(row.token) == lease.token then return row end
end

local function held_or_lost(lease)
  local row = held(lease)
  if not row then
    call('HINCRBY', P .. 'fenced', lease.worker, 1)
    flush()
    fail('lease-lost', lease.task, lease.token)
  end
  return row
end

function V.renew(a)
  local renewed = {}
  for at, lease in ipairs(a.leases) do
    local row = held(lease)
    renewed[at] = false
    if row then
      set(row, {expires_at = a.now + a.ttl})
      call('ZADD', P .. 'leases', a.now + a.ttl, row.id)
      renewed[at] = row.cancel or ''
    end
  end
  return renewed
end

function V.record(a)
  local row = held_or_lost(a.lease)
  local now = a.now
  if given(a.handle) then set(row, {handle = a.handle}) end
  if given(a.provider_session) then set(row, {provider_session = a.provider_session}) end
  if given(a.usage) then set(row, {usage = a.usage}) end
  if a.started and not row.started_at then
    set(row, {started_at = now})
    log_lease('task.started', now, row)
  end
  if a.answered and row.waiting then
    log_task('session.answered', now, row, cjson.encode({id = cjson.decode(row.waiting).id}))
    set(row, {waiting = false})
  end
  if given(a.waiting) and a.waiting ~= row.waiting then
    set(row, {waiting = a.waiting})
    log_task('session.waiting', now, row, a.waiting)
  end
  return shown(row)
end

function V.rescue(a)
  local row = held_or_lost(a.lease)
  local from = row.worker
  local data = cjson.encode({from = from, to = a.worker})
  call('ZREM', P .. 'running:' .. from, row.id)
  team(from, row, -1)
  add_to('running:' .. a.worker, row)
  team(a.worker, row, 1)
  call('ZADD', P .. 'leases', a.now + a.ttl, row.id)
  set(row, {token = cursor + 1, worker = a.worker, expires_at = a.now + a.ttl})
  log_lease('lease.lost', a.now, row, data)
  return shown(row, true)
end
