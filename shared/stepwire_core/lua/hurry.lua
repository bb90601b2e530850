-- Makes a job that waits due now, and wakes a worker. One that a worker has is left alone: its score is its lease.
--
-- KEYS  arq's in-progress key, queue, wake list
-- ARGV  job id, most wakes to keep

if redis.call('EXISTS', KEYS[1]) == 1 or not redis.call('ZSCORE', KEYS[2], ARGV[1]) then return end
local clock = redis.call('TIME')
redis.call('ZADD', KEYS[2], string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000)), ARGV[1])
redis.call('LPUSH', KEYS[3], ARGV[1])
redis.call('LTRIM', KEYS[3], 0, ARGV[2] - 1)
