-- Appends a batch of events of one producer to one session: checks, stores, folds, publishes.
--
-- Lua has no rollback: everything is checked before the first write.
--
-- KEYS  log, state, meta, open (a set: the streams of text that are not folded in yet)
-- ARGV  mode            'create': make the session if it is not there; 'append': it must be there;
--                       'close': the same, and only what ends something that is there is in it, whatever the limits
--       server          id of the server's process as the caller's connection knows it, or ''
--       ttl_ms, maxlen, publish command
--       log_max_bytes, max_steps, max_bytes: of the log's entries; of the session
--       producer        '' when repeating the call does no harm
--       first           the sequence of the first event; dense per producer, from 1
--       known           the epoch of the producer's last stored event, or ''
--       run, attempt    the run that the events belong to, or ''
--       answers         the ask that the events answer and that must still be open, or ''
--       turn            the handler, if the run is new and is to wait for those before it, or ''
--       then per event: op, type, id, parent, payload
--
-- Ops   S  put the step `id`                       payload: the whole step, JSON
--       N  the same, if there is none of that id   payload: the whole step, JSON
--       D  append to, or R replace, a field        parent: 'output' | 'input', payload: text, JSON-escaped
--       X  remove the step `id`, all below it,     payload: JSON
--          and their elements
--       G  put the run `id`                        payload: the whole run, JSON
--       T  the same, and the run has ended for good
--       A  put what belongs to the step `parent`:  payload: the whole of it, JSON
--          `id` is e:<element> or f:<step> (its feedback)
--       B  remove it, and the bytes of an element  payload: JSON
--       Q  put the open ask `id` of a step         payload: the whole ask, JSON
--       E  the ask `id` has ended, if it is open   payload: the whole ask, JSON
--       V  keep the result of the run `id`         payload: JSON; makes no event; `parent` is the channel to tell
--       U  keep the value `id` of the user session payload: JSON, or '' to forget it; makes no event
--
-- Returns {'ok', epoch, top, stored, 1 if this call made the session}, or with nothing written {'unknown'}, {'ended'},
--         {'fenced', current attempt}, {'closed'} (the ask), {'taken', id}, {'gap', last stored sequence},
--         {'full', 'steps' or 'bytes', the limit}.
--
-- Limits  `meta` counts the session's steps, and the bytes of what the state, the streams of text, the user session and
--         the kept elements hold. Who adds nothing is never refused: what ends, is removed or replaced by the end of a
--         step, and runs.

local log, state, meta, open = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local base = string.sub(log, 1, -4)
local user, files, turns, results = base .. 'user', base .. 'files', base .. 'turns', base .. 'results'
local mode, server, ttl_ms, maxlen, publish = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local log_max_bytes, max_steps, max_bytes = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local producer, first, known, run, attempt = ARGV[9], tonumber(ARGV[10]), ARGV[11], ARGV[12], tonumber(ARGV[13])
local answers, turn = ARGV[14], ARGV[15]
local HEAD, WIDTH = 15, 5
local ENTRY = 100 -- what an entry costs in Redis beside its value, about
local count = (#ARGV - HEAD) / WIDTH

local found = redis.call('HMGET', meta, 'epoch', 'seq', 'server', 'expires', 'p:' .. producer, 'r:' .. run,
  'steps', 'bytes', 'log_bytes', 'log_from')
local epoch, seq, home, expires = found[1], tonumber(found[2]), found[3], tonumber(found[4])
local had, bytes = tonumber(found[7]) or 0, tonumber(found[8]) or 0
local steps = had
local log_bytes, log_from = tonumber(found[9]) or 0, tonumber(found[10]) or 1
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

if not epoch and mode ~= 'create' then return {'unknown'} end

-- A new process behind the address has perhaps lost the tail that the old one acknowledged, and would
-- give the same ids to other events. A new epoch makes every reader take a snapshot instead. The sequence
-- goes on, since the order of the steps in the state hangs on it.
local fresh = not epoch or (server ~= '' and home and home ~= '' and home ~= server)
if fresh then
  epoch = string.format('%.0f', math.max(now, (tonumber(epoch) or 0) + 1))
  seq = seq or 0
end

local skip = 0
if producer ~= '' then
  local last = tonumber(found[5]) or 0
  -- The producer's own past may be in the lost tail; only within its epoch is a hole a fault.
  if first > last + 1 and (known == '' or known == epoch) then return {'gap', last} end
  skip = math.max(0, last - first + 1)
end
if skip < count and run ~= '' and found[6] then
  if string.find(found[6], '!', 1, true) then return {'ended'} end
  local current = tonumber(string.match(found[6], '^%d+'))
  if current > attempt then return {'fenced', current} end
end
if skip < count and answers ~= '' and redis.call('HGET', meta, 'a:' .. answers) ~= 'open' then return {'closed'} end
local adds, new_steps, new_bytes = false, 0, 0
for i = skip, count - 1 do
  local at = HEAD + i * WIDTH
  local op, kind, id, size = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], #ARGV[at + 5]
  if not string.find('SNDRXGTUABQEV', op, 1, true) then return redis.error_reply('ERR stepwire: unknown op ' .. op) end
  if op == 'N' and redis.call('HEXISTS', state, 's:' .. id) == 1 then return {'taken', id} end
  if kind == 'step.start' then new_steps = new_steps + 1 end
  if kind == 'step.update' then
    adds = true
  elseif kind ~= 'step.end' and string.find('SNDRAQU', op, 1, true) and size > 0 then
    adds, new_bytes = true, new_bytes + size
  end
