-- Makes a job that waits for its time due now, and wakes a worker. One that a worker has is left alone.
--
-- ARGV  job id

local at = redis.call('ZSCORE', queue, ARGV[1])
if not at or is_taken(ARGV[1]) then return end
if tonumber(at) > now - WAITING_MS then comes_due(ARGV[1]) end
wake_for(ARGV[1])
