-- Remembers a run that has ended badly; the oldest go when there are too many, or when their time is over.
--
-- KEYS  order (sorted set: run by when it was added, milliseconds), letters (hash: run, JSON),
--       sessions (hash: run, its session)
-- ARGV  run, session, letter
--       most    the most letters to keep
--       ttl_ms  how long one is kept

local order, letters, sessions = KEYS[1], KEYS[2], KEYS[3]
ttl_ms = tonumber(ttl_ms)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Again, as after a crash: it keeps its place.
redis.call('ZADD', order, 'NX', now, run)
redis.call('HSET', letters, run, letter)
redis.call('HSET', sessions, run, session)

local function forget(runs)
  for _, old in ipairs(runs) do
    redis.call('ZREM', order, old)
    redis.call('HDEL', letters, old)
    redis.call('HDEL', sessions, old)
  end
end

-- Not all at once, if a setting has made them too many.
local AT_ONCE = 100
forget(redis.call('ZRANGEBYSCORE', order, '-inf', now - ttl_ms, 'LIMIT', 0, AT_ONCE))
local too_many = math.min(redis.call('ZCARD', order) - tonumber(most), AT_ONCE)
if too_many > 0 then forget(redis.call('ZRANGE', order, 0, too_many - 1)) end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ttl_ms) end
