-- Puts a job into the queue, once, and wakes a worker.
--
-- ARGV  job id, the job as arq writes it, in how long it is due, its time to live (milliseconds), priority

local id, defer_ms = ARGV[1], tonumber(ARGV[3])
if redis.call('SET', JOB .. id, ARGV[2], 'PX', ARGV[4], 'NX') then
  due_in(id, defer_ms, tonumber(ARGV[5]))
elseif defer_ms == 0 then
  wake_for(id)
end
