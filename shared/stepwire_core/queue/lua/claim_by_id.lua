-- Takes a job that no worker has, due or not, for the length of a lease. No limit holds it back.
--
-- ARGV  id        that of the job
--       token     that of the taker
--       lease_ms  how long it has it
--
-- Returns the job as arq wrote it, or nil.

local job = body(id)
if not job or not redis.call('ZSCORE', queue, id) then return nil end
if is_taken(id) then return nil end
take(id, token, lease_ms)
return job
