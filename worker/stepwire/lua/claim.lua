-- Takes jobs that are due and that nobody has, for the length of a lease.
--
-- KEYS  queue (arq's sorted set: job id by the time it is due, milliseconds)
-- ARGV  now, lease (milliseconds), prefix of the in-progress keys, then the ids of the jobs
--
-- Returns the taken ids, each followed by the time it was due.

local now, lease, prefix = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local clock = redis.call('TIME')
local latest = math.max(now, clock[1] * 1000 + math.floor(clock[2] / 1000))
local taken = {}
for i = 4, #ARGV do
  local job = ARGV[i]
  local due = redis.call('ZSCORE', KEYS[1], job)
  if due and tonumber(due) <= latest and redis.call('SET', prefix .. job, '1', 'PX', lease, 'NX') then
    -- Out of sight of the other workers until the lease is over.
    redis.call('ZADD', KEYS[1], now + lease, job)
    taken[#taken + 1] = job
    taken[#taken + 1] = due
  end
end
return taken
