-- The session around the events of a call: what must be true of it before, and what is counted and kept of it after.

-- Returns whether the session has lost its state, and whether its log must be made anew.
local function look(KEYS, version)
  local log, state, meta = KEYS[1], KEYS[2], KEYS[3]
  if redis.call('EXISTS', state, log) == 2 then return false, false end
  local is_log_lost = redis.call('EXISTS', log) == 0
  if redis.call('EXISTS', state) == 1 then return false, is_log_lost end
  if version then return true, is_log_lost end
  return tonumber(redis.call('HGET', meta, 'steps') or 0) > 0, is_log_lost
end

local function forget_producer(meta, producer, bytes)
  if redis.call('HDEL', meta, 'p:' .. producer) == 1 then redis.call('HSET', meta, 'bytes', math.max(0, bytes - ENTRY)) end
end

local function rights_refusal(KEYS, base, channel, now)
  if not are_rights_due('append', now) then return nil end
  local log, state, meta, open = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
  return lacks_right('append', now, {
    {'XADD', log, '*', 'd', ''}, {'XTRIM', log, 'MAXLEN', 1}, {'DEL', log}, {'HSET', state, MARK, ''}, {'HDEL', state, MARK},
    {'HSET', meta, 'seq', 0}, {'PEXPIREAT', meta, 0}, {'HSETNX', open, 'x', ''}, {'HDEL', open, 'x'},
    {'SET', base .. 'out:x', ''}, {'APPEND', base .. 'tail', ''}, {'UNLINK', base .. 'user'},
    {'RPUSH', base .. 'turns', ''}, {'ZADD', base .. 'waiting', 0, 'x'}, {'ZREM', base .. 'waiting', 'x'}, {NEWS, channel, ''},
    {'PUBLISH', channel, ''}})
end

-- The last sequence of the producer that is stored.
local function last_stored(last, fence, producer, run)
  if last then return tonumber(last) end
  if producer ~= '' and fence then
    -- The number of a run's last attempt is kept with its end.
    local of, number = string.match(fence, '^(%d+):(%d+)!')
    if of and is_of_attempt(producer, run, of) then return tonumber(number) end
  end
  return 0
end

-- A server that has lost the beginning of an attempt gives its number to another one. The first of both that is heard of
-- again has it: a higher number raises the fence here, and of an equal one the token decides, which is in the name. Returns
-- the refusal if the fence is against this attempt, and whether this attempt raises it.
local function check_fence(fence, producer, run, attempt)
  if string.find(fence, '!', 1, true) then return {'ended'}, false end
  local current, owner = string.match(fence, '^(%d+):?(.*)$')
  current = tonumber(current)
  if current > attempt then return {'fenced', current}, false end
  if string.sub(producer, 1, 2) ~= 'r/' then return nil, false end
  if current == attempt and owner ~= '' and producer ~= 'r/' .. run .. '/' .. attempt .. '/' .. owner then
    return {'fenced', current}, false
  end
  return nil, current < attempt
end

-- An epoch begins with an empty log.
local function begin_epoch(call, life, is_new_session)
  redis.call('DEL', call.log, call.base .. 'tail')
  call.log_bytes, call.tail = 0, ''
  redis.call('HSET', call.meta, 'epoch', call.epoch, 'seq', call.seq, 'life', life, 'log_from', call.seq + 1, 'tail', '')
  -- It tells one session from the next of the same id, which an epoch does not: that changes while a session lives.
  if is_new_session then redis.call('HSET', call.meta, 'born', call.epoch) end
end

local function begin_run(call, turn)
  call.bytes = call.bytes + RUN
  redis.call('HSET', call.meta, 'r:' .. call.run, call.attempt, 'bytes', call.bytes)
  if turn ~= '' then redis.call('RPUSH', call.base .. 'turns', turn .. ' ' .. call.run) end
  if call.attempt == 0 then waits(call, call.run) end
end

-- The log keeps its bytes in halves: when the younger one is full, the older one goes.
local function bound_log(call, log_max_bytes)
  if call.log_bytes <= log_max_bytes / 2 then return end
  redis.call('XTRIM', call.log, 'MINID', call.epoch .. '-' .. (redis.call('HGET', call.meta, 'log_from') or 1))
  call.log_bytes = 0
  redis.call('HSET', call.meta, 'log_from', call.seq + 1)
end

local function write_counters(call, tail_before, steps_before)
  -- A session that is older than these counters may take away more than was counted.
  local counted = {'seq', call.seq, 'bytes', math.max(0, call.bytes), 'log_bytes', call.log_bytes}
  local function add(name, value)
    counted[#counted + 1] = name
    counted[#counted + 1] = value
  end
  if call.tail ~= tail_before then add('tail', call.tail) end
  if call.steps ~= steps_before then
    local steps = math.max(0, call.steps)
    local kids = -1
    if call.is_indexed then kids = steps end
    add('steps', steps)
    add('kids', kids)
  end
  if call.producer ~= '' and not call.run_has_ended then add('p:' .. call.producer, call.last) end
  redis.call('HSET', call.meta, unpack(counted))
end

-- Expiry moves only now and then, all keys to the same instant.
local function move_expiry(call, KEYS)
  redis.call('HSET', call.meta, 'expires', string.format('%.0f', call.expires))
  for _, key in ipairs(KEYS) do redis.call('PEXPIREAT', key, call.expires) end
  for _, name in ipairs(BESIDE) do
    redis.call('PEXPIREAT', call.base .. name, call.expires)
  end
  for _, member in ipairs(redis.call('HKEYS', call.open)) do
    redis.call('PEXPIREAT', call.base .. 'out:' .. member, call.expires)
  end
  for _, run in ipairs(redis.call('HKEYS', call.base .. 'durable')) do
    redis.call('PEXPIREAT', call.base .. 'durable:' .. run, call.expires)
  end
end
