-- What the scripts of the queue have in common; it stands before each of them.
--
-- KEYS  queue (arq's sorted set of job ids), wake list
--
-- Where a job stands, its score says:
--   WAITING_MS in the past, or more   it waits for a worker; the lowest goes first. A level of priority counts as much
--                                     as an hour of waiting, so that no job waits for ever
--   else                              the time at which it is to be looked at: when it is due, or, of one that a
--                                     worker has, when its lease is over
-- All times are the server's, in milliseconds: a job that is due now must be due for a worker with another clock, too.
--
-- Beside the queue   :taken          a set: the jobs that workers have
--                    :has:<slot>     a set: those of them that count for a limit. A slot is h:<handler> or s:<sha1 of the subject>
--                    :held:<slot>    a sorted set: jobs that the limit holds back, by the score they had
--                    :held           a hash: all of these, with that score
--                    :about          a hash: what a claim has to know of a job, which may be large itself:
--                                    `<priority> <sha1 of the subject, or -> <handler>`; the script that queues it writes it

local LAPSED, HELD_MS = 10, 30 * 1000
local queue, wake = KEYS[1], KEYS[2]
local ABOUT = queue .. ':about'

local JOB, HAS, TRIED = job_keys(queue)

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- With its fraction, so that of two in one millisecond the first goes first.
local exactly_now = clock[1] * 1000 + clock[2] / 1000

local function put(id, at) redis.call('ZADD', queue, string.format('%.3f', at), id) end

local function wake_for(id)
  redis.call('LPUSH', wake, id)
  redis.call('LTRIM', wake, 0, WAKE_MAX - 1)
end

-- How many bytes of jobs had to be looked at.
local looked_at = 0

-- A job as arq wrote it, or false; an older version has put it elsewhere.
local function body(id)
  local job = redis.call('GET', JOB .. id)
  if job or JOB == ARQ_JOB or redis.call('HEXISTS', ABOUT, id) == 1 then return job end
  -- Not every user may look there, and with a queue of its own name none needs to.
  if redis.pcall('EXISTS', ARQ_JOB .. id) ~= 1 then return false end
  redis.call('RENAME', ARQ_JOB .. id, JOB .. id)
  return redis.call('GET', JOB .. id)
end

-- Its priority, its handler, and the digest of its subject or '-'. A job of an older version is looked at once.
local function about(id)
  local kept = redis.call('HGET', ABOUT, id)
  if not kept then
    local job = body(id) or ''
    looked_at = looked_at + #job
    local found, decoded = pcall(cjson.decode, job)
    local request, digest = {}, '-'
    if found and type(decoded) == 'table' and type(decoded.a) == 'table' and type(decoded.a[1]) == 'table' then
      request = decoded.a[1]
    end
    if type(request.subject) == 'string' then digest = redis.sha1hex(request.subject) end
    kept = (tonumber(request.priority) or 0) .. ' ' .. digest .. ' ' .. tostring(request.handler)
    if job ~= '' then redis.call('HSET', ABOUT, id, kept) end
  end
  local priority, subject, handler = string.match(kept, '^(%S+) (%S+) (.*)$')
  return tonumber(priority), handler, subject
end

local function waits(id, since, priority)
  if not priority then priority = about(id) end
  put(id, since - WAITING_MS - priority * LEVEL_MS)
end

-- From now on it waits; one that was held back, where it stood before.
local function comes_due(id)
  local held_at = redis.call('HGET', queue .. ':held', id)
  if held_at then put(id, held_at) else waits(id, exactly_now) end
end

-- Due in so many milliseconds; at 0 a worker is woken.
local function due_in(id, defer_ms)
  if defer_ms > 0 then return put(id, now + defer_ms) end
  waits(id, exactly_now)
  wake_for(id)
end

-- A worker has it now, for the length of a lease.
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
    local is_queued = redis.call('ZSCORE', queue, next_one[1])
    if is_queued and not is_taken(next_one[1]) then
      put(next_one[1], next_one[2])
      return wake_for(next_one[1])
    end
    if not is_queued then redis.call('HDEL', ABOUT, next_one[1]) end
    redis.call('HDEL', queue .. ':held', next_one[1])
    next_one = redis.call('ZPOPMIN', queue .. ':held:' .. slot)
  end
end

local function leave(id, slots)
  for _, slot in ipairs(slots) do
    if redis.call('SREM', queue .. ':has:' .. slot, id) == 1 then offer(slot) end
  end
end
