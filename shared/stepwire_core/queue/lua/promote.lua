-- Makes a job that waits for its time due now, and wakes a worker. One that a worker has is left alone.
--
-- ARGV  id  that of the job

local at = redis.call('ZSCORE', queue, id)
if not at or is_taken(id) then return end
if tonumber(at) > now - WAITING_MS then comes_due(id) end
wake_for(id)
