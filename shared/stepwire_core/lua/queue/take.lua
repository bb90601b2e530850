-- Takes a job that no worker has, due or not, for the length of a lease. No limit holds it back.
--
-- ARGV  job id, token of the taker, lease (milliseconds)
--
-- Returns the job as arq wrote it, or nil.

local id = ARGV[1]
local job = body(id)
if not job or not redis.call('ZSCORE', queue, id) then return nil end
if is_taken(id) then return nil end
take(id, ARGV[2], ARGV[3])
return job
