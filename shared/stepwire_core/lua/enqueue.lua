-- Puts a job into arq's queue, once, and wakes a worker.
--
-- KEYS  arq's job key, arq's result key, queue, wake list
-- ARGV  job id, the job as arq writes it, now, time to live (milliseconds), most wakes to keep

if redis.call('EXISTS', KEYS[1], KEYS[2]) == 0 then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
  redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
end
redis.call('LPUSH', KEYS[4], ARGV[1])
redis.call('LTRIM', KEYS[4], 0, ARGV[5] - 1)
