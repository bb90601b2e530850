-- What the scripts of the queue have in common; it stands before each of them.
--
-- KEYS  queue (arq's sorted set of job ids), wake list
--
-- Where a job stands, its score says:
--   WAITING_MS in the past, or more   it waits for a worker; the lowest goes first. A level of priority counts as much
--                                     as an hour of waiting, so that nobody waits for ever
--   else                              the time at which it is to be looked at: when it is due, or, of one that a
--                                     worker has, when its lease is over
-- All times are the server's, in milliseconds: what is due now must not be due in a moment for a worker with another clock.
--
-- Beside the queue   :taken          a set: the jobs that workers have
--                    :has:<slot>     a set: those of them that count for a limit. A slot is h:<handler> or s:<sha1 of the subject>
--                    :held:<slot>    a sorted set: jobs that the limit holds back, by the score they had
--                    :held           a hash: all of these, with that score

local WAITING_MS, LEVEL_MS, LAPSED, HELD_MS = 30 * 24 * 3600 * 1000, 3600 * 1000, 10, 30 * 1000
local queue, wake = KEYS[1], KEYS[2]

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- With its fraction, so that of two in one millisecond the first goes first.
local exactly_now = clock[1] * 1000 + clock[2] / 1000

local function put(id, at) redis.call('ZADD', queue, string.format('%.3f', at), id) end

local function wake_for(id)
  redis.call('LPUSH', wake, id)
  redis.call('LTRIM', wake, 0, WAKE_MAX - 1)
end

-- The request in a job; empty if it is gone or somebody else's.
local function request(id)
  local found, job = pcall(cjson.decode, redis.call('GET', JOB .. id) or '')
  local inside = found and type(job) == 'table' and type(job.a) == 'table' and job.a[1]
  return type(inside) == 'table' and inside or {}
end

local function waits(id, since, priority)
  put(id, since - WAITING_MS - (priority or tonumber(request(id).priority) or 0) * LEVEL_MS)
end

-- From now on it waits; one that was held back, where it stood before.
local function comes_due(id)
  local held_at = redis.call('HGET', queue .. ':held', id)
  if held_at then put(id, held_at) else waits(id, exactly_now) end
end

-- Due in so many milliseconds; at 0 a worker is woken.
local function due_in(id, defer_ms, priority)
  if defer_ms > 0 then return put(id, now + defer_ms) end
  waits(id, exactly_now, priority)
  wake_for(id)
end

-- Somebody has it now, for the length of a lease.
local function take(id, token, lease)
  redis.call('SET', HAS .. id, token, 'PX', lease)
  put(id, now + lease)
  redis.call('SADD', queue .. ':taken', id)
  redis.call('HDEL', queue .. ':held', id)
end

local function is_taken(id) return redis.call('EXISTS', HAS .. id) == 1 end

-- Gives a place that has become free to the next job that was held back for it.
local function offer(slot)
  local next_one = redis.call('ZPOPMIN', queue .. ':held:' .. slot)
  while next_one[1] do
    if redis.call('ZSCORE', queue, next_one[1]) and not is_taken(next_one[1]) then
      put(next_one[1], next_one[2])
      return wake_for(next_one[1])
    end
    redis.call('HDEL', queue .. ':held', next_one[1])
    next_one = redis.call('ZPOPMIN', queue .. ':held:' .. slot)
  end
end

local function leave(id, slots)
  for _, slot in ipairs(slots) do
    if redis.call('SREM', queue .. ':has:' .. slot, id) == 1 then offer(slot) end
  end
end