end
if adds and mode ~= 'close' then
  if new_steps > 0 and steps + new_steps > max_steps then return {'full', 'steps', max_steps} end
  if bytes >= max_bytes or bytes + new_bytes > max_bytes then return {'full', 'bytes', max_bytes} end
end

local created = epoch and found[1] == false and 1 or 0
if fresh then
  redis.call('DEL', log)
  log_bytes, log_from = 0, seq + 1
  redis.call('HSET', meta, 'epoch', epoch, 'seq', seq, 'server', server, 'log_from', log_from)
elseif server ~= '' and (not home or home == '') then
  redis.call('HSET', meta, 'server', server)
end
if run ~= '' and not found[6] then
  redis.call('HSET', meta, 'r:' .. run, attempt)
  if turn ~= '' then redis.call('RPUSH', turns, turn .. ' ' .. run) end
end

-- Expiry moves only now and then, all keys to the same instant: a session lives ttl to ttl * 17/16 from
-- its last event.
local touch = fresh or seq == 0 or not expires or expires - now < ttl_ms
if touch then expires = now + ttl_ms + math.floor(ttl_ms / 16) end
if turn ~= '' then redis.call('PEXPIREAT', turns, expires) end

local function out(field, id) return base .. 'out:' .. field .. ':' .. id end

-- What is kept grows from `before` bytes to `after`; 0: it is not there.
local function count_bytes(before, after)
  bytes = bytes + after - before + (after > 0 and ENTRY or 0) - (before > 0 and ENTRY or 0)
end

local function drop(key, field)
  count_bytes(redis.call('HSTRLEN', key, field), 0)
  return redis.call('HDEL', key, field) == 1
end

local function close_streams(id)
  for _, field in ipairs({'output', 'input'}) do
    if redis.call('SREM', open, field .. ':' .. id) == 1 then
      count_bytes(redis.call('STRLEN', out(field, id)), 0)
      redis.call('DEL', out(field, id))
    end
  end
end

-- The folds return whether the event counts: of a step that has been removed, nothing does but a new start.

