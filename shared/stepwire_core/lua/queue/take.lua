-- Takes a job that no worker has, due or not, for the length of a lease. No limit holds it back.
--
-- ARGV  job id, token of the taker, lease (milliseconds)
--
-- Returns the job as arq wrote it, or nil.

local id = ARGV[1]
local job = redis.call('GET', JOB .. id)
if not job or not redis.call('ZSCORE', queue, id) then return nil end
if not redis.call('SET', HAS .. id, ARGV[2], 'PX', ARGV[3], 'NX') then return nil end
put(id, now + ARGV[3])
redis.call('SADD', queue .. ':taken', id)
redis.call('HDEL', queue .. ':held', id)
return job
