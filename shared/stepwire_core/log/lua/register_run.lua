-- Makes a run known before a worker begins it.
--
-- KEYS  log, state, meta, open
-- ARGV  run
--       work  the digest of what it is to do
--       turn  its handler if it is to wait for the runs before it, or ''
--       parent, parent_attempt  the run that starts it, or '', and that run's attempt
--       max_steps, max_bytes    of the session (see append.lua)
--       kept  what the session keeps of its request, or ''
--
-- Returns {'ok'}, {'conflict'} if the id stands for something else, {'fenced', current attempt} if the run that starts
-- it is over or has a newer attempt, {'full', 'steps' or 'bytes', the limit}, or {'unknown'}.

local meta = KEYS[3]
if redis.call('EXISTS', meta) == 0 then return {'unknown'} end

if parent ~= '' then
  local fence = redis.call('HGET', meta, 'r:' .. parent)
  if fence then
    local current, is_over = string.match(fence, '^%d+'), string.find(fence, '!', 1, true)
    if is_over or current ~= parent_attempt then return {'fenced', current} end
  end
end

local known = redis.call('HGET', meta, 'q:' .. run)
if known and known ~= work then return {'conflict'} end
if not known then
  -- It could show nothing.
  for _, bound in ipairs({{'steps', tonumber(max_steps)}, {'bytes', tonumber(max_bytes)}}) do
    local what, limit = unpack(bound)
    if (tonumber(redis.call('HGET', meta, what)) or 0) >= limit then return {'full', what, limit} end
  end
  -- The run of a message has no digest: its id is not free either.
  if redis.call('HSETNX', meta, 'r:' .. run, 0) == 0 then return {'conflict'} end
  redis.call('HSET', meta, 'q:' .. run, work)
  local counted = RUN + ENTRY -- q:
  if parent ~= '' then counted = counted + 2 * ENTRY end -- d:, the number and the run
  if kept ~= '' then
    local requests = base_of(KEYS) .. 'requests'
    redis.call('HSET', requests, run, kept)
    redis.call('PEXPIREAT', requests, redis.call('HGET', meta, 'expires'))
    counted = counted + ENTRY + #kept
  end
  redis.call('HINCRBY', meta, 'bytes', counted)
  if turn ~= '' then
    local turns = base_of(KEYS) .. 'turns'
    redis.call('RPUSH', turns, turn .. ' ' .. run)
    redis.call('PEXPIREAT', turns, redis.call('HGET', meta, 'expires'))
  end
  local waiting, clock = base_of(KEYS) .. 'waiting', redis.call('TIME')
  redis.call('ZADD', waiting, clock[1] * 1000 + math.floor(clock[2] / 1000), run)
  redis.call('PEXPIREAT', waiting, redis.call('HGET', meta, 'expires'))
  if parent ~= '' then
    -- The parts of a run, by their number, so that cancelling it does not have to look for them.
    redis.call('HSET', meta, 'd:' .. parent .. ' ' .. redis.call('HINCRBY', meta, 'd:' .. parent, 1), run)
    if redis.call('HEXISTS', meta, 'c:' .. parent) == 1 then redis.call('HSET', meta, 'c:' .. run, '') end
  end
end
return {'ok'}