local function put_step(kind, id, parent, payload, order)
  local old = redis.call('HGET', state, 's:' .. id)
  if old then
    order = string.match(old, '^%d+')
    close_streams(id)
  elseif mode == 'close' or kind ~= 'step.start' and redis.call('HEXISTS', meta, 'x:' .. id) == 1 then
    return false
  else
    steps = steps + 1
  end
  local value = order .. ' ' .. parent .. ' ' .. payload
  count_bytes(old and #old or 0, #value)
  redis.call('HSET', state, 's:' .. id, value)
  return true
end

local function put_run(id, payload, order)
  local old = redis.call('HGET', state, 'r:' .. id)
  local value = (old and string.match(old, '^%d+') or order) .. ' - ' .. payload
  count_bytes(old and #old or 0, #value)
  redis.call('HSET', state, 'r:' .. id, value)
end

-- The next one may begin.
local function leave_turn(id)
  for _, entry in ipairs(redis.call('LRANGE', turns, 0, -1)) do
    if string.match(entry, ' (%S+)$') == id then redis.call('LREM', turns, 1, entry) end
  end
end

-- A stream of text starts with '+' (it continues the field of the stored step) or '=' (it replaces it).
local function stream(op, field, id, text)
  local member = field .. ':' .. id
  local key = out(field, id)
  if redis.call('SADD', open, member) == 1 then
    if redis.call('HEXISTS', state, 's:' .. id) == 0 then
      redis.call('SREM', open, member)
      return false
    end
    redis.call('PEXPIREAT', open, expires)
    redis.call('SET', key, (op == 'R' and '=' or '+') .. text, 'PXAT', expires)
    count_bytes(0, #text + 1)
  elseif op == 'R' then
    count_bytes(redis.call('STRLEN', key), #text + 1)
    redis.call('SET', key, '=' .. text, 'PXAT', expires)
  else
    redis.call('APPEND', key, text)
    bytes = bytes + #text
  end
  return true
end

-- What belongs to a step: its elements (e:), its feedback (f:), what it asks (a:). One that comes after its step
-- was removed is gone with it, and so are the bytes kept for it.

local function forget(id)
  if string.sub(id, 1, 2) == 'e:' then drop(files, string.sub(id, 3)) end
  if string.sub(id, 1, 2) == 'a:' then redis.call('HSET', meta, id, 'ended') end
end

local function put_belonging(id, parent, payload, order)
  if redis.call('HEXISTS', meta, 'x:' .. parent) == 1 and redis.call('HEXISTS', state, 's:' .. parent) == 0 then
    forget(id)
    return false
  end
  local old = redis.call('HGET', state, id)
  local value = (old and string.match(old, '^%d+') or order) .. ' ' .. parent .. ' ' .. payload
  count_bytes(old and #old or 0, #value)
  redis.call('HSET', state, id, value)
  return true
end

local function remove_belonging(id)
  forget(id)
  return drop(state, id)
end

local function put_ask(op, id, parent, payload, order)
  if op == 'E' and redis.call('HGET', meta, id) ~= 'open' then return false end
  redis.call('HSET', meta, id, op == 'E' and 'ended' or 'open')
  return put_belonging(id, parent, payload, order)
end

local function remove(id)
  local children, belongings = {}, {}
  local all = redis.call('HGETALL', state)
  for i = 1, #all, 2 do
    local field, parent = all[i], string.match(all[i + 1], '^%d+ (%S+) ')
    local is_step = string.sub(field, 1, 2) == 's:'
    local below = is_step and children or belongings
    below[parent] = below[parent] or {}
    table.insert(below[parent], is_step and string.sub(field, 3) or field)
  end
  local doomed, i = {id}, 1
  while doomed[i] do
    if drop(state, 's:' .. doomed[i]) then steps = steps - 1 end
    -- That it was removed is remembered, so it counts.
    if redis.call('HSET', meta, 'x:' .. doomed[i], '') == 1 then bytes = bytes + ENTRY end
    close_streams(doomed[i])
    for _, belonging in ipairs(belongings[doomed[i]] or {}) do remove_belonging(belonging) end
    for _, child in ipairs(children[doomed[i]] or {}) do table.insert(doomed, child) end
    children[doomed[i]] = nil
    i = i + 1
  end
  touch = true
end

local lines, stored = {epoch}, 0
for i = skip, count - 1 do
  local at = HEAD + i * WIDTH
  local op, kind, id, parent, payload = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local counts = true
  if op == 'S' or op == 'N' then
    counts = put_step(kind, id, parent, payload, seq + 1)
  elseif op == 'D' or op == 'R' then
    counts = stream(op, parent, id, payload)
    payload = '{"id":"' .. id .. '","field":"' .. parent .. '","text":"' .. payload ..
      (op == 'R' and '","replace":true}' or '"}')
  elseif op == 'X' then
    remove(id)
  elseif op == 'A' then
    counts = put_belonging(id, parent, payload, seq + 1)
  elseif op == 'B' then
    counts = remove_belonging(id)
  elseif op == 'Q' or op == 'E' then
    counts = put_ask(op, id, parent, payload, seq + 1)
  elseif op == 'V' then
    counts = false
    redis.call('HSET', results, id, payload)
    redis.call('PEXPIREAT', results, expires)
    redis.call(publish, parent, string.match(base, '{(.*)}') .. ' ' .. id)
  elseif op == 'U' then
    counts = false
    if payload == '' then
      drop(user, id)
    else
      count_bytes(redis.call('HSTRLEN', user, id), #payload)
      redis.call('HSET', user, id, payload)
    end
    redis.call('PEXPIREAT', user, expires)
  else
    put_run(id, payload, seq + 1)
    if op == 'T' then
      redis.call('HSET', meta, 'r:' .. id, attempt .. '!' .. epoch .. '-' .. seq + 1)
      leave_turn(id)
    end
  end
  if counts then
    seq, stored = seq + 1, stored + 1
    log_bytes = log_bytes + #payload
    redis.call('XADD', log, 'MAXLEN', '~', maxlen, epoch .. '-' .. seq, 't', kind, 'r', run, 'd', payload)
    lines[#lines + 1] = seq .. ' ' .. kind .. ' ' .. run .. ' ' .. payload
  end
end

-- In halves: when the younger one is full, the older one goes.
if log_bytes > log_max_bytes / 2 then
  redis.call('XTRIM', log, 'MINID', epoch .. '-' .. log_from)
  log_bytes, log_from = 0, seq + 1
  redis.call('HSET', meta, 'log_from', log_from)
end
if skip < count then
  -- A session that is older than these counters may take away more than was counted.
  local counted = {'seq', seq, 'bytes', math.max(0, bytes), 'log_bytes', log_bytes}
  if steps ~= had then counted[7], counted[8] = 'steps', math.max(0, steps) end
  if producer ~= '' then counted[#counted + 1], counted[#counted + 2] = 'p:' .. producer, first + count - 1 end
  redis.call('HSET', meta, unpack(counted))
end
if touch then
  redis.call('HSET', meta, 'expires', string.format('%.0f', expires))
  for _, key in ipairs(KEYS) do redis.call('PEXPIREAT', key, expires) end
  redis.call('PEXPIREAT', user, expires)
  redis.call('PEXPIREAT', files, expires)
  redis.call('PEXPIREAT', turns, expires)
  redis.call('PEXPIREAT', results, expires)
  for _, member in ipairs(redis.call('SMEMBERS', open)) do
    redis.call('PEXPIREAT', base .. 'out:' .. member, expires)
  end
end
if stored > 0 then redis.call(publish, string.sub(base, 1, -2), table.concat(lines, '\n')) end
return {'ok', epoch, seq, stored, created}
