-- Puts a job into the queue, once, and wakes a worker.
--
-- ARGV  job id, the job as arq writes it, in how long it is due, its time to live (milliseconds), priority

local id, defer_ms = ARGV[1], tonumber(ARGV[3])
if redis.call('SET', JOB .. id, ARGV[2], 'PX', ARGV[4], 'NX') then
  if defer_ms > 0 then put(id, now + defer_ms) else waits(id, exactly_now, tonumber(ARGV[5])) end
end
if defer_ms == 0 then wake_for(id) end
