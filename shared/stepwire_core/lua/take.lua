-- Takes a job that no worker has, due or not, for the length of a lease.
--
-- KEYS  arq's job key, arq's in-progress key, queue
-- ARGV  job id, now, lease (milliseconds)
--
-- Returns the job as arq wrote it, or nil.

local job = redis.call('GET', KEYS[1])
if not job or not redis.call('ZSCORE', KEYS[3], ARGV[1]) then return nil end
if not redis.call('SET', KEYS[2], '1', 'PX', ARGV[3], 'NX') then return nil end
redis.call('ZADD', KEYS[3], ARGV[2] + ARGV[3], ARGV[1])
return job
