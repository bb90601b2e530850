-- Takes jobs that are due and that nobody has, for the length of a lease, and counts the try.
--
-- KEYS  queue (arq's sorted set: job id by the time it is due, milliseconds)
-- ARGV  now, lease (milliseconds), prefixes of the in-progress keys, of the jobs and of the counts of tries,
--       how long a count is kept (seconds), then the ids of the jobs
--
-- Returns {id, which try it is, the job as arq wrote it or nil} for each that was taken.

local now, lease, in_progress, jobs, tries = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local clock = redis.call('TIME')
local latest = math.max(now, clock[1] * 1000 + math.floor(clock[2] / 1000))
local taken = {}
for i = 7, #ARGV do
  local job = ARGV[i]
  local due = redis.call('ZSCORE', KEYS[1], job)
  if due and tonumber(due) <= latest and redis.call('SET', in_progress .. job, '1', 'PX', lease, 'NX') then
    -- Out of sight of the other workers until the lease is over.
    redis.call('ZADD', KEYS[1], now + lease, job)
    local try = redis.call('INCR', tries .. job)
    redis.call('EXPIRE', tries .. job, ARGV[6])
    taken[#taken + 1] = {job, try, redis.call('GET', jobs .. job)}
  end
end
return taken
