-- Puts a job into the queue, once, and wakes a worker.
--
-- ARGV  job id, the job as arq writes it, in how long it is due, its time to live (milliseconds),
--       what a claim has to know of it (see row.lua)

local id, defer_ms = ARGV[1], tonumber(ARGV[3])
if redis.call('SET', JOB .. id, ARGV[2], 'PX', ARGV[4], 'NX') then
  redis.call('HSET', ABOUT, id, ARGV[5])
  if redis.call('PTTL', ABOUT) < tonumber(ARGV[4]) then redis.call('PEXPIRE', ABOUT, ARGV[4]) end
  due_in(id, defer_ms)
elseif defer_ms == 0 then
  wake_for(id)
end
