-- What keeps a queued task from being claimed, compiled into its row, so that a claim is a look at the best of a sorted
-- set: `unmet` needs, `held` by its lane, `delayed`, parked. A ready one stands in `ready:<agent>`, or in
-- `ready:<agent>:<worker>` when only that worker may claim it, and whoever waits for work is told of it; or in `unplaced`
-- while its worker is still to be chosen.

local SPAN = 2 ^ 42 -- more tasks than there will ever be: what one step of priority weighs

local function wake(worker)
  call('XADD', P .. 'wake.' .. worker, 'MAXLEN', '~', 100, '*', 'task', '')
end

local function offer(agent, id)
  return call('XADD', P .. 'triggers.' .. agent, 'MAXLEN', '~', FIRST_LINES, '*', 'task', id)
end

-- A place has become free: whom it kept waiting is offered again.
local function release_starved()
  local starved = call('SMEMBERS', P .. 'starved')
  if #starved == 0 then return end
  for _, name in ipairs(starved) do
    if string.sub(name, 1, 1) == '@' then wake(string.sub(name, 2)) else offer(name, '') end
  end
  call('DEL', P .. 'starved')
end

local function gate(row)
  local wanted = false
  if row.state == 'queued' and num(row.unmet) == 0 and not row.held and not row.delayed
    and row.reason ~= 'unroutable' then
    wanted = 'ready:' .. row.agent
    if row.assigned then
      wanted = wanted .. ':' .. row.assigned
    elseif row.placed then
      wanted = 'unplaced'
    end
  end
  if wanted == (row.ready or false) then return end
  if row.ready then
    call('ZREM', P .. row.ready, row.id)
    if row.offer then call('XDEL', P .. 'triggers.' .. string.match(row.ready, '^ready:([^:]*)'), row.offer) end
  end
  local entry = false
  if wanted then
    call('ZADD', P .. wanted, (100 - num(row.priority)) * SPAN + num(row.seq), row.id)
    if row.assigned then
      wake(row.assigned)
    elseif wanted ~= 'unplaced' then
      entry = offer(row.agent, row.id)
    end
  end
  set(row, {ready = wanted, offer = entry})
end

-- The consequence of one need for its dependents (rules.dag), and of all needs together with the one that decided.

local function consequence(need)
  if not TERMINAL[need.state] then return 'wait' end
  if need.state == 'succeeded' or need.on_failure == 'continue' then return 'go' end
  if need.state == 'failed' and need.on_failure == 'fail' then return 'fail' end
  return 'skip'
end

local function needs_of(row)
  return row.needs and cjson.decode(row.needs) or {}
end

local function verdict(row)
  local decided, cause = 'go', ''
  for _, id in ipairs(needs_of(row)) do
    local one = consequence(task(id))
    if one == 'fail' then return one, id end
    if one == 'skip' and decided ~= 'skip' then
      decided, cause = one, id
    elseif one == 'wait' and decided == 'go' then
      decided = one
    end
  end
  return decided, cause
end

local function unmet(row)
  local count = 0
  for _, id in ipairs(needs_of(row)) do
    if consequence(task(id)) ~= 'go' then count = count + 1 end
  end
  return count > 0 and count or false
end

local function dependents(rows)
  local ids = {}
  for _, row in ipairs(rows) do
    if row.needed then
      for _, id in ipairs(call('ZRANGE', P .. 'needs:' .. row.id, 0, -1)) do ids[#ids + 1] = id end
    end
  end
  return by_seq(ids)
end

-- Lanes: the first that has not ended goes, unless one of the lane runs; all others are held.

local function settle_lane(row)
  if not row.lane then return end
  local lane = (row.run or '') .. ':' .. row.lane
  local known = call('HGET', P .. 'lane-heads', lane)
  local head = known and find(known)
  if head and head.state == 'running' then return end
  local first = call('ZRANGE', P .. 'lane:' .. lane, 0, 0)[1]
  if head and known ~= first and head.state == 'queued' then
    set(head, {held = 1})
    gate(head)
  end
  if not first then
    if known then call('HDEL', P .. 'lane-heads', lane) end
    return
  end
  if known ~= first then call('HSET', P .. 'lane-heads', lane, first) end
  local released = find(first)
  if released.held then
    set(released, {held = false})
    gate(released)
  end
end

local function enter_lane(row)
  if row.lane then
    call('ZADD', P .. 'lane:' .. (row.run or '') .. ':' .. row.lane, row.seq, row.id)
    set(row, {held = 1})
  end
end
