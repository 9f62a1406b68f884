-- claim, offered's other half.

local CHUNK = 16

-- Walks one sorted set of ready tasks, best first; taking from it while it is walked is fine: it reads ahead.
-- `keeps_waiting` is whom to tell when a place is freed: an agent's workers, or one worker.
local function walk(key, agent, keeps_waiting)
  local start, ids, at = 0, {}, 0
  local one = {agent = agent, keeps_waiting = keeps_waiting}
  function one.step()
    at = at + 2
    if at > #ids then
      ids = call('ZRANGE', key, start, start + CHUNK - 1, 'WITHSCORES')
      start = start + CHUNK
      at = 2
    end
    one.id, one.score = ids[at - 1], ids[at] and tonumber(ids[at])
  end
  one.step()
  return one
end

local function best(walks)
  local found
  for _, one in ipairs(walks) do
    if one.id and (not found or one.score < found.score) then found = one end
  end
  return found
end

-- Let those go whose time has come.
local function promote(now)
  for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'delayed', '-inf', now)) do
    call('ZREM', P .. 'delayed', id)
    local row = find(id)
    set(row, {delayed = false})
    gate(row)
  end
end

local function directory(path)
  return string.sub(path, -1) == '/' and path or path .. '/'
end

local function overlap(mine, theirs)
  for _, one in ipairs(mine) do
    local a = directory(one)
    for _, other in ipairs(theirs) do
      local b = directory(other)
      if string.sub(a, 1, #b) == b or string.sub(b, 1, #a) == a then return true end
    end
  end
  return false
end

local function touched()
  local all = {}
  for _, text in ipairs(call('HVALS', P .. 'touching')) do all[#all + 1] = cjson.decode(text) end
  return all
end

local function choose(a, now)
  local chosen, walks, running, held = {}, {}, {}, nil
  for agent, cap in pairs(a.agents) do
    running[agent] = cap >= 0 and num(call('HGET', P .. 'agents', agent)) or 0
    walks[#walks + 1] = walk(P .. 'ready:' .. agent, agent, agent)
    walks[#walks + 1] = walk(P .. 'ready:' .. agent .. ':' .. a.worker, agent, '@' .. a.worker)
  end
  while #chosen < a.limit do
    local one = best(walks)
    if not one then break end
    local row = find(one.id)
    local cap = a.agents[one.agent]
    if cap >= 0 and running[one.agent] >= cap then
      for _, other in ipairs(walks) do
        if other.agent == one.agent and other.id then
          call('SADD', P .. 'starved', other.keeps_waiting)
          other.id = nil
        end
      end
    else
      local free = num(row.run_at) <= now
      if free and row.touches then
        held = held or touched()
        local mine = cjson.decode(row.touches)
        for _, other in ipairs(held) do
          if overlap(mine, other) then
            free = false
            call('SADD', P .. 'starved', one.keeps_waiting)
            break
          end
        end
        if free then held[#held + 1] = mine end
      end
      if free then
        chosen[#chosen + 1] = row
        running[one.agent] = running[one.agent] + 1
      end
      one.step()
    end
  end
  return chosen
end

-- What was offered to this worker and is still to be had goes to another, when it had no room or may take nothing.
-- Else a cap or a running task keeps it waiting: `starved` knows.
local function pass_on(a, full)
  for _, one in ipairs(a.offers or {}) do
    local key, entry, id = P .. one[1], one[2], one[3]
    call('XACK', key, 'executor-group', entry)
    call('XDEL', key, entry)
    local agent = string.match(one[1], '^triggers%.(.*)$')
    local another = full or (agent and not a.agents[agent])
    if id ~= '' then
      local row = find(id)
      if row and row.ready and row.offer == entry then
        set(row, {offer = another and offer(row.agent, id) or false})
      end
    elseif agent and another and call('ZCARD', P .. 'ready:' .. agent) > 0 then
      offer(agent, '')
    end
  end
end

function V.unplaced(a)
  promote(a.now)
  local found, skip, start = {}, a.skip, 0
  while #found < a.limit do
    local ids = call('ZRANGE', P .. 'unplaced', start, start + a.limit - 1)
    if #ids == 0 then break end
    start = start + #ids
    for _, id in ipairs(ids) do
      local row = find(id)
      if num(row.run_at) <= a.now then
        if skip > 0 then
          skip = skip - 1
        elseif #found < a.limit then
          found[#found + 1] = shown(row, true)
        end
      end
    end
  end
  return found
end

function V.claim(a)
  local cordoned = call('HGET', P .. 'worker:' .. a.worker, 'cordoned')
  if cordoned ~= '0' then
    pass_on(a, true)
    return {closed = true}
  end
  local claims = {}
  if a.limit > 0 then
    promote(a.now)
    for at, row in ipairs(choose(a, a.now)) do
      leave_queue(row, 'running')
      local attempt = num(row.attempt) + 1
      set(row, {
        attempt = attempt, reason = false, detail = false, run_at = false, cancel = false, handle = false, waiting = false,
        exit_code = false, signal = false, output = false, usage = false, started_at = false,
      })
      enter_running(row, a.worker, cursor + 1, a.now + a.ttl)
      log_lease('task.claimed', a.now, row, '{"agent":' .. cjson.encode(row.agent) .. '}')
      claims[at] = shown(row, true)
    end
  end
  pass_on(a, #claims >= a.limit)
  local due = call('ZRANGEBYSCORE', P .. 'due', '(' .. a.now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  return {claims = claims, due = due[2] and tonumber(due[2]) or false}
end
