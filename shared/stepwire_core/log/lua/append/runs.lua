-- Runs, their results, those of their durable steps, the user session, and what lists of sessions show.

local function is_of_attempt(producer, run, number)
  local begin = 'r/' .. run .. '/' .. number .. '/'
  return string.sub(producer, 1, #begin) == begin
end

-- Stores a run, and for lists of sessions its status, and how many are under way or will be tried again.
local function store_run(call, id, status, payload, is_over)
  local field = 'r:' .. id
  local old = redis.call('HGET', call.state, field)
  put(call, field, old, NO_PARENT, payload)
  redis.call('HSET', call.meta, 'status', status)
  if not old and not is_over then
    redis.call('HINCRBY', call.meta, 'running', 1)
  elseif old and is_over and redis.call('HINCRBY', call.meta, 'running', -1) < 0 then
    -- It began under a version that did not count.
    redis.call('HSET', call.meta, 'running', 0)
  end
  return true
end

-- The run waits for an attempt from now on; begin_run.lua takes it out.
local function waits(call, id)
  local waiting = call.base .. 'waiting'
  redis.call('ZADD', waiting, call.now, id)
  redis.call('PEXPIREAT', waiting, call.expires)
end

OPERATIONS.put_run.fold = function(call, id, parent, payload)
  -- The end of an attempt that is not the last.
  if parent ~= RUNNING then waits(call, id) end
  return store_run(call, id, parent, payload, false)
end

-- The next one may begin.
local function end_turn(call, id)
  local turns = call.base .. 'turns'
  local head = redis.call('LINDEX', turns, 0)
  if not head then return end
  if string.match(head, ' (%S+)$') == id then
    redis.call('LPOP', turns)
    return
  end
  for _, handler in ipairs(IN_TURN) do
    if redis.call('LREM', turns, 1, handler .. ' ' .. id) == 1 then return end
  end
end

-- No attempt follows, so no one asks for the results of its steps any more.
local function forget_steps(call, id)
  local durable = call.base .. 'durable'
  local size = redis.call('HGET', durable, id)
  if not size then return end
  redis.call('UNLINK', durable .. ':' .. id)
  redis.call('HDEL', durable, id)
  call.bytes = call.bytes - size
end

OPERATIONS.end_run.fold = function(call, id, parent, payload)
  local ended = call.attempt
  if id == call.run and is_of_attempt(call.producer, id, call.attempt) then
    -- From here on the fence refuses all but a repetition of this call, which it knows by the number.
    ended, call.run_has_ended = call.attempt .. ':' .. call.last, true
    redis.call('HDEL', call.meta, 'p:' .. call.producer)
    call.bytes = call.bytes - ENTRY
  end
  redis.call('HSET', call.meta, 'r:' .. id, ended .. '!' .. call.epoch .. '-' .. call.seq + 1)
  end_turn(call, id)
  -- Its beginning has done so, unless the server has lost that.
  redis.call('ZREM', call.base .. 'waiting', id)
  forget_steps(call, id)
  return store_run(call, id, parent, payload, true)
end

OPERATIONS.keep_result.fold = function(call, id, answer, payload)
  local results = call.base .. 'results'
  redis.call('HSET', results, id, payload)
  redis.call('PEXPIREAT', results, call.expires)
  redis.call('PUBLISH', string.match(call.base, '^[^{]*') .. answer .. call.suffix,
    string.match(call.base, '{(.*)}') .. ' ' .. id)
  return false
end

OPERATIONS.keep_value.fold = function(call, id, parent, payload)
  local user = call.base .. 'user'
  if payload == '' then
    drop(call, user, id)
  else
    count_bytes(call, redis.call('HSTRLEN', user, id), #payload)
    redis.call('HSET', user, id, payload)
  end
  redis.call('PEXPIREAT', user, call.expires)
  return false
end

OPERATIONS.describe.fold = function(call, id, parent, payload)
  if parent == 'once' then
    redis.call('HSETNX', call.meta, id, payload)
  else
    redis.call('HSET', call.meta, id, payload)
  end
  return false
end

-- `durable` has the runs with such results, and what each of them counts for; `durable:<run>` has the results.
OPERATIONS.keep_step.fold = function(call, id, parent, payload)
  local durable = call.base .. 'durable'
  local results = durable .. ':' .. call.run
  local grown = growth(redis.call('HSTRLEN', results, id), #payload)
  if redis.call('HEXISTS', durable, call.run) == 0 then grown = grown + ENTRY end
  redis.call('HSET', results, id, payload)
  redis.call('HINCRBY', durable, call.run, grown)
  call.bytes = call.bytes + grown
  redis.call('PEXPIREAT', results, call.expires)
  redis.call('PEXPIREAT', durable, call.expires)
  return false
end
