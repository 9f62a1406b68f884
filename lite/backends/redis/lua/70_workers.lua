-- The registry of workers, and the events that belong to no task.

local function shown_worker(id)
  local values = call('HMGET', P .. 'worker:' .. id, 'row', 'registered_at', 'heartbeat_at', 'cordoned', 'load')
  values[6] = call('ZRANGE', P .. 'running:' .. id, 0, -1)
  if #values[6] == 0 then values[6] = false end
  return values
end

local function known_worker(id)
  if call('EXISTS', P .. 'worker:' .. id) == 0 then fail('no-worker', id) end
end

local function health(id, now, state)
  call('XADD', P .. 'system.health', 'MAXLEN', '~', FIRST_LINES, '*', 'worker', id, 'state', state, 'running',
    call('ZCARD', P .. 'running:' .. id), 'at', now)
end

function V.register(a)
  local key = P .. 'worker:' .. a.id
  local new = call('EXISTS', key) == 0
  call('HSET', key, 'row', a.row, 'heartbeat_at', a.now, 'load', a.load)
  call('HSETNX', key, 'registered_at', a.now)
  call('HSETNX', key, 'cordoned', 0)
  call('ZADD', P .. 'workers', 0, a.id)
  wake(a.id) -- it may take something again, or serve other agents
  if new then log('worker.joined', a.now, nil, nil, nil, a.id, a.data) end
  health(a.id, a.now, new and 'joined' or 'refreshed')
  return shown_worker(a.id)
end

function V.heartbeat(a)
  known_worker(a.worker)
  call('HSET', P .. 'worker:' .. a.worker, 'heartbeat_at', a.now, 'load', a.load)
  health(a.worker, a.now, 'alive')
  return shown_worker(a.worker)
end

function V.deregister(a)
  if call('DEL', P .. 'worker:' .. a.worker) == 0 then return true end
  call('ZREM', P .. 'workers', a.worker)
  for _, row in ipairs(by_seq(call('ZRANGE', P .. 'assigned:' .. a.worker, 0, -1))) do
    assign_to(row, false, false)
    gate(row)
  end
  log('worker.left', a.now, nil, nil, nil, a.worker, cjson.encode({reason = a.reason}))
  health(a.worker, a.now, 'left')
  call('DEL', P .. 'wake.' .. a.worker)
  return true
end

function V.cordon(a)
  known_worker(a.worker)
  local on = a.on and '1' or '0'
  if call('HGET', P .. 'worker:' .. a.worker, 'cordoned') ~= on then
    call('HSET', P .. 'worker:' .. a.worker, 'cordoned', on)
    log('worker.cordoned', a.now, nil, nil, nil, a.worker, cjson.encode({on = a.on}))
    if not a.on then wake(a.worker) end
  end
  return shown_worker(a.worker)
end

function V.workers()
  local all = {}
  for at, id in ipairs(call('ZRANGE', P .. 'workers', 0, -1)) do all[at] = shown_worker(id) end
  return all
end

-- Every answer tells the newest cursor.
function V.cursor()
  return true
end

function V.teams()
  return call('HGETALL', P .. 'teams')
end

function V.append(a)
  log(a.kind, a.at, a.run, a.task, a.attempt, a.worker, a.data)
  return cursor
end
