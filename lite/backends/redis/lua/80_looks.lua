-- Looks: bounded pieces of what is stored; the caller asks for the next piece.

local PIECE = 500 -- rows looked at in one call

local function all_of(value, names)
  if not names then return true end
  for _, name in ipairs(names) do
    if name == value then return true end
  end
  return false
end

local function fits(row, q)
  return (not q.run or (row.run or '') == q.run)
    and (not q.name or row.name == q.name)
    and all_of(row.state, q.states)
    and (not q.agent or row.agent == q.agent)
    and (not q.worker or row.worker == q.worker)
    and (not q.prefix or string.sub(row.id, 1, #q.prefix) == q.prefix)
    and (not q.lease_before or (row.expires_at and num(row.expires_at) < q.lease_before))
    and (not q.assigned or (row.state == 'queued' and row.assigned))
    and (not q.dead or (row.state == 'failed' and row.reason == 'poison'))
    and num(row.seq) > (q.after_seq or 0)
end

local function rows_of(ids, q)
  local found = {}
  for _, id in ipairs(ids) do
    local row = find(id)
    if row and fits(row, q) then found[#found + 1] = shown(row, true) end
  end
  return found
end

-- Of these ids, or of those with a prefix.
function V.tasks_by_id(q)
  return rows_of(q.ids, q)
end

-- From `key`, a sorted set by seq, those beyond `from` in the direction of `newest`; `next` goes on from there.
function V.tasks_by_seq(q)
  local ids
  local key = P .. q.key
  if q.newest then
    ids = call('ZREVRANGEBYSCORE', key, q.from and '(' .. q.from or '+inf', '(' .. (q.after_seq or 0), 'LIMIT', 0, PIECE, 'WITHSCORES')
  else
    ids = call('ZRANGEBYSCORE', key, '(' .. (q.from or q.after_seq or 0), '+inf', 'LIMIT', 0, PIECE, 'WITHSCORES')
  end
  local found = {}
  for at = 1, #ids, 2 do
    local row = find(ids[at])
    if row and fits(row, q) then
      found[#found + 1] = shown(row, true)
      if q.limit and #found >= q.limit then return {rows = found} end
    end
  end
  return {rows = found, next = #ids >= 2 * PIECE and tonumber(ids[#ids]) or false}
end

-- Of those that run, by when their lease expires.
function V.running(q)
  local before = q.lease_before and '(' .. q.lease_before or '+inf'
  return rows_of(call('ZRANGEBYSCORE', P .. 'leases', '-inf', before), q)
end

function V.ids(q)
  local start = q.from and '(' .. q.from or '[' .. q.prefix
  return call('ZRANGEBYLEX', P .. q.key, start, '[' .. q.prefix .. '\255', 'LIMIT', 0, PIECE)
end

function V.runs_by_seq(q)
  local ids
  if q.newest then
    ids = call('ZREVRANGEBYSCORE', P .. q.key, q.from and '(' .. q.from or '+inf', '-inf', 'LIMIT', 0, PIECE, 'WITHSCORES')
  else
    ids = call('ZRANGEBYSCORE', P .. q.key, q.from and '(' .. q.from or '-inf', '+inf', 'LIMIT', 0, PIECE, 'WITHSCORES')
  end
  local found = {}
  for at = 1, #ids, 2 do
    local run = shown_run(ids[at])
    if all_of(run[6], q.states) then found[#found + 1] = run end
    if q.limit and #found >= q.limit then return {rows = found} end
  end
  return {rows = found, next = #ids >= 2 * PIECE and tonumber(ids[#ids]) or false}
end

function V.runs_by_id(q)
  local found = {}
  for _, id in ipairs(q.ids) do
    if call('EXISTS', P .. 'run:' .. id) == 1 then found[#found + 1] = shown_run(id) end
  end
  return found
end

function V.get(a)
  return shown(task(a.task), true)
end

function V.next_due(a)
  local first = call('ZRANGEBYSCORE', P .. 'due', '(' .. a.now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  return first[2] and tonumber(first[2]) or false
end

function V.ledger(a)
  return call('LRANGE', P .. 'ledger', a.after, a.after + a.limit - 1)
end

function V.events(a)
  if not a.task and not a.run then
    return call('XRANGE', P .. 'events', '(' .. a.after .. '-0', '+', 'COUNT', a.limit)
  end
  local found, cursors = {}, {}
  local row = a.task and find(a.task)
  if row then
    for one in string.gmatch(row.log or '', '%d+') do
      if num(one) > a.after and #cursors < a.limit then cursors[#cursors + 1] = one end
    end
  else
    local index = a.task and 'log:task:' .. a.task or 'log:run:' .. a.run
    cursors = call('ZRANGEBYSCORE', P .. index, '(' .. a.after, '+inf', 'LIMIT', 0, a.limit)
  end
  for at, one in ipairs(cursors) do
    found[at] = call('XRANGE', P .. 'events', one .. '-0', one .. '-0')[1] or false
  end
  return found
end
